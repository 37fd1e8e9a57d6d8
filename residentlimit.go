package mmap

import (
	"slices"
	"sync/atomic"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// How it works. Memory is counted in units of what a fault may map: the pages of a
// mapping that lie in the same 64 KiB of addresses. A page becomes known (residency.go)
// only in a unit that is counted, and pages that are not known are not touched.
// While there is a limit the bounds of the fast paths stay 0, so every read and
// write looks at the bitmaps, and leaves a mark on its units.
//
// While memory is wanted that the limit forbids, the clock sweeps. Units without a
// mark are forgotten, taken out of the process (MADV_DONTNEED), and no longer
// counted; the others lose the mark. A unit is let in when it is wanted the second time
// between two sweeps. The time between two sweeps is such that some units are
// unmarked, and not most: what stays is what is used more often than that.

// residentRefused is set when memory is wanted that the limit forbids, and
// residentScarce while that was so in the last round.
var residentRefused, residentScarce atomic.Bool

// unitRange returns the units that hold the pages [lo, hi).
func (p *residency) unitRange(lo, hi int64) (first, end int64) {
	return (p.unitLead + lo) >> aroundShift, (p.unitLead+hi-1)>>aroundShift + 1
}

// unitPages returns the pages that the units [first, end) hold.
func (p *residency) unitPages(first, end int64) (lo, hi int64) {
	return max(first<<aroundShift-p.unitLead, 0), min(end<<aroundShift-p.unitLead, p.n)
}

// unitBytes is what n units count.
func unitBytes(n int64) int64 { return n << aroundShift * pageSize }

// wantedAgain reports whether units may be let in if there is room: while memory is
// scarce, only if they were wanted before since the last sweep.
func (p *residency) wantedAgain(first, end int64) bool {
	return !residentScarce.Load() || p.wanted.Add(first, end) == 0
}

// admit counts the units [first, end) of mem, as far as they are not counted yet,
// and reports whether that may be.
func (p *residency) admit(mem *addrspace.Range, first, end int64, force bool) bool {
	p.counting.Lock()
	defer p.counting.Unlock()
	if !mem.Admit(unitBytes(end-first-p.units.Count(first, end)), force) {
		return false
	}
	p.units.Add(first, end)
	return true
}

// stillAdmitted forgets the pages [lo, hi) if the clock dismissed some since they were
// admitted: see strayed.
func (m *mapping) stillAdmitted(lo, hi int64) {
	p := m.residency
	if first, end := p.unitRange(lo, hi); !p.units.Contains(first, end) {
		m.forgetIn(&p.resident, &m.readLimit, lo, hi)
		m.forgetIn(&p.writable, &m.writeLimit, lo, hi)
		p.strayed(first, end)
	}
}

// strayed notes that the units [first, end) may have come back after they were
// dismissed, without being counted: inspect takes them out. Whoever touches memory
// looks after that whether it still counts. So a touch either comes before the
// units are taken out, or is noted here.
func (p *residency) strayed(first, end int64) { p.dismissed.Add(first, end) }

// touch marks units as used since the last sweep.
func (p *residency) touch(first, end int64) {
	if !p.touched.Contains(first, end) {
		p.touched.Add(first, end)
	}
}

// dismiss takes the units [first, end) out of the process. It counts them as
// gone at last: who is let in meanwhile counts anew.
func (m *mapping) dismiss(first, end int64) {
	p := m.residency
	p.counting.Lock()
	n := p.units.Remove(first, end)
	p.counting.Unlock()
	lo, hi := p.unitPages(first, end)
	m.forgetIn(&p.resident, &m.readLimit, lo, hi)
	m.forgetIn(&p.writable, &m.writeLimit, lo, hi)
	m.takeOut(first, end)
	m.mem.Dismiss(unitBytes(n))
	p.dismissed.Add(first, end)
}

// inspect takes out what nobody has counted in some blocks of the memory, in others each
// second: what came back after it was dismissed (strayed), and what the system
// brought: a page that it took out may have come back with its whole folio.
func (m *mapping) inspect() {
	const most = 64 // blocks: 128 MiB
	p := m.residency
	for range most {
		from := p.inspected.Load()
		first := min(p.units.NextSet(from, p.units.N), p.dismissed.NextSet(from, p.units.N))
		if first == p.units.N {
			p.inspected.Store(0)
			return
		}
		page, _ := p.unitPages(first, first+1)
		lo, hi := p.blockPages(page, page+1)
		_, end := p.unitRange(lo, hi)
		p.inspected.Store(end)
		p.dismissed.Remove(first, end)
		m.takeOutUncounted(lo, hi)
	}
}

// wellKnown is after how many pages that came alone it is taken for granted that
// they do, but for one in so many.
const wellKnown = 16

// blockPages returns the pages of the blocks that hold the pages [lo, hi).
func (p *residency) blockPages(lo, hi int64) (first, end int64) {
	first = (p.blockLead+lo)>>blockShift<<blockShift - p.blockLead
	end = ((p.blockLead+hi-1)>>blockShift+1)<<blockShift - p.blockLead
	return max(first, 0), min(end, p.n)
}

// takeOutUncounted takes out what the process has of the pages [lo, hi), but for
// the units that are counted. Where bytes have escaped they may be the caller's,
// and stay. It reports whether there was anything.
func (m *mapping) takeOutUncounted(lo, hi int64) (found bool) {
	in := make([]bool, hi-lo)
	if m.mem.Escaped() || sys.Present(m.mem.Bytes()[lo<<pageShift:hi<<pageShift], in) != nil {
		return false
	}
	p := m.residency
	for first, end := p.unitRange(lo, hi); first < end; {
		last := p.units.NextSet(first, end)
		if first < last {
			if from, to := p.unitPages(first, last); slices.Contains(in[max(from-lo, 0):min(to, hi)-lo], true) {
				m.takeOut(first, last)
				found = true
			}
		}
		first = p.units.NextClear(last, end)
	}
	return found
}

// takeOut takes the units [first, end) out of the process's memory, unless the
// addresses may be somebody else's by now.
func (m *mapping) takeOut(first, end int64) {
	lo, hi := m.residency.unitPages(first, end)
	m.mem.Mapped(func(b []byte) { _ = sys.Advise(b[lo<<pageShift:hi<<pageShift], sys.DontNeed) })
}
