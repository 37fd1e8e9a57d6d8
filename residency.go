package mmap

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/bitmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// What may wait, waits in a system call: a fault in Go code holds a processor
// until the page has come, and with it the next collection. So memory is
// touched only where the page was seen a short while ago, resident for a read
// and writable for a write. Everything else goes by the descriptor, and is
// learned from that.
//
// What was seen ages. Once a second, while a Region is open that ever saw any, the
// library looks whether the process took faults that waited for storage, and
// asks the system how much is still cached: pages seen resident may be resident
// no longer. It also asks how much is still dirty: the system makes a page clean
// when it writes it, and the next store asks the file system again, which may
// be frozen or throttling. So a page stays writable as long as it is dirty and
// the Region is being written to; where the system does not tell, for a second.
// While pages are being written back none is stored to at all. A page lost
// between two looks costs one fault.

// residency is what is known of the pages of one memory. All of it is advisory:
// a bit that is wrong costs time, not correctness.
type residency struct {
	n        int64      // pages
	resident bitmap.Set // found resident
	probed   bitmap.Set // by block: the system was asked what is cached
	written  bitmap.Set // written by the descriptor since the last Flush
	writable bitmap.Set // found writable

	// See residentlimit.go. Units are counted in addresses, and so are blocks.
	counting  sync.Mutex   // held while units changes
	units     bitmap.Set   // counted as in the process's memory
	wanted    bitmap.Set   // units that were not let in since the last sweep
	touched   bitmap.Set   // units used since the last sweep
	dismissed bitmap.Set   // units that were taken out
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

// pageRange returns the pages of the memory that hold [off, off+n), n > 0.
func (m *mapping) pageRange(off, n int64) (lo, hi int64) {
	return (m.lead + off) >> pageShift, (m.lead+off+n-1)>>pageShift + 1
}

// backs reports whether memory has [off, off+n) at all.
func (m *mapping) backs(off, n int64) bool {
	extent := m.backed.Load()
	return uint64(off) <= uint64(extent) && n <= extent-off && n > 0
}

// markResident notes that [off, off+n) is resident, and raises the limit below which
// nobody asks any more.
func (r *Region) markResident(m *mapping, off, n int64) {
	if r.permittedPrefix(off, n, sys.Read) < n || r.anyReleased(off, n) {
		return // what may not be read must not become readable by being known
	}
	if r.serves(m) && r.admit(m, off, n) {
		r.settle(m, off, n)
		r.learn(m, &m.residency.resident, &m.readLimit, off, n)
	}
	r.register()
}

// markWritable notes that [off, off+n), which was admitted, can be stored to without
// a fault.
func (r *Region) markWritable(m *mapping, off, n int64) {
	r.learn(m, &m.residency.writable, &m.writeLimit, off, n)
	r.markResident(m, off, n)
}

// add puts the pages of [off, off+n) into a set, and raises the bound below
// which all are in it.
func (m *mapping) add(set *bitmap.Set, bound *atomic.Int64, off, n int64) {
	if assumePages == assumeCold {
		return
	}
	lo, hi := m.pageRange(off, n)
	set.Add(lo, hi)
	if from := (m.lead + bound.Load()) >> pageShift; from >= lo && from < hi {
		m.raise(set, bound)
	}
}

// Three functions change a bound, and none lets it end above what is known or
// above backed, whatever runs beside it. raise looks at both again after it has
// raised; forgetIn and setBacked lower the bound after they have changed them.
// So whoever comes last sees what the other did.

// raise raises a bound to where the pages end that are in its set.
func (m *mapping) raise(set *bitmap.Set, bound *atomic.Int64) {
	if m.aliased() || addrspace.Limited() {
		return // it stays 0: see mapping, and residentlimit.go
	}
	at := bound.Load()
	to := m.knownEnd(set, at)
	if to > at && bound.CompareAndSwap(at, to) {
		lower(bound, m.knownEnd(set, at))
	}
}

// knownEnd returns up to where all bytes from at on are there, and their pages
// in the set.
func (m *mapping) knownEnd(set *bitmap.Set, at int64) int64 {
	end := set.NextClear((m.lead+at)>>pageShift, m.residency.n)<<pageShift - m.lead
	return max(min(end, m.backed.Load()), 0)
}

// lower lowers a bound to at, unless it is there already.
func lower(bound *atomic.Int64, at int64) {
	for old := bound.Load(); old > at && !bound.CompareAndSwap(old, at); {
		old = bound.Load()
	}
}

// setBacked says how many bytes of the mapping are there. mu is held.
func (m *mapping) setBacked(n int64) {
	m.backed.Store(n)
	lower(&m.readLimit, n)
	lower(&m.writeLimit, n)
}

// forgetIn takes the pages [lo, hi) out of a set, and lowers its bound.
func (m *mapping) forgetIn(set *bitmap.Set, bound *atomic.Int64, lo, hi int64) {
	set.Remove(lo, hi)
	lower(bound, max(lo<<pageShift-m.lead, 0))
}

// forget forgets that [off, off+n) was seen: touching it faulted.
func (m *mapping) forget(off, n int64) {
	lo, hi := m.pageRange(off, n)
	m.forgetIn(&m.residency.resident, &m.readLimit, lo, hi)
	m.forgetWrites(lo, hi)
}

// isResident reports whether all of [off, off+n) is known to be resident, and
// asks the system about blocks that it was not yet asked about.
func (r *Region) isResident(m *mapping, off, n int64) bool {
	lo, hi := m.pageRange(off, n)
	if r.f == nil {
		return true // memory without a file waits for no storage
	}
	if m.residency.resident.Contains(lo, hi) {
		m.noteUse(off, n)
		return true
	}
	if r.noCachestat.Load() || addrspace.Limited() {
		return false // with a limit, only what is used may be let in
	}
	for block := lo / probePages; block*probePages < hi; block++ {
		if !r.probeBlock(m, block) {
			return false
		}
	}
	return m.residency.resident.Contains(lo, hi)
}

// probeBlock reports whether a block of pages is in the page cache, and notes
// it. It asks once until the next ageing.
func (r *Region) probeBlock(m *mapping, block int64) bool {
	lo := block * probePages
	end := min((lo+probePages)<<pageShift, m.lead+m.backed.Load())
	hi := (end + pageSize - 1) >> pageShift
	if m.residency.resident.Contains(lo, hi) {
		return true
	}
	if m.residency.probed.Contains(block, block+1) || end <= lo<<pageShift {
		return false
	}
	m.residency.probed.Add(block, block+1)
	c, err := r.cachestat(m, lo<<pageShift, end)
	if err != nil {
		r.noCachestat.Store(true)
		return false
	}
	if int64(c.Cached) < hi-lo {
		return false
	}
	off := max(lo<<pageShift-m.lead, 0)
	r.markResident(m, off, end-m.lead-off)
	return true
}

// bringInStep is how many bytes are brought in at once.
const bringInStep = 1 << 20

// bringIn brings [off, off+n) of a file into memory, inside system calls, and
// reports whether it is there. It starts reading all pages of a step at once,
// lets other goroutines start theirs, and only then waits: populating alone goes
// the way of a fault, page after page, each with a read-around of its own. While it
// waits for one step the next is being read.
func (r *Region) bringIn(m *mapping, off, n int64) bool {
	end := off + n
	_ = sys.Advise(m.pagesOf(off, min(n, bringInStep)), sys.WillNeed)
	runtime.Gosched()
	for ; off < end; off += bringInStep {
		if next := off + bringInStep; next < end {
			_ = sys.Advise(m.pagesOf(next, min(end-next, bringInStep)), sys.WillNeed)
		}
		step := min(end-off, bringInStep)
		err := sys.Populate(m.pagesOf(off, step), false)
		if errors.Is(err, errors.ErrUnsupported) {
			err = r.readThrough(off, step)
		}
		if err != nil {
			return false
		}
	}
	runtime.KeepAlive(m)
	return true
}

// readThrough brings [off, off+n) into the page cache by reading it, where no
// call populates memory.
func (r *Region) readThrough(off, n int64) error {
	if r.incoherent {
		return errors.ErrUnsupported
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	for end := off + n; off < end; off += int64(len(buf)) {
		if _, err := r.f.ReadAt(buf[:min(end-off, int64(len(buf)))], r.base+off); err != nil {
			return err
		}
	}
	return nil
}

// forgetFrom forgets what was known of the pages from the one with size on.
func (m *mapping) forgetFrom(size int64) {
	lo := (m.lead + size) >> pageShift
	m.forgetIn(&m.residency.resident, &m.readLimit, lo, m.residency.n)
	m.forgetWrites(lo, m.residency.n)
	m.residency.probed.Remove(lo/probePages, (m.residency.n+probePages-1)/probePages)
}

// forgetWrites forgets that the pages [lo, hi) were written to: they are clean now.
func (m *mapping) forgetWrites(lo, hi int64) {
	m.forgetIn(&m.residency.writable, &m.writeLimit, lo, hi)
	m.residency.written.Remove(lo, hi)
}

// spendBudget reports whether a large write that could go by the descriptor should
// make its n bytes writable instead. Once that costs four times the write; every
// later one is then several times as fast, if there is one before the next
// Flush. So it is paid from what was earned: a little of every such write (one in
// 128 may do it), and a part of what those from memory saved. Who writes
// everything again and again has all of it in memory after some twenty times, and
// is never slower on the way by more than a few percent.
func (p *residency) spendBudget(n int64) bool {
	if p.populateBudget.Add(n/128) < n {
		return false
	}
	p.populateBudget.Add(-n)
	return true
}
