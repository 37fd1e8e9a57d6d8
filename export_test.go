package mmap

import (
	"runtime"
	"time"
	"unsafe"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// Ledger is what the library counts of the ranges it got from the system.
type Ledger struct {
	Held  int // VMAs of what was got and not given back
	Dead  int // ranges that wait for the collector
	Raw   int // ranges handed out and not closed
	Grave int // ranges handed out, closed, and in quarantine

	Collecting bool // the library runs the collector
}

// ReadLedger returns the counts of this moment.
func ReadLedger() Ledger {
	s := addrspace.ReadStats()
	return Ledger{s.VMAs, s.Unreclaimed, s.Pinned, s.Quarantined, s.Collecting}
}

// MapLimit is the number of VMAs at which the library stops mapping.
func MapLimit() int { return addrspace.MaxVMAs() }

// DeadAtFirst is how many unreclaimed ranges start the first collection.
const DeadAtFirst = addrspace.MinGCThreshold

// Collect runs the collector, and most of what it found to clean up.
func Collect() {
	if !addrspace.Collect() {
		runtime.GC()
	}
}

// Memory returns where the Region's current mapping lies, and what keeps that
// from being given back; nothing if there is none.
func Memory(r *Region) (addr uintptr, n int, hold any) {
	m := r.m.Load()
	if m == nil {
		return 0, 0, nil
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.mem.Bytes()))), m.mem.Len(), m.mem
}

// Past returns how many earlier mappings of the Region are still held.
func Past(r *Region) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.m.Load()
	for _, s := range r.ranges {
		if !s.Gone() && (m == nil || s != m.mem.State) {
			n++
		}
	}
	return n
}

// MaxCopy is the length from which a copy goes in parts.
const MaxCopy = maxCopy

// Transfer copies n bytes inside b from src to dst, in pieces of step.
func Transfer(b []byte, dst, src, n, step int) int {
	return copyChunks(unsafe.Add(dataPtr(b), dst), unsafe.Add(dataPtr(b), src), n, step)
}

// Guarded copies at once, and reports whether it did.
func Guarded(b []byte, dst, src, n int) bool {
	return guardedCopy(unsafe.Add(dataPtr(b), dst), unsafe.Add(dataPtr(b), src), n)
}

// AssumeCold lets no page ever be seen resident or writable.
func AssumeCold() { assumePages = assumeCold }

// AssumeHot lets every page be so, whether it is or not.
func AssumeHot() { assumePages = assumeWarm }

// OpenUnlogged opens files as programs do that are no tests.
func OpenUnlogged() { testLogged = func() bool { return false } }

// Tick does what the clock does once a second, now.
func Tick() {
	tickAll(false)
	sweeper.mu.Lock()
	sweeper.next = time.Time{}
	sweeper.mu.Unlock()
	sweepAll(liveRegions(), time.Now())
}

// ClockRuns reports whether the clock will fire.
func ClockRuns() bool {
	ager.mu.Lock()
	defer ager.mu.Unlock()
	return ager.running
}

// KnownBytes returns up to where the fast path of ReadAt serves.
func KnownBytes(r *Region) int64 {
	if m := r.m.Load(); m != nil {
		return m.readLimit.Load()
	}
	return 0
}

// NoticeLoss does what the clock does after a second in which the process waited
// for storage, and reports whether the Region forgot its pages.
func NoticeLoss(r *Region) bool {
	m := r.m.Load()
	lost := r.forgetLost(m)
	r.calm(m, lost)
	return lost
}

// Unwatch takes a Region off the clock.
var Unwatch = unwatch

// CalmAfter is after how many seconds without a loss faults read around again.
const CalmAfter = calmAfter

// ResidentBytes returns what counts against [SetResidentLimit].
func ResidentBytes() int64 {
	in, _ := addrspace.Resident()
	return in
}

// ResidentUnit is what counts for one page.
var ResidentUnit = unitBytes(1)

// Known reports whether memory serves [off, off+n) of r.
func Known(r *Region, off, n int64) bool {
	m := r.m.Load()
	return m != nil && m.backs(off, n) && m.residency.resident.Contains(m.pageRange(off, n))
}

// FlushUnderWay reports whether a Flush has taken over what it answers for, and has
// not yet looked whether all of that is there.
func FlushUnderWay(r *Region) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flushEnd > 0
}

// PresentPages returns which pages of r's mapping the process has.
func PresentPages(r *Region) ([]bool, error) {
	m := r.m.Load()
	in := make([]bool, m.residency.n)
	return in, sys.Present(m.mem.Bytes(), in)
}
