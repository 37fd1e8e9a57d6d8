package mmap

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// ager is the clock, and the register of Regions that it fires for. It holds
// none of them alive.
var ager struct {
	mu       sync.Mutex
	regions  map[weak.Pointer[Region]]struct{}
	running  bool
	faults   int64         // of the process when the clock last fired
	interval time.Duration // until it fires again, or full if that is sooner
	full     time.Time     // when everything is aged again
	idle     time.Time     // not before then are Regions aged that nobody used
}

// agingInterval is how long a page counts as what it was seen to be, and how
// long a change by others may go unnoticed. While the process takes faults that
// wait for storage, the clock fires up to sixteen times as often, and Regions
// forget pages at once if some of theirs are gone: see lostOf. Where memory is short a page
// lives no longer than that.
const (
	agingInterval    = time.Second
	minAgingInterval = agingInterval / 16
)

// clockFires is what the clock does; aging.go sets it. The clock knows when, and
// stands below what uses mappings; aging knows what, and uses them.
var clockFires func()

// watchMapping is called when a mapping was made: the clock fires for the
// Region from now on, and memory does not serve before the descriptor was asked. mu
// is held.
func (r *Region) watchMapping() {
	if r.f == nil {
		return
	}
	if !r.memoryOnly() {
		r.clock.asked.CompareAndSwap(askedNow, askDue)
		if addrspace.Limited() && r.attrs.get() == nil { // a fault may map a whole huge page
			_ = sys.Advise(r.m.Load().mem.Bytes(), sys.NoHugePage)
		}
	}
	r.register()
}

// register puts the Region into the register, and starts the clock.
func (r *Region) register() {
	if r.clock.registered.Load() {
		return
	}
	ager.mu.Lock()
	defer ager.mu.Unlock()
	if ager.regions == nil {
		ager.regions = map[weak.Pointer[Region]]struct{}{}
	}
	ager.regions[weak.Make(r)] = struct{}{}
	if !ager.running && !inBubble() {
		ager.running = true
		ager.faults = sys.MajorFaults()
		ager.interval, ager.full = agingInterval, time.Now().Add(agingInterval)
		time.AfterFunc(agingInterval, clockFires)
	}
	r.clock.registered.Store(ager.running) // else the next use tries again
}

// inBubble reports whether the calling goroutine has a clock of its own: that
// of a test bubble begins in the year 2000.
func inBubble() bool {
	const hour = 3600
	ahead := time.Now().Unix() - sys.SystemTime()
	return ahead > hour || ahead < -hour
}

// liveRegions takes the Regions that are closed or collected out of the register
// and returns the others. It holds the lock for the register alone: a reader that
// puts its Region into it must not wait for the ageing of another.
func liveRegions() (alive []*Region) {
	ager.mu.Lock()
	defer ager.mu.Unlock()
	for w := range ager.regions {
		if r := w.Value(); r != nil && !r.closed.Load() {
			alive = append(alive, r)
		} else {
			delete(ager.regions, w)
		}
	}
	return alive
}

// stillAsked undoes the raising of a bound if the clock fired meanwhile, or a
// limit was set.
func (r *Region) stillAsked(bound *atomic.Int64) {
	if r.clock.asked.Load() != askedNow || addrspace.Limited() {
		lower(bound, 0)
	}
}
