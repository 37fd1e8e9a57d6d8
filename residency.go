package mmap

import (
	"sync/atomic"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/bitmap"
)

// What may wait, waits in a system call: a fault in Go code holds a processor
// until the page has come, and with it the next collection. So memory is
// touched only where the page was seen a short while ago, resident for a read
// and writable for a write. Everything else goes through the descriptor, and is
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

// pageRange returns the pages of the memory that hold [off, off+n), n > 0.
func (m *mapping) pageRange(off, n int64) (lo, hi int64) {
	return (m.lead + off) >> pageShift, (m.lead+off+n-1)>>pageShift + 1
}

// backs reports whether memory has [off, off+n) at all.
func (m *mapping) backs(off, n int64) bool {
	extent := m.backed.Load()
	return uint64(off) <= uint64(extent) && n <= extent-off && n > 0
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

// spendBudget reports whether a large write that could go through the descriptor should
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
