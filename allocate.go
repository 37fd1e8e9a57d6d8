package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Allocate makes sure that the file system has room for the n bytes from off
// on (n may be [ToEnd]), so that storing there does not run out of space; the
// file grows to off+n if it ends before. Bytes that are there stay, and so do
// those that others append meanwhile. On file systems that write elsewhere each
// time (btrfs with snapshots) the promise is weaker than it looks.
//
//   - Linux, FreeBSD, Solaris, illumos: fallocate(2) and its kin
//   - Linux file systems without it (ext3, NFSv3, many of FUSE), darwin and
//     Windows: zeros are appended up to off+n; what others append while that
//     goes on comes between them, and the file may get longer than off+n.
//     Holes before the end get their blocks through memory, where that is
//     writable and MADV_POPULATE_WRITE is there (Linux 5.14); elsewhere such a
//     range is an error wrapping [errors.ErrUnsupported].
//   - elsewhere, in private and in anonymous memory: an error wrapping
//     [errors.ErrUnsupported]
func (r *Region) Allocate(off, n int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	return wrap("allocate", r.name, r.allocate(off, n, sys.Allocate, true))
}

// Reserve is Allocate for a file whose size stays: the blocks for the n bytes
// starting at off are the file's, and a later write there, past the end too, does
// not run out of space. With [ToEnd] it fills the holes of the file.
//
// It is fallocate(2) with FALLOC_FL_KEEP_SIZE on Linux and F_PREALLOCATE on
// darwin. Elsewhere, and on file systems without such a call, the error wraps
// [errors.ErrUnsupported].
func (r *Region) Reserve(off, n int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	return wrap("reserve", r.name, r.allocate(off, n, sys.Reserve, false))
}

// allocate is Allocate and Reserve, which differ in the system's call.
func (r *Region) allocate(off, n int64, call func(fd uintptr, off, n int64) error, grows bool) error {
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
	cerr := r.withFD(func(fd uintptr) { err = call(fd, r.base+off, n) })
	if grows && cerr == nil && errors.Is(err, errors.ErrUnsupported) {
		err = r.allocateByFaults(off, n)
	}
	return firstError(cerr, firstError(err, r.refreshSizeLocked()))
}

// allocateByFaults is Allocate where the system has no call for bytes that are in
// the file: their pages are made writable, which gives each hole its block and
// changes no byte, whoever else writes there. What lies past the end is appended.
// mu is held.
func (r *Region) allocateByFaults(off, n int64) error {
	if err := r.refreshSizeLocked(); err != nil {
		return err
	}
	end := min(off+n, r.size.Load())
	m, err := r.mappedToEndLocked()
	if err != nil || off >= end || !m.backs(off, end-off) || !r.writesUseMemory() || r.anyReleased(off, end-off) {
		return errors.ErrUnsupported
	}
	if err := sys.Populate(m.pagesOf(off, end-off), true); err != nil {
		if sys.IsFault(err) {
			return sys.NoSpace // of a page that is in the file, and was to get its block
		}
		return err
	}
	runtime.KeepAlive(m)
	if off+n > end {
		cerr := r.withFD(func(fd uintptr) { err = sys.Allocate(fd, r.base+end, off+n-end) })
		err = firstError(cerr, err)
	}
	return err
}

// Discard drops the contents of the n bytes at off (n may be [ToEnd]),
// which then read as zeros, and gives the disk blocks that lie wholly inside
// back to the file system where that can be done (a hole). The size stays, also
// if others change it meanwhile. Where no hole can be made, zeros are stored to
// memory; if that cannot be done either, the error wraps
// [errors.ErrUnsupported]. On anonymous memory the pages are given back. On
// private memory of a file the pages that lie wholly inside are, and show what
// the file has; the others stay.
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
	err = r.punchHole(off, n)
	if errors.Is(err, errors.ErrUnsupported) && r.fdWritable {
		err = r.storeZeros(off, n)
	}
	return err
}

// punchHole lets the file system free the blocks of [off, off+n).
func (r *Region) punchHole(off, n int64) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return os.ErrClosed
	}
	cerr := r.withFD(func(fd uintptr) { err = sys.PunchHole(fd, r.base+off, n) })
	if m := r.m.Load(); m != nil && m.backs(off, n) {
		m.forget(off, n) // a hole has no pages
	}
	return firstError(cerr, err)
}

// storeZeros zeroes [off, off+n) in memory, page by page: unlike a write, a store
// cannot make a file longer that others have cut meanwhile.
func (r *Region) storeZeros(off, n int64) error {
	r.refreshSize()
	end := min(off+n, r.size.Load())
	if off >= end {
		return nil
	}
	m, err := r.mapped()
	if err != nil || !m.backs(off, end-off) || !r.writesUseMemory() || r.anyReleased(off, end-off) {
		return r.closedOr(errors.ErrUnsupported)
	}
	zeros, have := make([]byte, pageSize), make([]byte, pageSize)
	for at := off; at < end; {
		n := min(pageSize-(m.lead+at)&(pageSize-1), end-at)
		if err := r.storeZeroPage(m, at, zeros[:n], have[:n]); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// storeZeroPage stores zeros, which lie in one page, unless there are zeros
// already: a hole stays one. It uses have to look.
func (r *Region) storeZeroPage(m *mapping, off int64, zeros, have []byte) error {
	page := m.pagesOf(off, int64(len(zeros)))
	_ = sys.Populate(page, false) // what may wait, waits there
	if m.load(have, off, maxCopy) == len(have) {
		if bytes.Equal(have, zeros) {
			return nil
		}
		_ = sys.Populate(page, true)
		if r.storeMapped(m, zeros, off) {
			return nil
		}
	}
	err := r.diagnose(off, sys.Write)
	if err == io.ErrUnexpectedEOF {
		return nil // the file ends before, now
	}
	return err
}

// discardPages gives the pages of s back. What was advised lasts. mu is held.
func (r *Region) discardPages(s pageSpan) (err error) {
	b := s.bytes()
	r.attrs.get().runs(s.lo, s.hi, func(a pageAttr, lo, hi int64) {
		switch part := b[lo-s.lo : hi-s.lo]; {
		case err != nil:
		case a.locked:
			err = syscall.EINVAL
		default:
			err = sys.DiscardPages(part, r.prot&^a.denied|a.granted, r.f == nil)
			for _, advice := range a.advice() {
				_ = sys.Advise(part, sys.Advice(advice))
			}
		}
	})
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
		return r.discardPages(s)
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
