package mmap

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// pageSpan is a range of the memory in whole pages: [lo, hi) from its first
// page on.
type pageSpan struct {
	m      *mapping
	lo, hi int64
	off, n int64 // the range as it was asked for, from the Region's byte 0 on
	toEnd  bool  // hi stands for all that the memory will ever show
}

func (c *pageSpan) empty() bool { return c.m == nil || c.lo >= c.hi }

// bytes returns the memory of the section.
func (c *pageSpan) bytes() []byte { return c.m.mem.b[c.lo:c.hi] }

// wholePagesOnly leaves out the pages that lie partly outside the range. The Region's
// own last page is whole: nothing but its bytes counts there.
func (c *pageSpan) wholePagesOnly() {
	if c.m == nil {
		return
	}
	lo, hi := c.m.lead+c.off, c.m.lead+c.off+c.n
	c.lo = alignUp(lo)
	if !c.toEnd {
		c.hi = AlignDown(hi)
	}
}

// pageSpanOf checks a range and maps the Region if it is not yet. The section is
// widened to whole pages.
func (r *Region) pageSpanOf(off, n int64) (pageSpan, error) {
	m, size, err := r.mappedRange(off, n)
	if err == nil && m == nil && n == ToEnd {
		m, err = r.mapped() // for what the file grows by
		if errors.Is(err, errEmpty) {
			at := AlignDown(r.lead())
			return pageSpan{lo: at, hi: at, toEnd: true}, nil
		}
	}
	if err != nil || m == nil {
		return pageSpan{}, err
	}
	c := pageSpan{m: m, off: off, n: size, toEnd: n == ToEnd}
	c.lo = AlignDown(m.lead + off)
	c.hi = min(alignUp(m.lead+off+size), int64(len(m.mem.b)))
	if size == 0 {
		c.hi = c.lo
	}
	return c, nil
}

// toCapacity makes a section to the end reach as far as the memory, so that what is
// made of it holds for what the file grows by.
func (c *pageSpan) toCapacity() {
	if c.toEnd && c.m != nil {
		c.hi = int64(len(c.m.mem.b))
	}
}

// forget forgets what is known of the pages of b, which is the section's
// memory.
func (c *pageSpan) forget(b []byte) {
	lo, hi := c.lo>>pageShift, (c.lo+int64(len(b)))>>pageShift
	c.m.forgetIn(&c.m.residency.resident, &c.m.readLimit, lo, hi)
	c.m.forgetWrites(lo, hi)
}

// changePages makes a system call that changes what the section's memory is, holds
// the control lock meanwhile, and notes the change in the layout. A revoked or
// released range is left alone: some calls would revive it.
func (r *Region) changePages(c pageSpan, note func(*pageAttr), call func(b []byte) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return os.ErrClosed
	}
	if c.empty() {
		r.recordForGrowth(c, note)
		return nil
	}
	m, err := r.mappedLocked()
	if err != nil {
		return err
	}
	c.m, c.hi = m, min(c.hi, int64(len(m.mem.b))) // it may have been replaced
	now := r.attrs.get()
	if _, ok := now.firstWhere(c.lo, c.hi, func(a pageAttr) bool { return a.released }); ok {
		return fmt.Errorf("part of the range was released: %w", sys.Fault)
	}
	if note == nil {
		return call(c.bytes())
	}
	hi := c.hi
	if c.toEnd {
		hi = math.MaxInt64
	}
	next := now.update(c.lo, hi, !r.memoryOnly(), note)
	if !c.m.mem.reserveVMAs(next.extraVMAs()) {
		return errTooManyMaps
	}
	if err := call(c.bytes()); err != nil {
		c.m.mem.reserveVMAs(now.extraVMAs())
		return err
	}
	r.attrs.set(next)
	r.setLimits(c.m, r.size.Load())
	return nil
}

// recordForGrowth notes a change of bytes that are not there yet, and that no memory
// shows: the mapping that will is made like that. mu is held.
func (r *Region) recordForGrowth(c pageSpan, note func(*pageAttr)) {
	if !c.toEnd || note == nil || r.memoryOnly() {
		return
	}
	r.attrs.set(r.attrs.get().update(c.lo, math.MaxInt64, true, note))
	if c.m != nil {
		r.setLimits(c.m, r.size.Load())
	}
}

// eachOldRange calls fn for the same pages of earlier mappings, whose slices may
// still be in use. mu is held.
func (r *Region) eachOldRange(lo, hi int64, fn func(b []byte) error) (err error) {
	for _, w := range r.oldRanges {
		if mem := w.Value(); mem != nil && lo < int64(len(mem.b)) {
			mem.addVMAs(2)
			err = firstError(err, fn(mem.b[lo:min(hi, int64(len(mem.b)))]))
			runtime.KeepAlive(mem)
		}
	}
	return err
}

// checkRange checks a range, and that the Region is open.
func (r *Region) checkRange(off, n int64) (int64, error) {
	if r.closed.Load() {
		return 0, os.ErrClosed
	}
	return r.resolveRange(off, n)
}
