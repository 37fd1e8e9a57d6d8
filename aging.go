package mmap

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/bitmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// The clock. Once a second, while a mapped Region is open, the library does two
// things for each of them.
//
// It forgets what may no longer be so of its pages: see age.
//
// It takes the fast paths away, by lowering the limits of what memory serves to
// 0. Whoever uses the Region next finds no limit, takes a slow path, and there asks
// the descriptor for the size and for the time of the last change before memory
// serves again (ask). So growth, truncation, a change by another host, and a
// file that an overlay put in the place of the mapped one, are noticed within
// a second of use; the fast paths pay nothing for it, and a Region that nobody
// uses causes no system call. A slow path costs about 1 µs, once a second.
//
// Between two firings there is no goroutine: the clock is a chain of timers,
// each of which starts the next. It must not be started in a bubble of
// testing/synctest, whose timers belong to the bubble. There the Region is
// registered all the same, and the clock starts with the next one outside.

func init() { clockFires = fire }

// fire is what the clock does, in a goroutine of its own and outside every
// bubble. It ends when no Region is left.
func fire() {
	now := time.Now()
	faulted := majorFaults()
	if full := !now.Before(ager.full); full {
		sys.LookForFilter()
		tickAll(faulted)
	} else if faulted {
		for _, r := range liveRegions() {
			if m := r.m.Load(); m != nil && r.tells() && r.forgetLost(m) {
				r.calm(m, true)
			}
		}
	}
	sweep := agingInterval
	if addrspace.Limited() {
		sweep = sweepAll(liveRegions(), now)
	}
	ager.mu.Lock()
	defer ager.mu.Unlock()
	ager.running = len(ager.regions) > 0
	if !ager.running {
		return
	}
	if faulted {
		ager.interval = max(ager.interval/4, minAgingInterval)
	} else {
		ager.interval = min(ager.interval*2, agingInterval)
	}
	if !now.Before(ager.full) {
		ager.full = now.Add(agingInterval)
	}
	time.AfterFunc(min(ager.interval, sweep, time.Until(ager.full)), fire)
}

// majorFaults reports whether the process took faults that waited for storage
// since the last call.
func majorFaults() bool {
	now := sys.MajorFaults()
	ager.mu.Lock()
	defer ager.mu.Unlock()
	old := ager.faults
	ager.faults = now
	return now != old
}

// tickAll does for all Regions what the clock does once a second; faulted says
// whether the process had to wait for storage.
func tickAll(faulted bool) {
	start := time.Now()
	ager.mu.Lock()
	idle := !start.Before(ager.idle)
	ager.mu.Unlock()
	alive := liveRegions()
	for _, r := range alive {
		r.tick(faulted, idle)
	}
	for _, r := range alive {
		if m := r.m.Load(); m != nil && addrspace.Limited() {
			m.inspect()
		}
	}
	if idle {
		// Ageing what nobody uses may take a hundredth of a processor.
		ager.mu.Lock()
		ager.idle = start.Add(100 * time.Since(start))
		ager.mu.Unlock()
	}
}

// tick is what the clock does with one Region once a second.
func (r *Region) tick(faulted, idle bool) {
	m := r.m.Load()
	if m == nil {
		return
	}
	r.calm(m, faulted && r.forgetLost(m))
	if used := r.suspend(m); used || idle {
		r.age(m)
	} else if m.idle.Swap(true) {
		m.forgetWrites(0, m.residency.n)
	}
}

// tells reports whether the system says which pages of the Region are cached. Of
// private memory it does not: that may be swapped out.
func (r *Region) tells() bool {
	return !r.memoryOnly() && !(r.noCachestat.Load() && r.noNowait.Load())
}

// forgetLost forgets all pages of m, if some that are known are gone or nothing
// tells, and reports whether that was so.
func (r *Region) forgetLost(m *mapping) bool {
	known := &m.residency.resident
	if !known.Any() {
		return false
	}
	if r.tells() {
		lost := r.lostOf(m)
		if lost < tolerated {
			return false
		}
		counters.evictedPages.Add(uint64(lost * float64(known.Count(0, m.residency.n))))
	}
	m.forgetFrom(0)
	return true
}

// tolerated is the part of the known pages that may be gone: one in forty is a few
// faults a second, which cost less than to learn all pages anew.
const tolerated = 1. / 40

// lostOf returns which part of the pages that count as resident is gone, judged by
// some of them, taken at random.
func (r *Region) lostOf(m *mapping) float64 {
	const sample = 64
	known, n, lost := &m.residency.resident, m.residency.n, 0
	for range sample {
		page := known.NextSet(rand.Int64N(n), n)
		if page == n {
			page = known.NextSet(0, n)
		}
		if page < n && !r.isCached(m, page) {
			lost++
		}
	}
	return float64(lost) / sample
}

// noteMiss is called when a read found that something was not cached. What reads
// from storage pushes pages out, perhaps such as are known: now and then it
// looks whether the process waited for some, long before the clock does.
func (r *Region) noteMiss() {
	const often = 64
	if r.clock.missed.Add(1)%often != 0 {
		return
	}
	now := sys.MajorFaults()
	if m := r.m.Load(); r.clock.faults.Swap(now) != now && m != nil && r.tells() {
		if r.forgetLost(m) {
			r.calm(m, true)
		}
	}
}

// isCached reports whether the system has the page, as far as it tells.
func (r *Region) isCached(m *mapping, page int64) bool {
	if !r.noCachestat.Load() {
		c, err := r.cachestat(m, page<<pageShift, (page+1)<<pageShift)
		return err == nil && c.Cached > 0
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	n, err := r.preadNowait(buf[:1], r.base-m.lead+page<<pageShift)
	return err == nil && n > 0
}

// calmAfter is for how many seconds no page must have been lost until the
// system may read around faults again.
const calmAfter = 8

// calm tells the system how to treat faults in m. A fault on a page that is gone
// reads 32 pages around it. Where pages are being lost that is what pushes out
// others, and the pages that the library touches need none of it: a fault is to
// read one page. lost says whether some were lost in the last second.
func (r *Region) calm(m *mapping, lost bool) {
	left := m.residency.disturbed.Load()
	switch {
	case lost && left > 0, r.memoryOnly():
	case lost:
		if !r.adviseAll(m, sys.Random) {
			return
		}
	case left == 1:
		r.adviseAll(m, sys.Normal)
	}
	if lost {
		left = calmAfter + 1
	}
	m.residency.disturbed.Store(max(left-1, 0))
}

// suspend takes the fast paths away until the descriptor was asked, and reports
// whether the Region was used since it was suspended last.
func (r *Region) suspend(m *mapping) (used bool) {
	if r.memoryOnly() || assumePages == assumeWarm {
		return true // no descriptor has a say, or tests want the fast paths
	}
	used = r.clock.asked.CompareAndSwap(askedNow, askDue)
	lower(&m.readLimit, 0) // after that: see learn
	lower(&m.writeLimit, 0)
	return used
}

// learn puts the pages of [off, off+n), which were admitted, into a set of m's,
// and raises its bound unless the descriptor has to be asked first.
func (r *Region) learn(m *mapping, set *bitmap.Set, bound *atomic.Int64, off, n int64) {
	m.add(set, bound, off, n)
	if !r.memoryOnly() {
		m.stillAdmitted(m.pageRange(off, n))
	}
	r.stillAsked(bound)
}

// serves reports whether memory may serve, and by m: that the descriptor was
// asked since the clock fired. If not it is asked now. Serves waits for no other
// call: while another asks the answer is no, and the descriptor serves.
func (r *Region) serves(m *mapping) bool {
	return r.upToDate() && r.m.Load() == m
}

// upToDate is serves for whatever mapping there is afterwards.
func (r *Region) upToDate() bool {
	return r.clock.asked.Load() == askedNow || r.ask()
}

// ask asks the descriptor, takes over what it says, and lets the fast paths
// serve again.
func (r *Region) ask() bool {
	if !r.clock.asked.CompareAndSwap(askDue, asking) {
		return r.clock.asked.Load() == askedNow
	}
	info, err := r.fstat()
	if err != nil || !r.adopt(info) {
		r.clock.asked.Store(askDue)
		return false
	}
	r.clock.asked.Store(askedNow)
	if m := r.m.Load(); m != nil {
		m.forgetOld()
		m.raise(&m.residency.resident, &m.readLimit)
		m.raise(&m.residency.writable, &m.writeLimit)
		r.stillAsked(&m.readLimit)
		r.stillAsked(&m.writeLimit)
	}
	return true
}

// adopt makes the Region what the descriptor said of the file, and reports
// whether it is. In the usual case nothing has changed, or only bytes that the
// file system itself shows in memory. It does not wait for mu: its holder may be
// stuck in the file system, and the next use asks again.
func (r *Region) adopt(info sys.Info) bool {
	how := sys.Always
	if info.Changed != r.clock.changed.Load() {
		how = r.coherence()
	}
	if how == sys.AfterRead {
		r.lookForOthers()
	}
	if how != sys.AfterReopen && r.clampToWindow(info.Size) == r.size.Load() {
		r.clock.changed.Store(info.Changed)
		return true
	}
	if !r.mu.TryLock() {
		return false
	}
	defer r.mu.Unlock()
	if how == sys.AfterReopen {
		r.mapReopened()
	}
	if r.refreshSizeLocked() != nil {
		return false
	}
	r.clock.changed.Store(info.Changed)
	return true
}

// lookForOthers lets the file system drop pages that another host has changed,
// which it does when it is read, and forgets them: they would be fetched in a
// fault.
func (r *Region) lookForOthers() {
	buf := bufferPool.Get().(*copyBuffer)
	_, _ = r.f.ReadAt(buf[:1], r.base)
	bufferPool.Put(buf)
	if m := r.m.Load(); m != nil {
		m.forgetFrom(0)
	}
}

// mapReopened replaces the mapping of a file on an overlay by one of a descriptor
// that is opened anew. The first change of a file of the lower layer puts a copy in
// its place; the Region's descriptor then reads the copy, but all that is
// mapped of it shows the file below for ever. A descriptor that can write has
// the copy from the start. Where opening fails nothing is mapped any more: no bytes are
// better than wrong ones. mu is held.
func (r *Region) mapReopened() {
	m := r.m.Load()
	if r.clock.reopened || r.fdWritable || m == nil {
		return
	}
	r.clock.reopened = true
	if _, err := r.remap(r.size.Load(), 0); err != nil {
		r.mapErr = notMapped(err)
		r.m.Store(nil)
		r.member.setMapped(false)
		m.mem.Supersede()
	}
}

// maxAgingScan is up to how many bytes of a file are asked about every second.
const maxAgingScan = 4 << 30

// age forgets what may no longer be so. The system says how many pages it has
// cached, and how many of them are dirty: as long as these are no fewer than
// were seen and written, nobody has pushed out or written back any of them.
// One question is enough if that holds for all of the file. It costs the kernel
// up to 10 ms a GiB, so files above maxAgingScan are not asked about.
func (r *Region) age(m *mapping) {
	if r.memoryOnly() {
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
		counters.evictedPages.Add(uint64(seen - int64(c.Cached)))
		m.forget(from-m.lead, to-from)
		m.residency.probed.Remove(lo/probePages, lo/probePages+1)
	}
}
