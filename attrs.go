package mmap

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// attrTable says what the caller made of parts of the memory: their protection,
// pins and advice. It is what the kernel's table of maps says, merged as the
// kernel merges, and so it serves three ends: to count maps, to keep ReadAt
// and WriteAt from getting round a protection, and to make the next mapping
// like the last. A layout is never changed, only replaced.
type attrTable []attrRun

// attrCell holds a Region's table; nil until something is made of the memory.
type attrCell struct{ p atomic.Pointer[attrTable] }

// get returns the layout.
func (c *attrCell) get() attrTable {
	if l := c.p.Load(); l != nil {
		return *l
	}
	return nil
}

// set replaces the layout.
func (c *attrCell) set(l attrTable) { c.p.Store(&l) }

// attrRun is the part of the memory from start on, up to the next stretch; the
// last reaches as far as the memory ever will. Starts are bytes from the first
// page on, and multiples of the page size.
type attrRun struct {
	start int64
	pageAttr
}

// pageAttr is what a page can be made to be. The zero value is what mapping made.
type pageAttr struct {
	denied   sys.Prot // what of the Region's protection was taken away
	granted  sys.Prot // what was given beyond it
	released bool     // no longer mapped
	locked   bool
	access   Advice // Sequential or Random
	huge     Advice // HugePage or NoHugePage
	noFork   bool
	noDump   bool
	merge    bool
}

// update returns the layout in which change was applied to [lo, hi). Stretches
// that have become equal are one, if merge says so: the kernel does not put
// private memory together again once its pages were touched.
func (l attrTable) update(lo, hi int64, merge bool, change func(*pageAttr)) attrTable {
	if len(l) == 0 {
		l = attrTable{{}}
	}
	var out attrTable
	add := func(start int64, a pageAttr) {
		if n := len(out); n == 0 || out[n-1].pageAttr != a || !merge && l.hasBoundary(start) {
			out = append(out, attrRun{start, a})
		}
	}
	for i, s := range l {
		end := l.end(i)
		if s.start < min(end, lo) {
			add(s.start, s.pageAttr)
		}
		if start := max(s.start, lo); start < min(end, hi) {
			a := s.pageAttr
			change(&a)
			add(start, a)
		}
		if start := max(s.start, hi); start < end {
			add(start, s.pageAttr)
		}
	}
	return slices.Clip(out)
}

// end returns where the i-th stretch ends.
func (l attrTable) end(i int) int64 {
	if i+1 < len(l) {
		return l[i+1].start
	}
	return math.MaxInt64
}

// search returns the stretch that begins at start, or where it would stand.
func (l attrTable) search(start int64) (i int, found bool) {
	return slices.BinarySearchFunc(l, start, func(s attrRun, at int64) int { return cmp.Compare(s.start, at) })
}

// firstWhere returns the first byte of [lo, hi) in a stretch that is what is asked
// for, and whether there is one.
func (l attrTable) firstWhere(lo, hi int64, is func(pageAttr) bool) (int64, bool) {
	i, found := l.search(lo)
	if !found {
		i--
	}
	for ; i >= 0 && i < len(l) && l[i].start < hi; i++ {
		if is(l[i].pageAttr) {
			return max(l[i].start, lo), true
		}
	}
	return 0, false
}

// extraVMAs returns by how many maps the layout adds to the one.
func (l attrTable) extraVMAs() int { return max(len(l)-1, 0) }

// hasBoundary reports whether a stretch begins at start.
func (l attrTable) hasBoundary(start int64) bool {
	_, found := l.search(start)
	return found
}

// apply makes b, fresh from the system, what the layout says; size is where
// the file's last page ends in it. Protections must succeed; advice is tried;
// whether locking worked is told apart.
func (l attrTable) apply(b []byte, prot sys.Prot, size int64) (err, lockErr error) {
	for i, s := range l {
		lo, hi := s.start, min(l.end(i), int64(len(b)))
		if s.pageAttr == (pageAttr{}) || lo >= hi {
			continue
		}
		part := b[lo:hi]
		if s.released {
			err = firstError(err, sys.RevokePart(part))
			continue
		}
		if p := prot&^s.denied | s.granted; p != prot {
			err = firstError(err, sys.Protect(part, p))
		}
		for _, a := range s.advice() {
			_ = sys.Advise(part, sys.Advice(a))
		}
	}
	return err, l.lock(b, 0, size)
}

// lock pins the pages of b in [lo, hi) that the layout wants pinned.
func (l attrTable) lock(b []byte, lo, hi int64) (err error) {
	l.runs(lo, hi, func(a pageAttr, lo, hi int64) {
		if a.locked {
			err = firstError(err, lockPages(b[lo:hi]))
		}
	})
	return err
}

// runs calls fn for the part of each stretch that lies in [lo, hi).
func (l attrTable) runs(lo, hi int64, fn func(a pageAttr, lo, hi int64)) {
	if len(l) == 0 && lo < hi {
		fn(pageAttr{}, lo, hi)
	}
	for i, s := range l {
		if from, to := max(lo, s.start), min(hi, l.end(i)); from < to {
			fn(s.pageAttr, from, to)
		}
	}
}

// advice returns the advice that makes a fresh page what a says.
func (a pageAttr) advice() (list []Advice) {
	if a.access != AdviceNormal {
		list = append(list, a.access)
	}
	if a.huge != AdviceNormal {
		list = append(list, a.huge)
	}
	if a.noFork {
		list = append(list, AdviceDontFork)
	}
	if a.noDump {
		list = append(list, AdviceDontDump)
	}
	if a.merge {
		list = append(list, AdviceMergeable)
	}
	return list
}

// attrUpdate returns how advice changes the attributes of a page, or nil if it
// changes none that last.
func (a Advice) attrUpdate() func(*pageAttr) {
	switch a {
	case AdviceNormal, AdviceSequential, AdviceRandom:
		return func(p *pageAttr) { p.access = a }
	case AdviceHugePage, AdviceNoHugePage:
		return func(p *pageAttr) { p.huge = a }
	case AdviceDontFork, AdviceDoFork:
		return func(p *pageAttr) { p.noFork = a == AdviceDontFork }
	case AdviceDontDump, AdviceDoDump:
		return func(p *pageAttr) { p.noDump = a == AdviceDontDump }
	case AdviceMergeable, AdviceUnmergeable:
		return func(p *pageAttr) { p.merge = a == AdviceMergeable }
	}
	return nil
}

// lockPages is sys.Lock with an error that names the limit.
func lockPages(b []byte) error {
	err := sys.Lock(b)
	if limit := sys.LockLimit(); err != nil && limit < math.MaxInt64 {
		return fmt.Errorf("%w (RLIMIT_MEMLOCK is %d bytes)", err, limit)
	}
	return err
}
