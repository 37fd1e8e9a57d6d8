package mmap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Evict takes the n bytes at off out of the system's page cache, so that
// they no longer take memory and the next read comes from storage; n may be
// [ToEnd]. Dirty pages are written first, and Evict waits for that; it makes
// nothing durable. Pages, and large folios, that lie partly outside the range stay,
// but for the file's last page. Nothing is lost, and slices, Views and every method go on as
// before.
//
// It is a request: pages that another process has mapped stay, and so does what
// is being read at the moment. Pages that are locked in memory cannot be evicted
// (EINVAL). (Linux: madvise(2) with MADV_DONTNEED on this Region's memory,
// sync_file_range(2), posix_fadvise(2) with POSIX_FADV_DONTNEED; FreeBSD and
// NetBSD: the first and the last, and fsync(2).) For private and anonymous memory,
// on file systems that live in memory (tmpfs), and on other systems the error
// wraps [errors.ErrUnsupported].
func (r *Region) Evict(off, n int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	return wrap("evict", r.name, r.closedOr(r.evict(off, n)))
}

func (r *Region) evict(off, n int64) error {
	n, err := r.checkRange(off, n)
	if err != nil || n == 0 {
		return err
	}
	if r.memoryOnly() || r.unsized {
		return errors.ErrUnsupported
	}
	// Pages in a page table are not evicted, and that they are dirty may be
	// known there alone: the memory comes first.
	if err := r.unmapPages(off, n); err != nil {
		return err
	}
	cerr := r.withFD(func(fd uintptr) { err = sys.Evict(fd, r.base+off, n) })
	r.setSticky(err) // the system reports a lost write once
	return firstError(cerr, err)
}

// unmapPages empties the page tables of the range, of the current mapping and
// of earlier ones. The next touch of the memory finds the page again.
func (r *Region) unmapPages(off, n int64) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.m.Load()
	if r.closed.Load() {
		return os.ErrClosed
	}
	if m == nil || off >= m.capacity {
		return nil
	}
	s := newPageSpan(m, off, min(n, m.capacity-off), false)
	s.forget()
	for _, old := range r.ranges {
		old.Mapped(func(b []byte) {
			if hi := min(s.hi, int64(len(b))); s.lo < hi {
				err = firstError(err, sys.Advise(b[s.lo:hi], sys.DontNeed))
			}
		})
	}
	runtime.KeepAlive(m)
	if err == syscall.EINVAL {
		return fmt.Errorf("part of the range is locked in memory: %w", err)
	}
	return err
}
