package mmap

import (
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
// What was seen ages. Once a second, while there is anything to forget, the
// library looks whether the process took faults that waited for storage; if
// so, pages seen resident are resident no longer. That a page is writable is
// forgotten every second, and at each Flush: the system makes a page clean
// when it writes it, and the next store asks the file system again, which may
// be frozen or throttling. A page lost between two looks costs one fault.

// pages is what is known of the pages of one memory. All of it is advisory:
// a bit that is wrong costs time, not correctness.
type pages struct {
	n     int64  // pages
	seen  bitmap // found resident
	asked bitmap // by block: the system was asked what is cached
	once  bitmap // written by the descriptor since the last Flush
	hot   bitmap // found writable
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
	if r.allowed(off, n, sys.Read) < n {
		return // what may not be read must not become readable by being known
	}
	lo, hi := m.pageRange(off, n)
	m.pages.seen.add(lo, hi, m.pages.n)
	limit := m.limit.Load()
	if from := (m.lead + limit) >> pageShift; lo <= from && from < hi {
		m.raise(limit, from)
	}
	r.willAge()
}

// raise moves the limit over the pages seen from page from on, the page it
// stands in.
func (m *mapping) raise(limit, from int64) {
	to := m.pages.seen.after(from, m.pages.n)<<pageShift - m.lead
	to = min(to, m.extent.Load())
	if to > limit && m.limit.CompareAndSwap(limit, to) && to > m.extent.Load() {
		m.limit.Store(min(to, m.extent.Load())) // a cut came between
	}
}

// lose forgets that [off, off+n) was seen: touching it faulted.
func (m *mapping) lose(off, n int64) {
	lo, hi := m.pageRange(off, n)
	m.pages.seen.remove(lo, hi)
	m.pages.hot.remove(lo, hi)
	m.pages.once.remove(lo, hi)
	if at := max(lo<<pageShift-m.lead, 0); at < m.limit.Load() {
		m.limit.Store(at)
	}
}

// resident reports whether all of [off, off+n) is known to be resident, and
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
	start := r.base - m.lead + lo<<pageShift
	cached, err := r.call(fileArgs{kind: opCached, off: start, n: end - lo<<pageShift})
	if err != nil {
		r.mute.Store(true)
		return false
	}
	if cached < hi-lo {
		return false
	}
	off := max(lo<<pageShift-m.lead, 0)
	r.saw(m, off, end-m.lead-off)
	return true
}

// forgetCut forgets what was known of the pages from the one with size on.
func (m *mapping) forgetCut(size int64) {
	lo := (m.lead + size) >> pageShift
	for _, b := range []*bitmap{&m.pages.seen, &m.pages.once, &m.pages.hot} {
		b.remove(lo, m.pages.n)
	}
	m.pages.asked.remove(lo/askBlock, (m.pages.n+askBlock-1)/askBlock)
}

// cooled forgets what pages were writable: a Flush makes them clean.
func (m *mapping) cooled() {
	m.pages.hot.remove(0, m.pages.n)
	m.pages.once.remove(0, m.pages.n)
}

// age forgets what may no longer be so.
func (m *mapping) age(evicted bool) {
	m.pages.hot.remove(0, m.pages.n)
	if evicted {
		m.limit.Store(0)
		m.pages.seen.remove(0, m.pages.n)
		m.pages.asked.remove(0, (m.pages.n+askBlock-1)/askBlock)
	}
}

// lookMost is up to how many bytes of a file are asked about every second.
const lookMost = 4 << 30

// lookForLost forgets the blocks of which fewer pages are cached now than were
// seen resident: others have pushed them out, without a fault of this process.
// One question is enough as long as all of the file is cached. It costs the
// kernel up to 10 ms a GiB, so files above lookMost are not looked at.
func (r *Region) lookForLost(m *mapping) {
	end := m.lead + m.extent.Load()
	if r.mute.Load() || end > lookMost || !m.pages.seen.some() {
		return
	}
	cached, err := r.call(fileArgs{kind: opCached, off: r.base - m.lead, n: end})
	if err != nil || cached >= (end+pageSize-1)>>pageShift {
		return
	}
	for lo := int64(0); lo<<pageShift < end; lo += askBlock {
		seen := m.pages.seen.count(lo, min(lo+askBlock, m.pages.n))
		if seen == 0 {
			continue
		}
		off := lo << pageShift
		n := min(askBlock<<pageShift, end-off)
		if cached, err := r.call(fileArgs{kind: opCached, off: r.base - m.lead + off, n: n}); err == nil && cached < seen {
			m.lose(off-m.lead, n)
			m.pages.asked.remove(lo/askBlock, lo/askBlock+1)
		}
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
		mask, next := maskFrom(lo, hi)
		if p := b.part(lo); p != nil && p.any.Load() {
			n += int64(bits.OnesCount64(p.word(lo).Load() & mask))
		}
		lo = next
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
// is left in it.
func ageRegister(evicted bool) bool {
	ageing.mu.Lock()
	defer ageing.mu.Unlock()
	for w := range ageing.regions {
		r := w.Value()
		if r == nil || r.closed.Load() {
			delete(ageing.regions, w)
			continue
		}
		if m := r.m.Load(); m != nil && !r.fixed() {
			if !evicted {
				r.lookForLost(m)
			}
			m.age(evicted)
		}
	}
	ageing.running = len(ageing.regions) > 0
	return ageing.running
}
