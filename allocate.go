package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Allocate makes sure that the file system has room for the n bytes from off
// on, so that storing there does not run out of space; the file grows to
// off+n if it ends before. Bytes that are there stay. (fallocate(2) on Linux,
// F_PREALLOCATE on darwin; where there is no such call, zeros are written past
// the end, and a range before it is an error wrapping
// [errors.ErrUnsupported].) On file systems that write elsewhere each time
// (btrfs with snapshots) the promise is weaker than it looks.
func (r *Region) Allocate(off, n int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	return wrap("allocate", r.name, r.allocate(off, n))
}

func (r *Region) allocate(off, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == ToEnd && !r.closed.Load() {
		_ = r.refreshSizeLocked() // the file's end, not the last one seen
	}
	size := r.size.Load()
	switch {
	case r.closed.Load():
		return os.ErrClosed
	case off < 0, n < ToEnd, n > math.MaxInt64-off, off+n > math.MaxInt64-r.base:
		return fmt.Errorf("no range of %d bytes at %d: %w", n, off, syscall.EINVAL)
	case r.memoryOnly() || r.unsized:
		return errors.ErrUnsupported
	case n == ToEnd:
		n = max(size-off, 0) // any offset can be allocated, so none is past the end
	}
	if r.window > 0 && off+n > r.window {
		return fmt.Errorf("no range of %d bytes at %d in a window of %d: %w", n, off, r.window, io.ErrUnexpectedEOF)
	}
	if n == 0 {
		return nil
	}
	if off+n > size {
		r.zeroPastEOF()
	}
	var err error
	cerr := r.withFD(func(fd uintptr) { err = sys.Allocate(fd, r.base+off, n) })
	err = firstError(cerr, err)
	if errors.Is(err, errors.ErrUnsupported) && off >= size {
		err = r.writeZeros(size, off+n)
	}
	return firstError(err, r.refreshSizeLocked())
}

// writeZeros writes zeros by the descriptor.
func (r *Region) writeZeros(off, end int64) error {
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	clear(buf[:])
	for off < end {
		n, err := r.f.WriteAt(buf[:min(end-off, int64(len(buf)))], r.base+off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// Discard drops the contents of the n bytes from off on (n may be [ToEnd]),
// which then read as zeros, and gives the disk blocks that lie wholly inside back to the file
// system where that can be done (a hole; the size stays). On anonymous memory
// the pages are given back. On private memory of a file the pages that lie
// wholly inside are, and show what the file has; the others stay.
func (r *Region) Discard(off, n int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	return wrap("discard", r.name, r.discard(off, n))
}

func (r *Region) discard(off, n int64) error {
	toEnd := n == ToEnd
	n, err := r.checkRange(off, n)
	switch {
	case err != nil || n == 0:
		return err
	case r.unsized:
		return errors.ErrUnsupported
	case r.permittedPrefix(off, n, sys.Write) < n:
		return syscall.EACCES
	}
	if r.memoryOnly() {
		return r.discardPrivate(off, n, toEnd)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return os.ErrClosed
	}
	cerr := r.withFD(func(fd uintptr) { err = sys.PunchHole(fd, r.base+off, n) })
	err = firstError(cerr, err)
	if errors.Is(err, errors.ErrUnsupported) {
		err = r.writeZeros(off, off+n)
	}
	if m := r.m.Load(); m != nil && m.backs(off, n) {
		m.forget(off, n) // a hole has no pages
	}
	return err
}

// discardPrivate gives the pages of private or anonymous memory back, and zeroes the
// edges of anonymous memory. Pinned pages cannot be given back: they are
// zeroed too.
func (r *Region) discardPrivate(off, n int64, toEnd bool) error {
	asked := n
	if toEnd || off+n == r.size.Load() {
		asked = ToEnd
	}
	var done pageSpan
	err := r.changePages(off, asked, pageChange{whole: true, call: func(s pageSpan) error {
		done = s
		if r.f != nil {
			s.forget()
		}
		return sys.DiscardPages(s.bytes())
	}})
	if err != nil && (r.f != nil || !errors.Is(err, syscall.EINVAL)) {
		return err
	}
	m := r.m.Load()
	if r.f == nil && m != nil {
		lo, hi := off+n, off+n // what was given back
		if err == nil && !done.empty() {
			lo, hi = max(done.lo-m.lead, off), min(done.hi-m.lead, off+n)
		}
		m.zero(off, lo)
		m.zero(hi, off+n)
	}
	return r.closedOr(nil)
}
