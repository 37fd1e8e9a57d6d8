package mmap

import (
	"errors"
	"sync"
	"time"
	"weak"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// maxAgingScan is up to how many bytes of a file are asked about every second.
const maxAgingScan = 4 << 30

// age forgets what may no longer be so. The system says how many pages it has
// cached, and how many of them are dirty: as long as these are no fewer than
// were seen and written, nobody has pushed out or written back any of them.
// One question is enough if that holds for all of the file. It costs the kernel
// up to 10 ms a GiB, so files above lookMost are not asked about.
func (r *Region) age(m *mapping, evicted bool) {
	if evicted {
		m.forgetIn(&m.residency.resident, &m.readLimit, 0, m.residency.n)
		m.residency.probed.Remove(0, (m.residency.n+probePages-1)/probePages)
	}
	if r.memoryOnly() {
		if evicted {
			m.forgetWrites(0, m.residency.n) // what is ours alone is in no cache, and may be swapped out
		}
		return
	}
	if m.idle.Swap(true) {
		m.forgetWrites(0, m.residency.n)
	}
	if !m.residency.resident.Any() && !m.residency.written.Any() {
		return
	}
	end := m.lead + m.backed.Load()
	var c sys.Cache
	err := errors.ErrUnsupported
	if !r.noCachestat.Load() && end <= maxAgingScan {
		c, err = r.cachestat(m, 0, end)
	}
	if err != nil {
		m.forgetIn(&m.residency.writable, &m.writeLimit, 0, m.residency.n)
		return
	}
	pressed := !m.residency.noWriteback && int64(c.Dirty) < m.residency.written.Count(0, m.residency.n)
	if m.residency.writebackActive.Store(pressed); pressed {
		m.forgetWrites(0, m.residency.n)
	}
	if int64(c.Cached) >= (end+pageSize-1)>>pageShift {
		return
	}
	for lo := int64(0); lo<<pageShift < end; lo += probePages {
		r.ageBlock(m, lo, end)
	}
}

// ageBlock forgets the block of pages from page lo on, of memory that ends at
// end, if one of those seen resident is so no longer.
func (r *Region) ageBlock(m *mapping, lo, end int64) {
	hi := min(lo+probePages, m.residency.n)
	seen := m.residency.resident.Count(lo, hi)
	if seen == 0 {
		return
	}
	from, to := lo<<pageShift, min(hi<<pageShift, end)
	if c, err := r.cachestat(m, from, to); err == nil && int64(c.Cached) < seen {
		m.forget(from-m.lead, to-from)
		m.residency.probed.Remove(lo/probePages, lo/probePages+1)
	}
}

// ager is the register of Regions that have something to forget. It holds
// none of them alive.
var ager struct {
	mu      sync.Mutex
	regions map[weak.Pointer[Region]]struct{}
	running bool
}

// agingInterval is how long a page counts as what it was seen to be.
const agingInterval = time.Second

// registerForAging puts the Region into the register at the first mark.
func (r *Region) registerForAging() {
	if r.inAger.Load() || r.inAger.Swap(true) {
		return
	}
	ager.mu.Lock()
	defer ager.mu.Unlock()
	if ager.regions == nil {
		ager.regions = map[weak.Pointer[Region]]struct{}{}
	}
	ager.regions[weak.Make(r)] = struct{}{}
	if !ager.running {
		ager.running = true
		go runAger()
	}
}

// runAger lets the Regions of the register forget, once a second, until there
// is none.
func runAger() {
	tick := time.NewTicker(agingInterval)
	defer tick.Stop()
	faults := sys.MajorFaults()
	for range tick.C {
		now := sys.MajorFaults()
		if !ageRegions(now != faults) {
			return
		}
		faults = now
	}
}

// ageRegions goes through the register once and reports whether any Region
// is left in it. It holds the lock for the register alone: a reader that puts
// its Region into it must not wait for the ageing of another.
func ageRegions(evicted bool) bool {
	ager.mu.Lock()
	var alive []*Region
	for w := range ager.regions {
		if r := w.Value(); r != nil && !r.closed.Load() {
			alive = append(alive, r)
		} else {
			delete(ager.regions, w)
		}
	}
	ager.running = len(alive) > 0
	ager.mu.Unlock()
	for _, r := range alive {
		if m := r.m.Load(); m != nil {
			r.age(m, evicted)
		}
	}
	return len(alive) > 0
}
