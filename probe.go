package mmap

import (
	"errors"
	"math/rand/v2"
	"runtime"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

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

// isResident reports whether all of [off, off+n) is known to be resident, and
// asks the system about blocks that it was not yet asked about.
func (r *Region) isResident(m *mapping, off, n int64) bool {
	lo, hi := m.pageRange(off, n)
	if r.f == nil {
		return true // memory without a file waits for no storage
	}
	if m.residency.resident.Contains(lo, hi) {
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

// maxEagerPopulate is up to how many bytes of a write are made writable without a budget.
const maxEagerPopulate = 32 << 10

// makeWritable makes the pages of [off, off+n), which were written before, ready to be
// stored to, in a system call, and reports whether it did. That costs more than the
// write that is made of it, so it is done where it pays.
//
// A large write does it out of a budget: see spendBudget. A write within one page
// looks at the pages around it that share a word of the bitmap. Many pages cost
// a third in one call of what they cost one by one, so where half of a word
// was written all of it is made writable: then at most every second page that becomes
// dirty was not written to. And since a repeated write says that others will be, but not
// soon where so many pages are written to, it goes on with a chance only, less
// the more there are: so populating begins when the repeats have cost about half of it.
// Behind a page that is stored to it goes on at once: that is a file written in order.
func (r *Region) makeWritable(m *mapping, off, n int64) bool {
	const word = 64
	p := m.residency
	if n > maxEagerPopulate && r.serve != AccessMemory && !p.spendBudget(n) {
		return false
	}
	if lo, hi := m.pageRange(off, n); hi-lo == 1 && r.serve != AccessMemory {
		from := lo &^ (word - 1)
		around := p.written.Count(from, min(from+word, p.n))
		inRow := lo > 0 && p.writable.Contains(lo-1, lo)
		if around > 2 && !inRow && rand.Int64N(around) >= 2 {
			return false
		}
		if start := from<<pageShift - m.lead; around >= word/2 && r.attrs.get() == nil && m.backs(start, word<<pageShift) && r.populateForStores(m, start, word<<pageShift) {
			p.written.Add(from, from+word)
			return true
		}
	}
	return r.populateForStores(m, off, n)
}

// populateForStores makes the pages of [off, off+n) writable.
func (r *Region) populateForStores(m *mapping, off, n int64) bool {
	if !r.admit(m, off, n) || sys.Populate(m.pagesOf(off, n), true) != nil {
		return false
	}
	r.markWritable(m, off, n)
	return true
}
