package mmap

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// pageSpan is a range of a mapping in whole pages: [lo, hi), in bytes from its
// first page on.
type pageSpan struct {
	m      *mapping
	lo, hi int64
	off, n int64 // the range as it was asked for, from the Region's byte 0 on
	toEnd  bool  // it was asked for with ToEnd
}

// empty reports whether there are no pages in it.
func (s *pageSpan) empty() bool { return s.m == nil || s.lo >= s.hi }

// bytes returns its memory.
func (s *pageSpan) bytes() []byte { return s.m.mem.Bytes()[s.lo:s.hi] }

// wholePagesOnly leaves out the pages that lie partly outside the range. The
// Region's own last page is whole: nothing but its bytes counts there.
func (s *pageSpan) wholePagesOnly() {
	if s.m == nil {
		return
	}
	s.lo = alignUp(s.m.lead + s.off)
	if !s.toEnd {
		s.hi = AlignDown(s.m.lead + s.off + s.n)
	}
}

// toCapacity makes a span to the end reach over the reserve too, so that pages
// of later growth are made the same.
func (s *pageSpan) toCapacity() {
	if s.toEnd && s.m != nil {
		s.hi = int64(s.m.mem.Len())
	}
}

// forget forgets what is known of its pages.
func (s *pageSpan) forget() {
	lo, hi := s.lo>>pageShift, s.hi>>pageShift
	s.m.forgetIn(&s.m.residency.resident, &s.m.readLimit, lo, hi)
	s.m.forgetWrites(lo, hi)
}

// pageSpanOf returns the pages of a range, for calls that change nothing. It
// maps the Region if need be.
func (r *Region) pageSpanOf(off, n int64) (pageSpan, error) {
	m, size, err := r.mappedRange(off, n)
	if err != nil || m == nil {
		return pageSpan{}, err
	}
	return newPageSpan(m, off, size, n == ToEnd), nil
}

// newPageSpan returns the pages of m that hold n bytes at off.
func newPageSpan(m *mapping, off, n int64, toEnd bool) pageSpan {
	s := pageSpan{m: m, off: off, n: n, toEnd: toEnd, lo: AlignDown(m.lead + off)}
	s.hi = min(alignUp(m.lead+off+n), int64(m.mem.Len()))
	if n == 0 {
		s.hi = s.lo
	}
	return s
}

// pageSpanLocked is pageSpanOf for a caller that holds mu. A span to the end is
// one of the current mapping also where it has no byte yet.
func (r *Region) pageSpanLocked(off, n int64) (pageSpan, error) {
	m, size, err := r.mappedRangeLocked(off, n)
	if err == nil && m == nil && n == ToEnd {
		m, err = r.mappedLocked()
		if errors.Is(err, errEmpty) {
			at := AlignDown(r.lead())
			return pageSpan{lo: at, hi: at, off: off, toEnd: true}, nil
		}
	}
	if err != nil || m == nil {
		return pageSpan{}, err
	}
	return newPageSpan(m, off, size, n == ToEnd), nil
}

// pageChange is a change of what pages are.
type pageChange struct {
	call    func(s pageSpan) error // the system call, on pages of the current mapping
	old     func(b []byte) error   // likewise for the same pages of an earlier mapping, or nil
	update  func(*pageAttr)        // what of it lasts, or nil
	whole   bool                   // pages that lie partly outside the range are left alone
	follows bool                   // a range to the end includes what the file grows by
}

// changePages makes a change of the pages of a range, all of it under the
// control lock: the range is resolved, the call made on whatever mapping is
// current then, and the change recorded for later mappings. Pages that were
// released are left alone, since some calls would revive them.
func (r *Region) changePages(off, n int64, c pageChange) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.pageSpanLocked(off, n)
	if err != nil {
		return err
	}
	if c.whole {
		s.wholePagesOnly()
	}
	if c.follows {
		s.toCapacity()
	}
	if s.empty() {
		r.recordForGrowth(s, c)
		return nil
	}
	now := r.attrs.get()
	if _, ok := now.firstWhere(s.lo, s.hi, func(a pageAttr) bool { return a.released }); ok {
		return fmt.Errorf("part of the range was released: %w", sys.Fault)
	}
	next := now
	if c.update != nil {
		hi := s.hi
		if s.toEnd && c.follows {
			hi = math.MaxInt64
		}
		next = now.update(s.lo, hi, !r.memoryOnly(), c.update)
		if !s.m.mem.ReserveVMAs(next.extraVMAs()) {
			return addrspace.ErrTooMany
		}
	}
	if err := c.call(s); err != nil {
		s.m.mem.ReserveVMAs(now.extraVMAs())
		return err
	}
	if c.update != nil {
		r.attrs.set(next)
		if c.old != nil {
			s.forget() // what a reader came to know while the call was made
		}
		r.setLimits(s.m, r.size.Load())
	}
	if c.old == nil {
		return nil
	}
	return r.eachOldRange(s.lo, s.hi, c.old)
}

// recordForGrowth records attributes for bytes that do not exist yet; applyAttrs
// gives them to the mapping that will hold them. mu is held.
func (r *Region) recordForGrowth(s pageSpan, c pageChange) {
	if !s.toEnd || !c.follows || c.update == nil || r.memoryOnly() {
		return
	}
	r.attrs.set(r.attrs.get().update(s.lo, math.MaxInt64, true, c.update))
	if s.m != nil {
		r.setLimits(s.m, r.size.Load())
	}
}

// eachOldRange calls fn for the same pages of earlier mappings, whose slices may
// still be in use. mu is held.
func (r *Region) eachOldRange(lo, hi int64, fn func(b []byte) error) (err error) {
	m := r.m.Load()
	for _, s := range r.ranges {
		if m != nil && s == m.mem.State {
			continue
		}
		s.Mapped(func(b []byte) {
			if hi := min(hi, int64(len(b))); lo < hi {
				s.AddVMAs(2)
				err = firstError(err, fn(b[lo:hi]))
			}
		})
	}
	return err
}

// checkRange checks a range, and that the Region is open.
func (r *Region) checkRange(off, n int64) (int64, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	if r.isClosed() {
		return 0, os.ErrClosed
	}
	return r.resolveRange(off, n)
}
