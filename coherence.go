package mmap

import (
	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// syncIncoherent makes memory and descriptor show the same bytes where they do
// not by themselves (OpenBSD): it writes out what was stored to memory, and lets
// memory forget. What is lost by that the next Flush says. mu is not held.
func (r *Region) syncIncoherent(off, n int64) {
	if r.incoherent && !r.memoryOnly() && n > 0 {
		r.setSticky(r.syncRanges(off, n))
	}
}

// syncExposed is syncIncoherent for what the descriptor is about to read or
// write, or has written, while somebody may be using memory.
func (r *Region) syncExposed(off, n int64) {
	if !r.incoherent {
		return
	}
	m := r.m.Load()
	if m != nil && (m.mem.Escaped() || m.aliased() || r.escapedEnd.Load() > 0 || m.dirtyEnd.Load() > 0) {
		r.syncIncoherent(off, n)
	}
}

// syncRanges writes what was stored to the n bytes at off to the file, in every
// mapping that there still is. fsync makes it durable. mu is not held.
func (r *Region) syncRanges(off, n int64) (err error) {
	var few [8]*addrspace.State // so that nothing is allocated
	r.mu.Lock()
	ranges := append(few[:0], r.ranges...)
	r.mu.Unlock()
	lead := r.lead()
	lo := AlignDown(lead + off)
	for _, s := range ranges {
		hi := int64(s.Len())
		if n < hi-lead-off {
			hi = alignUp(lead + off + n)
		}
		s.Mapped(func(b []byte) {
			r.attrs.get().runs(lo, hi, func(a pageAttr, lo, hi int64) {
				if !a.released {
					err = firstError(err, sys.SyncMemory(b[lo:hi]))
				}
			})
		})
	}
	return err
}
