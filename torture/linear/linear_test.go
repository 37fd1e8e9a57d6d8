//go:build linux

package linear

import (
	"flag"
	"math/rand/v2"
	"testing"
)

var (
	firstSeed = flag.Uint64("linear.seed", 1, "the seed of the plans")
	histories = flag.Int("linear.n", 1000, "how many histories")
	directory = flag.String("linear.dir", "", "where; otherwise below the directory for temporary files")
)

// play plays histories and checks them, until one is not linearizable or there
// were n.
func play(t *testing.T, open Opener, exact bool, n int) (bad *History) {
	t.Helper()
	dir := *directory
	if dir == "" {
		dir = t.TempDir()
	}
	lab, err := NewLab(dir, open, exact)
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	for i := range n {
		rng := rand.New(rand.NewPCG(*firstSeed, uint64(i)))
		h, err := lab.Play(NewPlan(rng), rng)
		if err != nil {
			t.Fatal(err)
		}
		if h.Check() == Illegal {
			return &h
		}
	}
	return nil
}

// TestRegion: a Region is linearizable.
func TestRegion(t *testing.T) {
	if h := play(t, OpenRegion, false, *histories); h != nil {
		t.Errorf("not linearizable: %v", h)
	}
}

// TestOSFile: the model is that of an os.File.
func TestOSFile(t *testing.T) {
	if h := play(t, OpenOSFile, true, *histories); h != nil {
		t.Errorf("not linearizable: %v", h)
	}
}

// TestBroken: what is broken is found out.
func TestBroken(t *testing.T) {
	for name, open := range Broken {
		if h := play(t, open, true, 50_000); h == nil {
			t.Errorf("%s is not found out", name)
		} else {
			t.Logf("%s: %v", name, h)
		}
	}
}

// made is a history of calls of which each has a goroutine and two moments.
func made(start int, exact bool, ops ...Op) History {
	h := History{Plan: Plan{Unit: 1, Room: 12, Start: start}, Exact: exact, Ops: ops}
	for i, o := range ops {
		if o.Begin == 0 { // one after the other
			h.Ops[i].Begin, h.Ops[i].End = int64(10*i+1), int64(10*i+2)
		}
	}
	return h
}

// at puts a call between two moments.
func (o Op) at(begin, end int64) Op {
	o.Begin, o.End = begin, end
	return o
}

func reading(off, n int, err string, runs ...Run) Op {
	got := int64(0)
	for _, r := range runs {
		got += r.N
	}
	return Op{Call: Call{Kind: ReadAt, Off: off, N: n}, Got: got, Err: err, Runs: runs}
}

func viewing(off int, runs ...Run) Op {
	o := reading(off, 0, "", runs...)
	o.Kind, o.N = View, int(o.Got)
	return o
}

func writing(off, n int, tag byte) Op {
	return Op{Call: Call{Kind: WriteAt, Off: off, N: n, Tag: tag}, Got: int64(n)}
}

// byOther is a write through another descriptor.
func byOther(o Op) Op {
	o.Kind = OtherWrite
	return o
}

func cutting(kind Kind, size int) Op { return Op{Call: Call{Kind: kind, Off: size}} }

func sized(kind Kind, size int64) Op { return Op{Call: Call{Kind: kind}, Got: size} }

// TestCheck: histories of which the answer is known.
func TestCheck(t *testing.T) {
	closing := Op{Call: Call{Kind: Close}}
	for _, c := range []struct {
		name  string
		start int
		exact bool
		ops   []Op
		want  Verdict
	}{
		{"one after the other", 2, true, []Op{writing(1, 2, 100), reading(0, 4, errEOF, Run{1, 1}, Run{2, 100})}, Linearizable},
		{"a read of old bytes", 2, true, []Op{writing(1, 2, 100), reading(0, 2, "", Run{1, 1}, Run{1, 2})}, Illegal},
		{"a read beside a write sees it", 4, true, []Op{writing(0, 4, 100).at(1, 4), reading(0, 4, "", Run{4, 100}).at(2, 3)}, Linearizable},
		{"a read beside a write is torn", 4, true, []Op{writing(0, 4, 100).at(1, 4), reading(0, 4, "", Run{2, 100}, Run{1, 3}, Run{1, 4}).at(2, 3)}, Torn},
		{"a read after a write is torn", 4, true, []Op{writing(0, 4, 100), reading(0, 4, "", Run{2, 100}, Run{1, 3}, Run{1, 4})}, Illegal},
		{"two reads beside a write see it come", 2, true, []Op{
			writing(0, 2, 100).at(1, 9), reading(0, 2, "", Run{1, 1}, Run{1, 100}).at(2, 3), reading(0, 2, "", Run{2, 100}).at(4, 5)}, Torn},
		{"two reads beside a write see it go", 2, true, []Op{
			writing(0, 2, 100).at(1, 9), reading(0, 2, "", Run{2, 100}).at(2, 3), reading(0, 2, "", Run{1, 1}, Run{1, 100}).at(4, 5)}, Illegal},
		{"a cut that is not noticed", 4, false, []Op{cutting(OtherTruncate, 1), reading(0, 4, "", Run{1, 1}, Run{3, 0}), sized(Size, 4)}, Linearizable},
		{"a cut that an os.File does not notice", 4, true, []Op{cutting(OtherTruncate, 1), reading(0, 4, "", Run{1, 1}, Run{3, 0})}, Illegal},
		{"a cut that is noticed", 4, false, []Op{cutting(OtherTruncate, 1), sized(Stat, 1), reading(0, 4, "", Run{1, 1}, Run{3, 0})}, Illegal},
		{"a write that a cut loses", 4, false, []Op{cutting(OtherTruncate, 1), writing(2, 1, 100), sized(Stat, 1)}, Linearizable},
		{"a write that is lost", 4, false, []Op{writing(3, 1, 100), reading(3, 1, "", Run{1, 4})}, Illegal},
		{"a size that lags behind a write under way", 2, false, []Op{writing(2, 2, 100).at(1, 9), reading(0, 4, "", Run{1, 1}, Run{1, 2}, Run{2, 100}).at(2, 3), sized(Size, 2).at(4, 5)}, Torn},
		{"a size that lags behind a Stat under way", 2, false, []Op{
			writing(2, 2, 100).at(1, 9), sized(Stat, 4).at(2, 8), byOther(writing(4, 1, 101)).at(3, 4), sized(Size, 2).at(5, 6)}, Torn},
		{"a size that lags behind a Seek under way", 2, false, []Op{
			cutting(Truncate, 9).at(1, 12), {Call: Call{Kind: Seek, Whence: 2}, Got: 9, Begin: 2, End: 11},
			{Call: Call{Kind: OtherAppend, N: 1, Tag: 101}, Got: 1, Begin: 3, End: 4}, sized(Size, 2).at(5, 6),
			{Call: Call{Kind: OtherRead}, Got: 10, Runs: []Run{{1, 1}, {1, 2}, {7, 0}, {1, 101}}, Begin: 21, End: 22}}, Torn},
		{"a size that lags behind a Seek", 2, false, []Op{
			cutting(Truncate, 9).at(1, 12), {Call: Call{Kind: Seek, Whence: 2}, Got: 9, Begin: 2, End: 3}, sized(Size, 2).at(5, 6)}, Illegal},
		{"a size that lags behind a Stat", 2, false, []Op{writing(2, 2, 100).at(1, 9), sized(Stat, 4).at(2, 3), sized(Size, 2).at(5, 6)}, Illegal},
		{"a size that is where a write ended, of a file that others have made longer", 0, false, []Op{
			byOther(writing(0, 5, 100)), writing(3, 1, 101), sized(Size, 4)}, Linearizable},
		{"a size that is less than where a write ended", 0, false, []Op{
			byOther(writing(0, 5, 100)), writing(3, 1, 101), sized(Size, 3)}, Illegal},
		{"zeros of a page that a Truncate clears, before bytes that it has not", 3, false, []Op{
			cutting(Truncate, 1).at(1, 9), reading(1, 2, "", Run{1, 0}, Run{1, 3}).at(2, 3)}, Torn},
		{"a size that lags behind", 2, false, []Op{writing(2, 2, 100), sized(Size, 2)}, Illegal},
		{"a size that a read saw in the middle of a write", 2, false, []Op{
			reading(7, 2, errEOF).at(1, 5), byOther(writing(2, 3, 100)).at(2, 6), sized(Size, 4).at(7, 8)}, Torn},
		{"a size from before a write that a read ran beside", 2, false, []Op{
			reading(0, 1, "", Run{1, 1}).at(1, 4), byOther(writing(2, 3, 100)).at(2, 5), {Call: Call{Kind: Seek, Whence: 2}, Got: 5, Begin: 6, End: 15},
			byOther(writing(5, 1, 101)).at(7, 8), sized(Size, 2).at(9, 10)}, Torn},
		{"a size in the middle of a write that nobody saw", 2, false, []Op{
			reading(7, 2, errEOF), byOther(writing(2, 3, 100)), sized(Size, 4)}, Illegal},
		{"a View that goes by the size from before another call noticed a cut", 9, false, []Op{
			cutting(OtherTruncate, 0).at(1, 2), viewing(3, Run{1, 0}, Run{2, 103}, Run{2, 0}).at(3, 20), sized(Stat, 0).at(4, 5), writing(4, 2, 103).at(6, 7)}, Torn},
		{"a View that begins when a cut was noticed", 9, false, []Op{
			cutting(OtherTruncate, 0).at(1, 2), sized(Stat, 0).at(3, 4), viewing(3, Run{1, 0}, Run{2, 103}, Run{2, 0}).at(5, 20), writing(4, 2, 103).at(6, 7)}, Illegal},
		{"a write in parts that a cut loses", 4, false, []Op{
			reading(2, 4, errEOF, Run{1, 3}, Run{1, 0}, Run{1, 102}).at(1, 20), cutting(OtherTruncate, 0).at(2, 3),
			writing(0, 1, 100).at(4, 5), writing(0, 4, 101).at(6, 7), writing(4, 1, 102).at(8, 9),
			{Call: Call{Kind: OtherRead}, Got: 5, Runs: []Run{{1, 101}, {3, 0}, {1, 102}}, Begin: 21, End: 22}}, Torn},
		{"a write in parts that is lost", 4, false, []Op{
			reading(2, 4, errEOF, Run{1, 3}, Run{1, 0}, Run{1, 102}).at(1, 20),
			writing(0, 1, 100).at(4, 5), writing(0, 4, 101).at(6, 7), writing(4, 1, 102).at(8, 9),
			{Call: Call{Kind: OtherRead}, Got: 5, Runs: []Run{{1, 101}, {3, 0}, {1, 102}}, Begin: 21, End: 22}}, Illegal},
		{"a write after Close", 2, false, []Op{closing, writing(0, 1, 100)}, Illegal},
		{"a write beside Close, done after it", 2, false, []Op{closing.at(2, 3), writing(0, 1, 100).at(1, 9), {Call: Call{Kind: OtherRead}, Got: 2, Runs: []Run{{1, 1}, {1, 2}}, Begin: 4, End: 5}}, Torn},
		{"a read that a Close ends before it begins, beside somebody's write", 2, false, []Op{
			reading(0, 2, errEOF).at(1, 9), byOther(writing(0, 2, 100)).at(2, 3), closing.at(4, 5)}, Torn},
		{"a write after a call said closed, beside Close", 2, false, []Op{
			closing.at(1, 9), {Call: Call{Kind: Stat}, Err: "stat closed", Begin: 2, End: 3}, writing(0, 1, 100).at(4, 5)}, Illegal},
	} {
		if got := made(c.start, c.exact, c.ops...).Check(); got != c.want {
			t.Errorf("%s: %v, and it should be %v", c.name, got, c.want)
		}
	}
}
