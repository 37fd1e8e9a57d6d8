package addrspace

import (
	"math"
	"sync"
	"sync/atomic"
)

// The bytes of files that the library lets into the process's memory are
// counted with the range that shows them, and no longer once the range is revoked
// or unmapped: then the system has taken its pages out.

// residentBytes counts all ranges; residentLimit is how much it may become.
var residentBytes, residentLimit atomic.Int64

func init() { residentLimit.Store(math.MaxInt64) }

// resident is what one range has of it.
type resident struct {
	mu    sync.Mutex
	bytes int64
	over  bool // nothing is counted any more
}

// Admit counts n bytes more as in memory, and reports whether it did: not beyond
// the limit, unless force is set, and not of a range that was revoked.
func (s *State) Admit(n int64, force bool) bool {
	s.resident.mu.Lock()
	defer s.resident.mu.Unlock()
	if s.resident.over {
		return false
	}
	for {
		now := residentBytes.Load()
		if now+n > residentLimit.Load() && !force {
			return false
		}
		if residentBytes.CompareAndSwap(now, now+n) {
			s.resident.bytes += n
			return true
		}
	}
}

// Dismiss counts n bytes as no longer in memory.
func (s *State) Dismiss(n int64) {
	s.resident.mu.Lock()
	defer s.resident.mu.Unlock()
	if !s.resident.over {
		s.resident.bytes -= n
		residentBytes.Add(-n)
	}
}

// dismissAll counts nothing of the range any more.
func (s *State) dismissAll() {
	s.resident.mu.Lock()
	defer s.resident.mu.Unlock()
	residentBytes.Add(-s.resident.bytes)
	s.resident.bytes, s.resident.over = 0, true
}

// Resident returns how many bytes are counted, and the limit.
func Resident() (bytes, limit int64) { return residentBytes.Load(), residentLimit.Load() }

// LimitResident sets the limit; math.MaxInt64 is none.
func LimitResident(bytes int64) { residentLimit.Store(bytes) }

// Limited reports whether there is a limit.
func Limited() bool { return residentLimit.Load() != math.MaxInt64 }
