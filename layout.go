package mmap

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// layout says what the caller made of parts of the memory: their protection,
// pins and advice. It is what the kernel's table of maps says, merged as the
// kernel merges, and so it serves three ends: to count maps, to keep ReadAt
// and WriteAt from getting round a protection, and to make the next mapping
// like the last. A layout is never changed, only replaced.
type layout []stretch

// layoutCell holds a Region's layout; nil until something is made of the memory.
type layoutCell struct{ p atomic.Pointer[layout] }

// get returns the layout.
func (c *layoutCell) get() layout {
	if l := c.p.Load(); l != nil {
		return *l
	}
	return nil
}

// set replaces the layout.
func (c *layoutCell) set(l layout) { c.p.Store(&l) }

// stretch is the part of the memory from start on, up to the next stretch; the
// last reaches as far as the memory ever will. Starts are bytes from the first
// page on, and multiples of the page size.
type stretch struct {
	start int64
	attr
}

// attr is what a page can be made to be. The zero value is what mapping made.
type attr struct {
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

// with returns the layout in which change was applied to [lo, hi). Stretches
// that have become equal are one, if merge says so: the kernel does not put
// private memory together again once its pages were touched.
func (l layout) with(lo, hi int64, merge bool, change func(*attr)) layout {
	if len(l) == 0 {
		l = layout{{}}
	}
	var out layout
	add := func(start int64, a attr) {
		if n := len(out); n == 0 || out[n-1].attr != a || !merge && l.cutAt(start) {
			out = append(out, stretch{start, a})
		}
	}
	for i, s := range l {
		end := l.end(i)
		if s.start < min(end, lo) {
			add(s.start, s.attr)
		}
		if start := max(s.start, lo); start < min(end, hi) {
			a := s.attr
			change(&a)
			add(start, a)
		}
		if start := max(s.start, hi); start < end {
			add(start, s.attr)
		}
	}
	return slices.Clip(out)
}

// end returns where the i-th stretch ends.
func (l layout) end(i int) int64 {
	if i+1 < len(l) {
		return l[i+1].start
	}
	return math.MaxInt64
}

// search returns the stretch that begins at start, or where it would stand.
func (l layout) search(start int64) (i int, found bool) {
	return slices.BinarySearchFunc(l, start, func(s stretch, at int64) int { return cmp.Compare(s.start, at) })
}

// find returns the first byte of [lo, hi) in a stretch that is what is asked
// for, and whether there is one.
func (l layout) find(lo, hi int64, is func(attr) bool) (int64, bool) {
	i, found := l.search(lo)
	if !found {
		i--
	}
	for ; i >= 0 && i < len(l) && l[i].start < hi; i++ {
		if is(l[i].attr) {
			return max(l[i].start, lo), true
		}
	}
	return 0, false
}

// cuts returns by how many maps the layout adds to the one.
func (l layout) cuts() int { return max(len(l)-1, 0) }

// cutAt reports whether a stretch begins at start.
func (l layout) cutAt(start int64) bool {
	_, found := l.search(start)
	return found
}

// apply makes b, fresh from the system, what the layout says; size is where
// the file's last page ends in it. Protections must succeed; advice is tried;
// whether locking worked is told apart.
func (l layout) apply(b []byte, prot sys.Prot, size int64) (err, lockErr error) {
	for i, s := range l {
		lo, hi := s.start, min(l.end(i), int64(len(b)))
		if s.attr == (attr{}) || lo >= hi {
			continue
		}
		part := b[lo:hi]
		if s.released {
			err = firstError(err, sys.Release(part))
			continue
		}
		if p := prot&^s.denied | s.granted; p != prot {
			err = firstError(err, sys.Protect(part, p))
		}
		for _, a := range s.advices() {
			_ = sys.Advise(part, sys.Advice(a))
		}
	}
	return err, l.lock(b, 0, size)
}

// lock pins the pages of b in [lo, hi) that the layout wants pinned.
func (l layout) lock(b []byte, lo, hi int64) (err error) {
	l.each(lo, hi, func(a attr, lo, hi int64) {
		if a.locked {
			err = firstError(err, lockPages(b[lo:hi]))
		}
	})
	return err
}

// each calls fn for the part of each stretch that lies in [lo, hi).
func (l layout) each(lo, hi int64, fn func(a attr, lo, hi int64)) {
	if len(l) == 0 && lo < hi {
		fn(attr{}, lo, hi)
	}
	for i, s := range l {
		if from, to := max(lo, s.start), min(hi, l.end(i)); from < to {
			fn(s.attr, from, to)
		}
	}
}

// advices returns the advice that makes a fresh page what a says.
func (a attr) advices() (list []Advice) {
	if a.access != Normal {
		list = append(list, a.access)
	}
	if a.huge != Normal {
		list = append(list, a.huge)
	}
	if a.noFork {
		list = append(list, DontFork)
	}
	if a.noDump {
		list = append(list, DontDump)
	}
	if a.merge {
		list = append(list, Mergeable)
	}
	return list
}

// note returns how advice changes the attributes of a page, or nil if it
// changes none that last.
func (a Advice) note() func(*attr) {
	switch a {
	case Normal, Sequential, Random:
		return func(p *attr) { p.access = a }
	case HugePage, NoHugePage:
		return func(p *attr) { p.huge = a }
	case DontFork, DoFork:
		return func(p *attr) { p.noFork = a == DontFork }
	case DontDump, DoDump:
		return func(p *attr) { p.noDump = a == DontDump }
	case Mergeable, Unmergeable:
		return func(p *attr) { p.merge = a == Mergeable }
	}
	return nil
}
