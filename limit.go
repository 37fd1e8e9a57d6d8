package mmap

import (
	"sync/atomic"

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
	if !p.units.Contains(first, end) && !p.admit(m.mem, first, end, r.serve == AccessMemory) {
		residentRefused.Store(true)
		return false
	}
	p.touch(first, end)
	return true
}

// sweepAll is what the clock does for the limit. It sweeps the Regions if memory was
// refused since the last time, once a second for each 4 GiB of the limit.
func sweepAll(regions []*Region) {
	const most = 4 << 30
	if !addrspace.Limited() {
		return
	}
	in, _ := addrspace.Resident()
	sweep := residentRefused.Load() && sweepsSkipped.Add(1) > in/most
	if sweep {
		sweepsSkipped.Store(0)
		residentRefused.Store(false)
	}
	for _, r := range regions {
		m := r.m.Load()
		if m == nil {
			continue
		}
		m.inspect()
		if sweep {
			r.sweep(m, true)
		}
	}
}

// sweepsSkipped counts the seconds since the last sweep.
var sweepsSkipped atomic.Int64

// sweep takes units of m out of the process: all, or those that were not
// touched since the last sweep.
func (r *Region) sweep(m *mapping, untouched bool) {
	p := m.residency
	for first := p.units.NextSet(0, p.units.N); first < p.units.N; {
		end := min(p.units.NextClear(first, p.units.N), first+64) // small steps: touched may change
		if untouched {
			if at := p.touched.NextSet(first, end); at == first {
				end = p.touched.NextClear(first, end)
				p.touched.Remove(first, end)
			} else {
				m.dismiss(first, at)
				end = at
			}
		} else {
			m.dismiss(first, end)
		}
		first = p.units.NextSet(end, p.units.N)
	}
}

// settle lets [off, off+n), which was admitted, into the process now and not at a
// touch, and takes out what came with it. Linux maps all of a large folio, up to
// 2 MiB, when one page of it is touched.
func (r *Region) settle(m *mapping, off, n int64) {
	if !addrspace.Limited() || r.memoryOnly() {
		return
	}
	_ = sys.Populate(m.pagesOf(off, n), false)
	m.takeOutUncounted(m.residency.blockPages(m.pageRange(off, n)))
}
