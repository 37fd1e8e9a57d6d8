package mmap

import (
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// unwatch takes a Region off the clock, so that it ages when a test says so.
func unwatch(r *Region) {
	ager.mu.Lock()
	defer ager.mu.Unlock()
	delete(ager.regions, weak.Make(r))
}

// unwatched maps a Region that was opened, and takes it off the clock. The test that
// learns of pages ends here where nothing is learned.
func unwatched(t *testing.T, r *Region, err error) (*Region, *mapping) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if assumePages != assumeNothing {
		t.Skip("nothing is learned")
	}
	m, err := r.mapped()
	if err != nil {
		t.Skip("this system does not map files: ", err)
	}
	unwatch(r)
	return r, m
}

// zeros makes a file of size bytes.
func zeros(t *testing.T, size int64) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestBoundsBelowBacked: whatever runs beside one another, no bound of what
// memory serves ends above the bytes that are there, or above a page that was
// forgotten.
func TestBoundsBelowBacked(t *testing.T) {
	const pages = 64
	size := pages * pageSize
	r, err := OpenFile(zeros(t, size), os.O_RDWR, 0, nil)
	r, m := unwatched(t, r, err)
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

// TestUnitsAndBlocks compares units and blocks with what they are: the pages whose
// addresses lie in the same 64 KiB, and in the same table.
func TestUnitsAndBlocks(t *testing.T) {
	whole := func(lead, n, lo, hi int64, shift int) (first, end int64) {
		for first = lo; first > 0 && (lead+first-1)>>shift == (lead+lo)>>shift; first-- {
		}
		for end = hi; end < n && (lead+end)>>shift == (lead+hi-1)>>shift; end++ {
		}
		return first, end
	}
	unit, block := int64(1)<<aroundShift, int64(1)<<blockShift
	for _, lead := range []int64{0, 1, unit - 1, unit, block/2 + 3, block - 1} {
		p := &residency{n: 2*block + 5, unitLead: lead % unit, blockLead: lead % block}
		for lo := int64(0); lo < p.n; lo += 1 + lo%7 {
			for _, hi := range []int64{lo + 1, lo + unit, lo + block + 1, p.n} {
				hi = min(hi, p.n)
				first, end := p.unitPages(p.unitRange(lo, hi))
				if f, e := whole(lead, p.n, lo, hi, aroundShift); first != f || end != e {
					t.Fatalf("lead %d, [%d, %d): units of pages [%d, %d), not [%d, %d)", lead, lo, hi, first, end, f, e)
				}
				first, end = p.blockPages(lo, hi)
				if f, e := whole(lead, p.n, lo, hi, blockShift); first != f || end != e {
					t.Fatalf("lead %d, [%d, %d): blocks of pages [%d, %d), not [%d, %d)", lead, lo, hi, first, end, f, e)
				}
			}
		}
	}
	for pages := int64(1); pages < 20; pages++ { // wherever they come to lie
		mem, err := addrspace.Map(^uintptr(0), 0, int(pages*pageSize), sys.Read|sys.Write, sys.Anonymous, 0)
		if err != nil {
			t.Skip(err)
		}
		before, _ := mem.Offset(0) // minus its address
		p, at := newResidency(mem, false), -before>>pageShift
		if (p.unitLead-at)%unit != 0 || (p.blockLead-at)%block != 0 {
			t.Errorf("%d pages lie before memory at page %#x of the unit, %d of the block", p.unitLead, at, p.blockLead)
		}
	}
}

// TestBoundEndsAtKnown: memory serves without a look up to the first page that
// was not seen, also when the bound rises from page to page.
func TestBoundEndsAtKnown(t *testing.T) {
	name := zeros(t, 20*pageSize)
	for _, base := range []int64{0, 100} {
		r, err := OpenFile(name, os.O_RDWR, 0, &Options{Offset: base})
		_, m := unwatched(t, r, err)
		for page := range int64(5) {
			m.add(&m.residency.resident, &m.readLimit, max(page*pageSize-m.lead, 0), 1)
			if end, want := m.readLimit.Load(), (page+1)*pageSize-m.lead; end != want {
				t.Errorf("offset %d: %d pages are known, and memory serves up to %d, not %d", base, page+1, end, want)
			}
		}
	}
}
