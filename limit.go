package mmap

import (
	"sync"
	"time"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// SetResidentLimit sets how many bytes of files may be in the process's memory
// through ReadAt, WriteAt and their kin, of all Regions together, and returns
// the limit before. [math.MaxInt64], which it is at first, means none; 0 means
// that descriptors serve everything; a negative number changes nothing, and only
// asks.
//
// Up to the limit memory serves as ever. Beyond it what was not used for a
// second or two gives way to what is, and the rest is read and written through the
// descriptor, at the speed of an [os.File]. So what is used most is soon in memory, also
// when that becomes something else. A lower limit is kept before
// SetResidentLimit returns.
//
// What counts is what the kernel maps when a page is touched: 64 KiB around it,
// where these are cached. What does not count, and is not taken away: bytes that
// the caller touches himself, by [Region.View], [Region.Bytes], [Slice] and [Pointer],
// private and anonymous memory, and pinned memory. A Region with [AccessMemory] counts and is
// never refused.
//
// The limit is one of the process's resident set (RSS; the third number of
// /proc/self/statm, and RssFile of /proc/self/status), not of the system's page
// cache. In Kubernetes the page cache of files that a pod has read counts as
// its memory too, whether they are mapped or read: container_memory_rss is
// anonymous memory alone, container_memory_mapped_file what this limit is
// about, and container_memory_working_set_bytes, by which pods are evicted, is
// all memory but the inactive part of the page cache. Pages that are not mapped
// become inactive sooner, so a limit lowers that number, and does not
// bound it; see [Region.Evict] for that. Out of memory kills no pod for page cache,
// mapped or not, that the kernel can write back and drop.
//
// Where the system cannot take pages out of a process (Windows), memory that was
// let in before stays until Close when the limit is lowered.
func SetResidentLimit(bytes int64) (previous int64) {
	_, previous = addrspace.Resident()
	if bytes < 0 {
		return previous
	}
	addrspace.LimitResident(bytes)
	if !addrspace.Limited() {
		return previous // the fast paths come back with the next asking
	}
	for _, r := range liveRegions() {
		if m := r.m.Load(); m != nil && !r.memoryOnly() {
			lower(&m.readLimit, 0)
			lower(&m.writeLimit, 0)
			r.adviseAll(m, sys.NoHugePage)
		}
	}
	for _, untouched := range []bool{true, false} { // first what was not used lately
		for _, r := range liveRegions() {
			if in, limit := addrspace.Resident(); in <= limit {
				return previous
			}
			if m := r.m.Load(); m != nil {
				r.sweep(m, untouched)
			}
		}
	}
	return previous
}

// admit counts [off, off+n) as memory that is touched, and reports whether it may be.
// What is the process's own in any case is not counted.
func (r *Region) admit(m *mapping, off, n int64) bool {
	if r.memoryOnly() {
		return true
	}
	p := m.residency
	first, end := p.unitRange(m.pageRange(off, n))
	if !p.units.Contains(first, end) {
		if force := r.serve == AccessMemory; !force && !p.wantedAgain(first, end) || !p.admit(m.mem, first, end, force) {
			residentRefused.Store(true)
			return false
		}
	}
	p.touch(first, end)
	return true
}

// noteUse marks [off, off+n), which was touched, as used, if that is of interest.
func (r *Region) noteUse(m *mapping, off, n int64) {
	if !addrspace.Limited() || r.memoryOnly() {
		return
	}
	p := m.residency
	first, end := p.unitRange(m.pageRange(off, n))
	if p.units.Contains(first, end) {
		p.touch(first, end)
	} else {
		p.strayed(first, end)
	}
}

// sweepAll is what the clock does for the limit, and returns how long it will be until
// it does so again.
func sweepAll(regions []*Region, now time.Time) time.Duration {
	if !addrspace.Limited() {
		return agingInterval
	}
	sweeper.mu.Lock()
	defer sweeper.mu.Unlock()
	if wait := sweeper.next.Sub(now); wait > 0 {
		return wait
	}
	scarce := residentRefused.Swap(false)
	residentScarce.Store(scarce)
	kept, gone := int64(0), int64(0)
	for _, r := range regions {
		if m := r.m.Load(); m != nil && scarce {
			k, g := r.sweep(m, true)
			kept, gone = kept+k, gone+g
		}
	}
	switch {
	case !scarce || gone > kept:
		sweeper.every *= 2
	case gone < kept/8:
		sweeper.every /= 2
	}
	in, _ := addrspace.Resident()
	least := max(minSweepInterval, time.Duration(in)*agingInterval/maxSwept)
	sweeper.every = max(min(sweeper.every, agingInterval), min(least, agingInterval))
	sweeper.next = now.Add(sweeper.every)
	return sweeper.every
}

// sweep takes units of m out of the process: all, or those that were not
// touched since the last sweep. It returns how many it kept, and how many are gone.
func (r *Region) sweep(m *mapping, untouched bool) (kept, gone int64) {
	p := m.residency
	p.wanted.Remove(0, p.units.N)
	for first := p.units.NextSet(0, p.units.N); first < p.units.N; first = p.units.NextSet(first, p.units.N) {
		end := p.units.NextClear(first, p.units.N)
		marked := end
		if untouched {
			marked = p.touched.NextSet(first, end)
		}
		if first < marked {
			m.dismiss(first, marked)
			gone += marked - first
			first = marked
			continue
		}
		marked = p.touched.NextClear(first, end)
		p.touched.Remove(first, marked)
		kept += marked - first
		first = marked
	}
	return kept, gone
}

// settle lets [off, off+n), which was admitted, into the process now and not at a
// touch, and takes out what came with it: Linux maps all of a large folio, up to
// 2 MiB, when one page of it is touched. What came of the same units is known as
// well.
func (r *Region) settle(m *mapping, off, n int64) {
	if !addrspace.Limited() || r.memoryOnly() {
		return
	}
	_ = sys.Populate(m.pagesOf(off, n), false)
	p := m.residency
	lo, hi := m.pageRange(off, n)
	if few := p.folios.Load(); few < wellKnown || few%wellKnown == 0 {
		first, end := p.blockPages(lo, hi)
		if m.takeOutUncounted(first, end) {
			p.folios.Store(0)
		} else {
			p.folios.Add(1)
		}
	} else {
		p.folios.Add(1) // inspect finds what this does not
	}
	if r.attrs.get() != nil {
		return // not all of it may be read
	}
	lo, hi = p.unitPages(p.unitRange(lo, hi))
	hi = min(hi, (m.lead+m.backed.Load())>>pageShift)
	if lo >= hi {
		return
	}
	in := make([]bool, hi-lo)
	if sys.Present(m.mem.Bytes()[lo<<pageShift:hi<<pageShift], in) != nil {
		return
	}
	for i, is := range in {
		if page := lo + int64(i); is {
			p.resident.Add(page, page+1)
		}
	}
	m.stillAdmitted(lo, hi)
}

// sweeper says when the next sweep is due.
var sweeper struct {
	mu    sync.Mutex
	every time.Duration // between two sweeps
	next  time.Time
}

// Bounds of the time between two sweeps, and how many bytes one may look at a
// second: it takes 0.1 ms a GiB.
const (
	minSweepInterval = agingInterval / 64
	maxSwept         = 64 << 30
)
