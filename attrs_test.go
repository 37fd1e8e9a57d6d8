package mmap

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// layoutPages are the pages of a layoutModel; the last stands for all that come
// after it.
const layoutPages = 65

// layoutModel is the plainest layout there is: what each page is, one by one,
// and whether a map begins with it.
type layoutModel struct {
	is  [layoutPages]pageAttr
	cut [layoutPages]bool
}

// with is layout.with, in pages.
func (m *layoutModel) with(lo, hi int, merge bool, change func(*pageAttr)) {
	for i := lo; i < hi; i++ {
		change(&m.is[i])
	}
	for i := 1; i < layoutPages; i++ {
		m.cut[i] = m.is[i] != m.is[i-1] || m.cut[i] && !merge
	}
}

// cuts counts the maps beyond one.
func (m *layoutModel) cuts() (n int) {
	for _, cut := range m.cut {
		if cut {
			n++
		}
	}
	return n
}

// find returns the first page of [lo, hi) that is what is asked for, or -1.
func (m *layoutModel) find(lo, hi int, is func(pageAttr) bool) int {
	for i := lo; i < hi; i++ {
		if is(m.is[i]) {
			return i
		}
	}
	return -1
}

// layoutChanges are what the control calls make of a page.
var layoutChanges = []func(*pageAttr){
	func(a *pageAttr) { a.denied, a.granted = 0, 0 },
	func(a *pageAttr) { a.denied, a.granted = sys.Write, 0 },
	func(a *pageAttr) { a.denied, a.granted = sys.Read|sys.Write, 0 },
	func(a *pageAttr) { a.denied, a.granted = 0, sys.Exec },
	func(a *pageAttr) { a.locked = true },
	func(a *pageAttr) { a.locked = false },
	func(a *pageAttr) { *a = pageAttr{released: true} },
	AdviceNormal.attrUpdate(), AdviceSequential.attrUpdate(), AdviceRandom.attrUpdate(), AdviceHugePage.attrUpdate(), AdviceNoHugePage.attrUpdate(),
	AdviceDontFork.attrUpdate(), AdviceDoFork.attrUpdate(), AdviceDontDump.attrUpdate(), AdviceDoDump.attrUpdate(), AdviceMergeable.attrUpdate(), AdviceUnmergeable.attrUpdate(),
}

// TestLayoutModel plays random changes on a layout and on its model, and
// compares all that a layout can be asked.
func TestLayoutModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		merge := round%2 == 0
		var l attrTable
		var m layoutModel
		for i := range 60 {
			lo, hi := layoutRange(rnd)
			change := layoutChanges[rnd.IntN(len(layoutChanges))]
			before := slices.Clone(l)
			next := l.update(int64(lo)*pageSize, layoutEnd(hi), merge, change)
			if !slices.Equal(l, before) {
				t.Fatalf("with changed the layout it was called on: %+v, was %+v", l, before)
			}
			l = next
			m.with(lo, hi, merge, change)
			if i%5 == 0 {
				checkLayout(t, l, &m)
			}
		}
	}
}

// layoutRange returns pages lo < hi; one range in four has no end.
func layoutRange(rnd *rand.Rand) (lo, hi int) {
	lo = rnd.IntN(layoutPages - 1)
	if rnd.IntN(4) == 0 {
		return lo, layoutPages
	}
	return lo, lo + 1 + rnd.IntN(layoutPages-1-lo)
}

// layoutEnd returns the byte at which page hi begins; the model's end is the
// end of everything.
func layoutEnd(hi int) int64 {
	if hi == layoutPages {
		return math.MaxInt64
	}
	return int64(hi) * pageSize
}

// checkLayout compares a layout with its model: page by page, the count of
// maps, and what find says of every range.
func checkLayout(t *testing.T, l attrTable, m *layoutModel) {
	t.Helper()
	for i, s := range l {
		if i == 0 && s.start != 0 || i > 0 && s.start <= l[i-1].start {
			t.Fatalf("stretch %d of %+v does not follow from the one before", i, l)
		}
	}
	if l.extraVMAs() != m.cuts() {
		t.Fatalf("%d cuts, want %d: %+v", l.extraVMAs(), m.cuts(), l)
	}
	for what, is := range map[string]func(pageAttr) bool{
		"released": func(a pageAttr) bool { return a.released },
		"denied":   func(a pageAttr) bool { return a.denied&sys.Write != 0 },
		"locked":   func(a pageAttr) bool { return a.locked },
	} {
		for lo := range layoutPages {
			checkFind(t, what, l, m, lo, is)
		}
	}
}

// checkFind asks for ranges that begin in page lo, at its first byte and
// inside it, and end at a page and inside one.
func checkFind(t *testing.T, what string, l attrTable, m *layoutModel, lo int, is func(pageAttr) bool) {
	t.Helper()
	for _, hi := range []int{lo + 1, (lo + 1 + layoutPages) / 2, layoutPages} {
		page := m.find(lo, hi, is)
		for _, in := range []int64{0, 1, pageSize - 1} {
			want := max(int64(page)*pageSize, int64(lo)*pageSize+in)
			at, found := l.firstWhere(int64(lo)*pageSize+in, layoutEnd(hi), is)
			if found != (page >= 0) || found && at != want {
				t.Fatalf("%s: find from %d.%d to %d: %d, %v; want page %d (%+v)", what, lo, in, hi, at, found, page, l)
			}
		}
	}
}

// TestLayoutFindNothing asks for empty ranges and asks empty layouts.
func TestLayoutFindNothing(t *testing.T) {
	always := func(pageAttr) bool { return true }
	l := attrTable(nil).update(pageSize, 2*pageSize, true, AdviceDontDump.attrUpdate())
	for _, c := range []struct {
		l      attrTable
		lo, hi int64
	}{{nil, 0, math.MaxInt64}, {l, pageSize, pageSize}, {l, 2 * pageSize, pageSize}} {
		if at, found := c.l.firstWhere(c.lo, c.hi, always); found {
			t.Errorf("find in [%d, %d) of %+v: found %d", c.lo, c.hi, c.l, at)
		}
	}
}

// TestLayoutAdvices checks that the advice with which a new mapping is made
// like the last leads to the same attributes again.
func TestLayoutAdvices(t *testing.T) {
	for a := AdviceNormal; int(a) < len(adviceNames); a++ {
		note := a.attrUpdate()
		if note == nil {
			continue
		}
		var want, got pageAttr
		note(&want)
		for _, again := range want.advice() {
			again.attrUpdate()(&got)
		}
		if got != want {
			t.Errorf("%v makes a page %+v, and a new mapping %+v", a, want, got)
		}
	}
}

// TestLayoutOfShorterMemory: what the layout says of pages that the memory does not
// have changes nothing and is no error.
func TestLayoutOfShorterMemory(t *testing.T) {
	n := Granularity()
	mem, err := addrspace.Map(^uintptr(0), 0, int(n), sys.Read|sys.Write, sys.Anonymous, 0)
	if err != nil {
		t.Skip(err)
	}
	for _, change := range []func(*pageAttr){
		func(a *pageAttr) { a.denied = sys.Write },
		func(a *pageAttr) { a.released = true },
	} {
		for _, start := range []int64{n, 2 * n} {
			l := attrTable(nil).update(start, start+n, true, change)
			if err, lockErr := l.apply(mem.Bytes(), sys.Read|sys.Write, n); err != nil || lockErr != nil {
				t.Errorf("%+v: %v, %v", l, err, lockErr)
			}
		}
	}
	mem.Bytes()[n-1]++
}
