package mmap

import (
	"errors"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// What may wait, waits in a system call: a fault in Go code holds a processor
// until the page has come, and with it the next collection. So memory is
// touched only where the page was seen a short while ago, resident for a read
// and writable for a write. Everything else goes by the descriptor, and is
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

// pages is what is known of the pages of one memory. All of it is advisory:
// a bit that is wrong costs time, not correctness.
type residency struct {
	n        int64  // pages
	resident bitmap // found resident
	probed   bitmap // by block: the system was asked what is cached
	written  bitmap // written by the descriptor since the last Flush
	writable bitmap // found writable

	populateBudget  atomic.Int64 // bytes: see afford
	noWriteback     bool         // nothing is ever written back, and nothing dirty
	writebackActive atomic.Bool  // the system wrote pages back since the last ageing but one
}

// askBlock is how many pages the system is asked about at once: 2 MiB of small
// pages. The answer costs 0.5 to 20 µs, and is asked for once a block.
const probePages = 512

// bitmap is a set of small numbers. It lies in parts that take no memory until
// something is put into them, and that forget at once when nothing is: what
// ageing and Flush cost is what was marked, and not what the file is long.
type bitmap struct {
	chunks atomic.Pointer[[]atomic.Pointer[bitChunk]]
}

// bitPart is a part of a bitmap. Whoever adds sets the bit first and then any;
// whoever empties it does so the other way round.
type bitChunk struct {
	any   atomic.Bool // something may be in it
	n     int64       // numbers
	words []atomic.Uint64
}

// partBits is how many numbers a part has: the pages of 1 GiB, in 32 KiB.
const chunkBits = 1 << 18

// part returns the part that lo is in, or nil.
func (b *bitmap) chunk(lo int64) *bitChunk {
	if parts := b.chunks.Load(); parts != nil {
		return (*parts)[lo/chunkBits].Load()
	}
	return nil
}

// makePart is part that makes the part, of a set of numbers below n.
func (b *bitmap) ensureChunk(lo, n int64) *bitChunk {
	parts := b.chunks.Load()
	if parts == nil {
		made := make([]atomic.Pointer[bitChunk], (n+chunkBits-1)/chunkBits)
		if !b.chunks.CompareAndSwap(nil, &made) {
			made = *b.chunks.Load()
		}
		parts = &made
	}
	at := &(*parts)[lo/chunkBits]
	if p := at.Load(); p != nil {
		return p
	}
	size := min(n-lo/chunkBits*chunkBits, chunkBits)
	at.CompareAndSwap(nil, &bitChunk{n: size, words: make([]atomic.Uint64, (size+63)>>6)})
	return at.Load()
}

// word returns the word that lo is in.
func (p *bitChunk) word(lo int64) *atomic.Uint64 { return &p.words[lo%chunkBits>>6] }

// all reports whether all of [lo, hi) are in the set.
func (b *bitmap) contains(lo, hi int64) bool {
	for lo < hi {
		p := b.chunk(lo)
		if p == nil {
			return false
		}
		for end := min(hi, lo|(chunkBits-1)+1); lo < end; {
			mask, next := maskFrom(lo, end)
			if p.word(lo).Load()&mask != mask {
				return false
			}
			lo = next
		}
	}
	return true
}

// add puts [lo, hi) into the set, of numbers below n.
func (b *bitmap) add(lo, hi, n int64) {
	for lo < hi {
		p := b.ensureChunk(lo, n)
		for end := min(hi, lo|(chunkBits-1)+1); lo < end; {
			mask, next := maskFrom(lo, end)
			p.word(lo).Or(mask)
			lo = next
		}
		if !p.any.Load() {
			p.any.Store(true)
		}
	}
}

// remove takes [lo, hi) out of the set.
func (b *bitmap) remove(lo, hi int64) {
	for lo < hi {
		end := min(hi, lo|(chunkBits-1)+1)
		p := b.chunk(lo)
		if p != nil && p.any.Load() {
			if end-lo == p.n {
				p.any.Store(false) // all of it goes
			}
			for at := lo; at < end; {
				mask, next := maskFrom(at, end)
				if p.word(at).Load()&mask != 0 {
					p.word(at).And(^mask)
				}
				at = next
			}
		}
		lo = end
	}
}

// after returns the first number from lo on, below hi, that is not in the set.
func (b *bitmap) nextClear(lo, hi int64) int64 {
	for lo < hi {
		p := b.chunk(lo)
		if p == nil {
			return lo
		}
		for end := min(hi, lo|(chunkBits-1)+1); lo < end; {
			mask, next := maskFrom(lo, end)
			if missing := mask &^ p.word(lo).Load(); missing != 0 {
				return lo&^63 + int64(bits.TrailingZeros64(missing))
			}
			lo = next
		}
	}
	return hi
}

// maskFrom returns the bits of [lo, hi) that share lo's word, and where the
// next word begins.
func maskFrom(lo, hi int64) (mask uint64, next int64) {
	next = min(lo|63+1, hi)
	return (1<<uint(next-lo) - 1) << uint(lo&63), next
}

// assume is what tests let the library believe of pages: whatever it believes
// must not change a result. It is set before anything is opened.
var assumePages = assumeNothing

// Values of assume.
const (
	assumeNothing = iota // what was seen
	assumeCold           // no page is resident, none is writable: all goes the long way
	assumeWarm           // all pages are both: memory is touched without another look
)

// pageRange returns the pages of the memory that hold [off, off+n), n > 0.
func (m *mapping) pageRange(off, n int64) (lo, hi int64) {
	return (m.lead + off) >> pageShift, (m.lead+off+n-1)>>pageShift + 1
}

// holds reports whether memory has [off, off+n) at all.
func (m *mapping) backs(off, n int64) bool {
	extent := m.backed.Load()
	return uint64(off) <= uint64(extent) && n <= extent-off && n > 0
}

// saw notes that [off, off+n) is resident, and raises the limit below which
// nobody asks any more.
func (r *Region) markResident(m *mapping, off, n int64) {
	if r.permittedPrefix(off, n, sys.Read) < n || r.anyReleased(off, n) {
		return // what may not be read must not become readable by being known
	}
	m.add(&m.residency.resident, &m.readLimit, off, n)
	r.registerForAging()
}

// add puts the pages of [off, off+n) into a set, and raises the bound below
// which all are in it.
func (m *mapping) add(set *bitmap, bound *atomic.Int64, off, n int64) {
	if assumePages == assumeCold {
		return
	}
	lo, hi := m.pageRange(off, n)
	set.add(lo, hi, m.residency.n)
	at := bound.Load()
	from := (m.lead + at) >> pageShift
	if from < lo || from >= hi {
		return
	}
	to := min(set.nextClear(from, m.residency.n)<<pageShift-m.lead, m.backed.Load())
	if to > at && bound.CompareAndSwap(at, to) && to > m.backed.Load() {
		bound.Store(min(to, m.backed.Load())) // a cut came between
	}
}

// drop takes the pages [lo, hi) out of a set, and lowers its bound.
func (m *mapping) forgetIn(set *bitmap, bound *atomic.Int64, lo, hi int64) {
	set.remove(lo, hi)
	if at := max(lo<<pageShift-m.lead, 0); at < bound.Load() {
		bound.Store(at)
	}
}

// lose forgets that [off, off+n) was seen: touching it faulted.
func (m *mapping) forget(off, n int64) {
	lo, hi := m.pageRange(off, n)
	m.forgetIn(&m.residency.resident, &m.readLimit, lo, hi)
	m.forgetWrites(lo, hi)
}

// knowsResident reports whether all of [off, off+n) is known to be resident, and
// asks the system about blocks that it was not yet asked about.
func (r *Region) isResident(m *mapping, off, n int64) bool {
	lo, hi := m.pageRange(off, n)
	if m.residency.resident.contains(lo, hi) {
		return true
	}
	if r.noCachestat.Load() {
		return false
	}
	for block := lo / probePages; block*probePages < hi; block++ {
		if !r.probeBlock(m, block) {
			return false
		}
	}
	return m.residency.resident.contains(lo, hi)
}

// askCached reports whether a block of pages is in the page cache, and notes
// it. It asks once until the next ageing.
func (r *Region) probeBlock(m *mapping, block int64) bool {
	lo := block * probePages
	end := min((lo+probePages)<<pageShift, m.lead+m.backed.Load())
	hi := (end + pageSize - 1) >> pageShift
	if m.residency.resident.contains(lo, hi) {
		return true
	}
	if m.residency.probed.contains(block, block+1) || end <= lo<<pageShift {
		return false
	}
	m.residency.probed.add(block, block+1, (m.residency.n+probePages-1)/probePages)
	c, err := r.cachestat(m, lo<<pageShift, end)
	if err != nil {
		r.noCachestat.Store(true)
		return false
	}
	if int64(c.Cached) < hi-lo {
		return false
	}
	off := max(lo<<pageShift-m.lead, 0)
	r.markResident(m, off, end-m.lead-off)
	return true
}

// forgetCut forgets what was known of the pages from the one with size on.
func (m *mapping) forgetFrom(size int64) {
	lo := (m.lead + size) >> pageShift
	m.forgetIn(&m.residency.resident, &m.readLimit, lo, m.residency.n)
	m.forgetWrites(lo, m.residency.n)
	m.residency.probed.remove(lo/probePages, (m.residency.n+probePages-1)/probePages)
}

// cooled forgets that the pages [lo, hi) were written to: they are clean now.
func (m *mapping) forgetWrites(lo, hi int64) {
	m.forgetIn(&m.residency.writable, &m.writeLimit, lo, hi)
	m.residency.written.remove(lo, hi)
}

// afford reports whether a large write that could go by the descriptor should
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

// cacheOf asks the system what it has cached of [lo, end), in bytes of memory.
func (r *Region) cachestat(m *mapping, lo, end int64) (sys.Cache, error) {
	op := fileOps.Get().(*fileOp)
	op.fileArgs = fileArgs{kind: opCache, off: r.base - m.lead + lo, n: end - lo}
	err := r.run(op)
	c := op.cache
	op.fileArgs = fileArgs{}
	fileOps.Put(op)
	return c, err
}

// lookMost is up to how many bytes of a file are asked about every second.
const maxAgingScan = 4 << 30

// age forgets what may no longer be so. The system says how many pages it has
// cached, and how many of them are dirty: as long as these are no fewer than
// were seen and written, nobody has pushed out or written back any of them.
// One question is enough if that holds for all of the file. It costs the kernel
// up to 10 ms a GiB, so files above lookMost are not asked about.
func (r *Region) age(m *mapping, evicted bool) {
	if evicted {
		m.forgetIn(&m.residency.resident, &m.readLimit, 0, m.residency.n)
		m.residency.probed.remove(0, (m.residency.n+probePages-1)/probePages)
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
	if !m.residency.resident.any() && !m.residency.written.any() {
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
	pressed := !m.residency.noWriteback && int64(c.Dirty) < m.residency.written.count(0, m.residency.n)
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
	seen := m.residency.resident.count(lo, hi)
	if seen == 0 {
		return
	}
	from, to := lo<<pageShift, min(hi<<pageShift, end)
	if c, err := r.cachestat(m, from, to); err == nil && int64(c.Cached) < seen {
		m.forget(from-m.lead, to-from)
		m.residency.probed.remove(lo/probePages, lo/probePages+1)
	}
}

// some reports whether anything may be in the set.
func (b *bitmap) any() bool {
	parts := b.chunks.Load()
	if parts == nil {
		return false
	}
	for i := range *parts {
		if p := (*parts)[i].Load(); p != nil && p.any.Load() {
			return true
		}
	}
	return false
}

// count returns how many of [lo, hi) are in the set.
func (b *bitmap) count(lo, hi int64) (n int64) {
	for lo < hi {
		end := min(hi, lo|(chunkBits-1)+1)
		if p := b.chunk(lo); p != nil && p.any.Load() {
			for at := lo; at < end; {
				mask, next := maskFrom(at, end)
				n += int64(bits.OnesCount64(p.word(at).Load() & mask))
				at = next
			}
		}
		lo = end
	}
	return n
}

// ageing is the register of Regions that have something to forget. It holds
// none of them alive.
var ager struct {
	mu      sync.Mutex
	regions map[weak.Pointer[Region]]struct{}
	running bool
}

// ageEvery is how long a page counts as what it was seen to be.
const agingInterval = time.Second

// willAge puts the Region into the register at the first mark.
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

// ageAll lets the Regions of the register forget, once a second, until there
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

// ageRegister goes through the register once and reports whether any Region
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
