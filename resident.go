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
type pages struct {
	n     int64  // pages
	seen  bitmap // found resident
	asked bitmap // by block: the system was asked what is cached
	once  bitmap // written by the descriptor since the last Flush
	hot   bitmap // found writable

	credit   atomic.Int64 // bytes: see afford
	volatile bool         // nothing is ever written back, and nothing dirty
	pressed  atomic.Bool  // the system wrote pages back since the last ageing but one
}

// askBlock is how many pages the system is asked about at once: 2 MiB of small
// pages. The answer costs 0.5 to 20 µs, and is asked for once a block.
const askBlock = 512

// bitmap is a set of small numbers. It lies in parts that take no memory until
// something is put into them, and that forget at once when nothing is: what
// ageing and Flush cost is what was marked, and not what the file is long.
type bitmap struct {
	parts atomic.Pointer[[]atomic.Pointer[bitPart]]
}

// bitPart is a part of a bitmap. Whoever adds sets the bit first and then any;
// whoever empties it does so the other way round.
type bitPart struct {
	any   atomic.Bool // something may be in it
	n     int64       // numbers
	words []atomic.Uint64
}

// partBits is how many numbers a part has: the pages of 1 GiB, in 32 KiB.
const partBits = 1 << 18

// part returns the part that lo is in, or nil.
func (b *bitmap) part(lo int64) *bitPart {
	if parts := b.parts.Load(); parts != nil {
		return (*parts)[lo/partBits].Load()
	}
	return nil
}

// makePart is part that makes the part, of a set of numbers below n.
func (b *bitmap) makePart(lo, n int64) *bitPart {
	parts := b.parts.Load()
	if parts == nil {
		made := make([]atomic.Pointer[bitPart], (n+partBits-1)/partBits)
		if !b.parts.CompareAndSwap(nil, &made) {
			made = *b.parts.Load()
		}
		parts = &made
	}
	at := &(*parts)[lo/partBits]
	if p := at.Load(); p != nil {
		return p
	}
	size := min(n-lo/partBits*partBits, partBits)
	at.CompareAndSwap(nil, &bitPart{n: size, words: make([]atomic.Uint64, (size+63)>>6)})
	return at.Load()
}

// word returns the word that lo is in.
func (p *bitPart) word(lo int64) *atomic.Uint64 { return &p.words[lo%partBits>>6] }

// all reports whether all of [lo, hi) are in the set.
func (b *bitmap) all(lo, hi int64) bool {
	for lo < hi {
		p := b.part(lo)
		if p == nil {
			return false
		}
		for end := min(hi, lo|(partBits-1)+1); lo < end; {
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
		p := b.makePart(lo, n)
		for end := min(hi, lo|(partBits-1)+1); lo < end; {
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
		end := min(hi, lo|(partBits-1)+1)
		p := b.part(lo)
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
func (b *bitmap) after(lo, hi int64) int64 {
	for lo < hi {
		p := b.part(lo)
		if p == nil {
			return lo
		}
		for end := min(hi, lo|(partBits-1)+1); lo < end; {
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
var assume = asSeen

// Values of assume.
const (
	asSeen  = iota // what was seen
	allCold        // no page is resident, none is writable: all goes the long way
	allHot         // all pages are both: memory is touched without another look
)

// pageRange returns the pages of the memory that hold [off, off+n), n > 0.
func (m *mapping) pageRange(off, n int64) (lo, hi int64) {
	return (m.lead + off) >> pageShift, (m.lead+off+n-1)>>pageShift + 1
}

// holds reports whether memory has [off, off+n) at all.
func (m *mapping) holds(off, n int64) bool {
	extent := m.extent.Load()
	return uint64(off) <= uint64(extent) && n <= extent-off && n > 0
}

// saw notes that [off, off+n) is resident, and raises the limit below which
// nobody asks any more.
func (r *Region) saw(m *mapping, off, n int64) {
	if r.allowed(off, n, sys.Read) < n || r.anyReleased(off, n) {
		return // what may not be read must not become readable by being known
	}
	m.add(&m.pages.seen, &m.limit, off, n)
	r.willAge()
}

// add puts the pages of [off, off+n) into a set, and raises the bound below
// which all are in it.
func (m *mapping) add(set *bitmap, bound *atomic.Int64, off, n int64) {
	if assume == allCold {
		return
	}
	lo, hi := m.pageRange(off, n)
	set.add(lo, hi, m.pages.n)
	at := bound.Load()
	from := (m.lead + at) >> pageShift
	if from < lo || from >= hi {
		return
	}
	to := min(set.after(from, m.pages.n)<<pageShift-m.lead, m.extent.Load())
	if to > at && bound.CompareAndSwap(at, to) && to > m.extent.Load() {
		bound.Store(min(to, m.extent.Load())) // a cut came between
	}
}

// drop takes the pages [lo, hi) out of a set, and lowers its bound.
func (m *mapping) drop(set *bitmap, bound *atomic.Int64, lo, hi int64) {
	set.remove(lo, hi)
	if at := max(lo<<pageShift-m.lead, 0); at < bound.Load() {
		bound.Store(at)
	}
}

// lose forgets that [off, off+n) was seen: touching it faulted.
func (m *mapping) lose(off, n int64) {
	lo, hi := m.pageRange(off, n)
	m.drop(&m.pages.seen, &m.limit, lo, hi)
	m.cooled(lo, hi)
}

// knowsResident reports whether all of [off, off+n) is known to be resident, and
// asks the system about blocks that it was not yet asked about.
func (r *Region) knowsResident(m *mapping, off, n int64) bool {
	lo, hi := m.pageRange(off, n)
	if m.pages.seen.all(lo, hi) {
		return true
	}
	if r.mute.Load() {
		return false
	}
	for block := lo / askBlock; block*askBlock < hi; block++ {
		if !r.askCached(m, block) {
			return false
		}
	}
	return m.pages.seen.all(lo, hi)
}

// askCached reports whether a block of pages is in the page cache, and notes
// it. It asks once until the next ageing.
func (r *Region) askCached(m *mapping, block int64) bool {
	lo := block * askBlock
	end := min((lo+askBlock)<<pageShift, m.lead+m.extent.Load())
	hi := (end + pageSize - 1) >> pageShift
	if m.pages.seen.all(lo, hi) {
		return true
	}
	if m.pages.asked.all(block, block+1) || end <= lo<<pageShift {
		return false
	}
	m.pages.asked.add(block, block+1, (m.pages.n+askBlock-1)/askBlock)
	c, err := r.cacheOf(m, lo<<pageShift, end)
	if err != nil {
		r.mute.Store(true)
		return false
	}
	if int64(c.Cached) < hi-lo {
		return false
	}
	off := max(lo<<pageShift-m.lead, 0)
	r.saw(m, off, end-m.lead-off)
	return true
}

// forgetCut forgets what was known of the pages from the one with size on.
func (m *mapping) forgetCut(size int64) {
	lo := (m.lead + size) >> pageShift
	m.drop(&m.pages.seen, &m.limit, lo, m.pages.n)
	m.cooled(lo, m.pages.n)
	m.pages.asked.remove(lo/askBlock, (m.pages.n+askBlock-1)/askBlock)
}

// cooled forgets that the pages [lo, hi) were written to: they are clean now.
func (m *mapping) cooled(lo, hi int64) {
	m.drop(&m.pages.hot, &m.open, lo, hi)
	m.pages.once.remove(lo, hi)
}

// afford reports whether a large write that could go by the descriptor should
// make its n bytes writable instead. Once that costs four times the write; every
// later one is then several times as fast, if there is one before the next
// Flush. So it is paid from what was earned: a little of every such write (one in
// 128 may do it), and a part of what those from memory saved. Who writes
// everything again and again has all of it in memory after some twenty times, and
// is never slower on the way by more than a few percent.
func (p *pages) afford(n int64) bool {
	if p.credit.Add(n/128) < n {
		return false
	}
	p.credit.Add(-n)
	return true
}

// cacheOf asks the system what it has cached of [lo, end), in bytes of memory.
func (r *Region) cacheOf(m *mapping, lo, end int64) (sys.Cache, error) {
	op := fileOps.Get().(*fileOp)
	op.fileArgs = fileArgs{kind: opCache, off: r.base - m.lead + lo, n: end - lo}
	err := r.run(op)
	c := op.cache
	op.fileArgs = fileArgs{}
	fileOps.Put(op)
	return c, err
}

// lookMost is up to how many bytes of a file are asked about every second.
const lookMost = 4 << 30

// age forgets what may no longer be so. The system says how many pages it has
// cached, and how many of them are dirty: as long as these are no fewer than
// were seen and written, nobody has pushed out or written back any of them.
// One question is enough if that holds for all of the file. It costs the kernel
// up to 10 ms a GiB, so files above lookMost are not asked about.
func (r *Region) age(m *mapping, evicted bool) {
	if evicted {
		m.drop(&m.pages.seen, &m.limit, 0, m.pages.n)
		m.pages.asked.remove(0, (m.pages.n+askBlock-1)/askBlock)
	}
	if r.fixed() {
		if evicted {
			m.cooled(0, m.pages.n) // what is ours alone is in no cache, and may be swapped out
		}
		return
	}
	if m.idle.Swap(true) {
		m.cooled(0, m.pages.n)
	}
	if !m.pages.seen.some() && !m.pages.once.some() {
		return
	}
	end := m.lead + m.extent.Load()
	var c sys.Cache
	err := errors.ErrUnsupported
	if !r.mute.Load() && end <= lookMost {
		c, err = r.cacheOf(m, 0, end)
	}
	if err != nil {
		m.drop(&m.pages.hot, &m.open, 0, m.pages.n)
		return
	}
	pressed := !m.pages.volatile && int64(c.Dirty) < m.pages.once.count(0, m.pages.n)
	if m.pages.pressed.Store(pressed); pressed {
		m.cooled(0, m.pages.n)
	}
	if int64(c.Cached) >= (end+pageSize-1)>>pageShift {
		return
	}
	for lo := int64(0); lo<<pageShift < end; lo += askBlock {
		r.ageBlock(m, lo, end)
	}
}

// ageBlock forgets the block of pages from page lo on, of memory that ends at
// end, if one of those seen resident is so no longer.
func (r *Region) ageBlock(m *mapping, lo, end int64) {
	hi := min(lo+askBlock, m.pages.n)
	seen := m.pages.seen.count(lo, hi)
	if seen == 0 {
		return
	}
	from, to := lo<<pageShift, min(hi<<pageShift, end)
	if c, err := r.cacheOf(m, from, to); err == nil && int64(c.Cached) < seen {
		m.lose(from-m.lead, to-from)
		m.pages.asked.remove(lo/askBlock, lo/askBlock+1)
	}
}

// some reports whether anything may be in the set.
func (b *bitmap) some() bool {
	parts := b.parts.Load()
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
		end := min(hi, lo|(partBits-1)+1)
		if p := b.part(lo); p != nil && p.any.Load() {
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
var ageing struct {
	mu      sync.Mutex
	regions map[weak.Pointer[Region]]struct{}
	running bool
}

// ageEvery is how long a page counts as what it was seen to be.
const ageEvery = time.Second

// willAge puts the Region into the register at the first mark.
func (r *Region) willAge() {
	if r.ages.Load() || r.ages.Swap(true) {
		return
	}
	ageing.mu.Lock()
	defer ageing.mu.Unlock()
	if ageing.regions == nil {
		ageing.regions = map[weak.Pointer[Region]]struct{}{}
	}
	ageing.regions[weak.Make(r)] = struct{}{}
	if !ageing.running {
		ageing.running = true
		go ageAll()
	}
}

// ageAll lets the Regions of the register forget, once a second, until there
// is none.
func ageAll() {
	tick := time.NewTicker(ageEvery)
	defer tick.Stop()
	faults := sys.MajorFaults()
	for range tick.C {
		now := sys.MajorFaults()
		if !ageRegister(now != faults) {
			return
		}
		faults = now
	}
}

// ageRegister goes through the register once and reports whether any Region
// is left in it. It holds the lock for the register alone: a reader that puts
// its Region into it must not wait for the ageing of another.
func ageRegister(evicted bool) bool {
	ageing.mu.Lock()
	var alive []*Region
	for w := range ageing.regions {
		if r := w.Value(); r != nil && !r.closed.Load() {
			alive = append(alive, r)
		} else {
			delete(ageing.regions, w)
		}
	}
	ageing.running = len(alive) > 0
	ageing.mu.Unlock()
	for _, r := range alive {
		if m := r.m.Load(); m != nil {
			r.age(m, evicted)
		}
	}
	return len(alive) > 0
}
