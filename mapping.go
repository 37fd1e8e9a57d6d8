// This file may use unsafe: it knows where a mapping lies.

package mmap

import (
	"sync/atomic"
	"unsafe"

	"github.com/seed-93fed273/mmap/internal/addrspace"
)

// mapping is what a Region shows of its memory at one time. ReadAt and WriteAt
// load the Region's pointer to it and need nothing else: no lock, no counter.
//
//		mem[0]      at = the Region's byte 0
//		  |  lead   |                                                          |
//		  +---------+-----------------+------------+----------------+----------+
//		            0             readLimit    writeLimit         backed    capacity
//		            '- known to be resident -'                       '- reserve -'
//
//	  - lead: a mapping begins at a multiple of Granularity, a Region anywhere.
//	  - readLimit: a read that ends below it copies from memory at once.
//	  - writeLimit: a write that ends below it copies to memory at once.
//	  - backed: up to here the file has bytes, so memory may be touched. Reads and
//	    writes between the limits and backed look at the residency first.
//	  - capacity: up to here the mapping reaches. What of the file lies beyond is
//	    read and written through the descriptor.
//
// Always readLimit, writeLimit <= backed <= capacity; the file's size may be
// greater than capacity. The two limits are independent of each other.
//
// But for the limits and backed a mapping is immutable; it is replaced as a
// whole. Growth past capacity replaces it by one of a new range of addresses.
// Our own Truncate replaces it by one of the same range: a WriteAt that began
// before keeps using the old mapping, and notes its end in the old dirtyEnd,
// which no Flush reads.
//
// old are the ranges of earlier mappings that somebody may still hold: slices
// there show the same bytes of the file at second addresses, so that no
// comparison of addresses finds an overlap. While there are any, both limits
// stay 0, and the paths behind the limits look whether a buffer lies in one.
type mapping struct {
	mem        *addrspace.Range // whoever uses at keeps this, or the mapping, alive
	at         unsafe.Pointer   // the Region's byte 0
	lead       int64            // bytes of mem before at
	capacity   int64            // bytes from at on that the mapping reaches
	readLimit  atomic.Int64     // see above
	writeLimit atomic.Int64     // see above
	backed     atomic.Int64     // see above
	residency  *residency       // what is known of the pages
	dirtyEnd   *atomic.Int64    // the highest end of a store since the last Flush
	idle       atomic.Bool      // nothing was stored since the last step of the ager

	old atomic.Pointer[[]*addrspace.State] // see above; nil: none
}

// raise makes end the value of a, unless that is higher already.
func raise(a *atomic.Int64, end int64) {
	for {
		old := a.Load()
		if end <= old || a.CompareAndSwap(old, end) {
			return
		}
	}
}

// noteStore notes that a store ended at end, or may have.
func (m *mapping) noteStore(end int64) {
	if m.idle.Load() {
		m.idle.Store(false)
	}
	raise(m.dirtyEnd, end)
}

// aliased reports whether bytes of the mapping may be known at second addresses.
func (m *mapping) aliased() bool { return m.old.Load() != nil }

// inOld reports whether p begins in the memory of an earlier mapping.
func (m *mapping) inOld(p []byte) bool {
	old := m.old.Load()
	if old == nil {
		return false
	}
	for _, s := range *old {
		if _, ok := s.Offset(uintptr(dataPtr(p))); ok {
			return true
		}
	}
	return false
}

// forgetOld lets the limits rise again once the earlier ranges are gone, and
// reports whether it did.
func (m *mapping) forgetOld() bool {
	old := m.old.Load()
	if old == nil {
		return false
	}
	for _, s := range *old {
		if !s.Gone() {
			return false
		}
	}
	m.old.Store(nil)
	return true
}

// headPages returns the memory of the first n bytes, in whole pages.
func (m *mapping) headPages(n int64) []byte {
	return m.pagesOf(-m.lead, m.lead+n)
}
