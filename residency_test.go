package mmap

import (
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"weak"
)

// unwatch takes a Region off the clock, so that it ages when a test says so.
func unwatch(r *Region) {
	ager.mu.Lock()
	defer ager.mu.Unlock()
	delete(ager.regions, weak.Make(r))
}

// TestBoundsBelowBacked: whatever runs beside one another, no bound of what
// memory serves ends above the bytes that are there, or above a page that was
// forgotten.
func TestBoundsBelowBacked(t *testing.T) {
	if assumePages != assumeNothing {
		t.Skip("nothing is learned")
	}
	const pages = 64
	size := pages * pageSize
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, err := r.mapped()
	if err != nil {
		t.Skip("this system does not map files: ", err)
	}
	unwatch(r)
	long := 2 * time.Second
	if testing.Short() {
		long /= 10
	}
	// In each round one goroutine learns of pages while another lowers, each
	// a different time after the start of the round.
	var turn, done atomic.Int64
	defer turn.Store(-1)
	go func() {
		for k := int64(1); ; k++ {
			for turn.Load() != k {
				if turn.Load() < 0 {
					return
				}
				runtime.Gosched()
			}
			for range k % 61 {
				_ = done.Load()
			}
			m.add(&m.residency.resident, &m.readLimit, 0, size)
			m.add(&m.residency.writable, &m.writeLimit, 0, size)
			done.Store(k)
		}
	}()
	for k, end := int64(1), time.Now().Add(long); time.Now().Before(end); k++ {
		m.setBacked(size)
		m.forget(0, size)
		turn.Store(k)
		for range k % 97 {
			_ = done.Load()
		}
		if k%2 == 0 {
			m.setBacked(100)
		} else {
			m.forget(k%pages*pageSize, 8)
		}
		for done.Load() != k {
			runtime.Gosched()
		}
		for what, end := range map[string][2]int64{
			"read":  {m.readLimit.Load(), m.knownEnd(&m.residency.resident, 0)},
			"write": {m.writeLimit.Load(), m.knownEnd(&m.residency.writable, 0)},
		} {
			if end[0] > m.backed.Load() || end[0] > end[1] {
				t.Fatalf("round %d: the %s limit is %d, %d bytes are there, and the first %d known", k, what, end[0], m.backed.Load(), end[1])
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setLimits(m, size)
}
