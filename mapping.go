// This file may use unsafe: it knows where a mapping lies.

package mmap

import (
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/bitmap"
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

// forgetOld lets the limits rise again once nobody may know the earlier ranges.
func (m *mapping) forgetOld() {
	if old := m.old.Load(); old != nil && !slices.ContainsFunc(*old, (*addrspace.State).Known) {
		m.old.Store(nil)
	}
}

// residency is what is known of the pages of one memory. All of it is advisory:
// a bit that is wrong costs time, not correctness.
type residency struct {
	n        int64      // pages
	resident bitmap.Set // found resident
	probed   bitmap.Set // by block: the system was asked what is cached
	written  bitmap.Set // written through the descriptor since the last Flush
	writable bitmap.Set // found writable

	// See residentlimit.go. Units are counted in addresses, and so are blocks.
	counting  sync.Mutex   // held while units changes
	units     bitmap.Set   // counted as in the process's memory
	wanted    bitmap.Set   // units that were not let in since the last sweep
	touched   bitmap.Set   // units used since the last sweep
	dismissed bitmap.Set   // units that were taken out, and may have come back
	unitLead  int64        // pages of the first unit that lie before the memory
	blockLead int64        // pages of the first block that do
	folios    atomic.Int32 // how often no more came in than was asked for, in a row
	inspected atomic.Int64 // units below it were looked at

	populateBudget  atomic.Int64 // bytes: see afford
	noWriteback     bool         // nothing is ever written back, and nothing dirty
	disturbed       atomic.Int32 // for how many seconds more a fault reads one page only: see calm
	writebackActive atomic.Bool  // the system wrote pages back since the last ageing but one
}

// newResidency knows nothing yet of the pages of mem.
func newResidency(mem *addrspace.Range, noWriteback bool) *residency {
	n := int64(mem.Len()) >> pageShift
	p := &residency{n: n, noWriteback: noWriteback}
	before, _ := mem.Offset(0) // minus the first address
	p.unitLead = -before >> pageShift & (1<<aroundShift - 1)
	p.blockLead = -before >> pageShift & (1<<blockShift - 1)
	p.units.N = (p.unitLead+n-1)>>aroundShift + 1
	p.wanted.N, p.touched.N, p.dismissed.N = p.units.N, p.units.N, p.units.N
	p.resident.N, p.written.N, p.writable.N = n, n, n
	p.probed.N = (n + probePages - 1) / probePages
	return p
}

// probePages is how many pages the system is asked about at once: 2 MiB of small
// pages. The answer costs 0.5 to 20 µs, and is asked for once a block.
const probePages = 512

// assumePages is what tests let the library believe of pages: whatever it believes
// must not change a result. It is set before anything is opened.
var assumePages = assumeNothing

// Values of assume.
const (
	assumeNothing = iota // what was seen
	assumeCold           // no page is resident, none is writable: all goes the long way
	assumeWarm           // all pages are both: memory is touched without another look
)

// aroundShift is the binary logarithm of the pages in a unit: fault_around_bytes
// of Linux, which other systems do not exceed.
var aroundShift = func() (shift int) {
	for pageSize<<shift < 64<<10 {
		shift++
	}
	return shift
}()

// blockShift is the binary logarithm of the pages in a block, of which a fault maps
// no more than one: the pages of one table.
const blockShift = 9
