package mmap

import "unsafe"

// Ledger is what the library counts of the ranges it got from the system.
type Ledger struct {
	Held  int // got and not given back
	Dead  int // of these, revoked and waiting for the collector
	Raw   int // of these, handed out and not closed
	Grave int // of these, handed out, closed, and in quarantine
}

// ReadLedger returns the counts of this moment.
func ReadLedger() Ledger {
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	return Ledger{ledger.held, ledger.dead, len(ledger.raw), len(ledger.grave)}
}

// MapLimit is the number of ranges at which the library stops mapping.
func MapLimit() int { return mapLimit() }

// DeadAtFirst is how many dead ranges start the first collection.
const DeadAtFirst = deadAtFirst

// Collect runs the collector, and most of what it found to clean up.
func Collect() { collect() }

// Memory returns where the Region's current mapping lies, and what keeps that
// from being given back; nothing if there is none.
func Memory(r *Region) (addr uintptr, n int, hold any) {
	m := r.m.Load()
	if m == nil {
		return 0, 0, nil
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.mem.b))), len(m.mem.b), m.mem
}

// Past returns how many earlier mappings of the Region are still held.
func Past(r *Region) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pastAlive())
}

// Piece is the length from which a copy goes in parts.
const Piece = piece
