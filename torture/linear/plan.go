//go:build linux

package linear

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
)

// Plan is a file and the calls to be made on it. All offsets and lengths are
// whole units, so that few places matter and calls meet each other. Units are
// counted from Base on; what is before it is never looked at. A page ends where
// a unit does.
type Plan struct {
	Base, Unit int64
	Room       int  // how many units a file may have
	Start      int  // how many it has before
	Append     bool // it is opened with O_APPEND
	ReadOnly   bool // it is opened with O_RDONLY
	Mapped     int  // 0: as it comes; 1: Options.Populate; 2: a View before
	ByMap      bool // the Region is made by Map
	Calls      [][]Call
}

// firstTag is the tag of the first write; lower ones are those of the units
// that a file has before.
const firstTag = 100

// geometries are where the units of a plan may lie: in a few bytes, in one page
// and around its end, in up to three pages.
var geometries = []struct {
	base, unit int64
	room       int
}{
	{0, 1, 12}, {0, 8, 12}, {0, 64, 12}, {0, 512, 12}, {0, 1024, 12}, {0, 4096, 3},
	{4096 - 4, 1, 10}, {4096 - 4*8, 8, 10}, {4096 - 3*64, 64, 10}, {2*4096 - 2*512, 512, 6},
}

// NewPlan makes a plan by chance.
func NewPlan(rng *rand.Rand) Plan {
	g := geometries[rng.IntN(len(geometries))]
	p := Plan{Base: g.base, Unit: g.unit, Room: g.room, Start: rng.IntN(g.room*2/3 + 1), ByMap: rng.IntN(3) == 0}
	if rng.IntN(2) == 0 {
		p.Mapped = 1 + rng.IntN(2)
	}
	switch rng.IntN(8) {
	case 0:
		p.ReadOnly = true
	case 1:
		// What is appended must not cross the end of a page: the kernel
		// moves the end of the file once for each page (see allowed too).
		p.Append, p.Base, p.Unit, p.Room = true, 0, 64, 12
	}
	c := chooser{rng: rng, plan: &p, tag: firstTag, alone: !p.ReadOnly && rng.IntN(2) == 0, closes: rng.IntN(3) == 0}
	for range 2 + rng.IntN(2) {
		var calls []Call
		for range 3 + rng.IntN(3) {
			calls = append(calls, c.call())
		}
		p.Calls = append(p.Calls, calls)
	}
	return p
}

// chooser chooses calls.
type chooser struct {
	rng    *rand.Rand
	plan   *Plan
	tag    byte
	alone  bool // nobody else has the file open
	closes bool // there is a Close
}

// often says how often each kind of call comes.
var often = [kinds]int{
	ReadAt: 20, WriteAt: 20, Read: 14, Write: 14, Seek: 8, Truncate: 8, Size: 5, Stat: 5, View: 8, Close: 4,
	OtherWrite: 5, OtherAppend: 2, OtherTruncate: 7,
}

// allowed reports whether the plan may have such a call.
func (c *chooser) allowed(k Kind) bool {
	switch k {
	case Close:
		return c.closes
	case OtherWrite, OtherTruncate:
		return !c.alone
	case OtherAppend:
		return !c.alone && c.plan.Base == 0 && c.plan.Unit <= 64 // inside one page
	case WriteAt:
		return !c.plan.ReadOnly && !c.plan.Append
	case Write, Truncate:
		return !c.plan.ReadOnly
	}
	return true
}

// kind chooses a kind.
func (c *chooser) kind() Kind {
	for {
		at := c.rng.IntN(100 + 20)
		for k, n := range often {
			if at -= n; at < 0 {
				if c.allowed(Kind(k)) {
					return Kind(k)
				}
				break
			}
		}
	}
}

// call chooses a call.
func (c *chooser) call() Call {
	room := c.plan.Room
	call := Call{Kind: c.kind(), Off: c.rng.IntN(room), N: 1 + c.rng.IntN(4)}
	switch call.Kind {
	case ReadAt, View, Read:
		call.N = 1 + c.rng.IntN(room)
	case WriteAt, Write, OtherWrite, OtherAppend:
		call.Tag = c.tag
		c.tag++
	case Seek:
		call.Whence = c.rng.IntN(3)
		switch call.Whence {
		case io.SeekCurrent:
			call.Off = c.rng.IntN(3)
		case io.SeekEnd:
			call.Off = 0
		}
	}
	if c.plan.Unit == 4096 {
		call.N = min(call.N, 2)
	}
	return call
}

// start is what the file holds before, in units.
func (p *Plan) start() string {
	b := make([]byte, p.Start)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return string(b)
}

// contents are the bytes of the file before.
func (p *Plan) contents() []byte {
	b := make([]byte, p.Base+int64(p.Start)*p.Unit)
	for i, tag := range []byte(p.start()) {
		unit := b[p.Base+int64(i)*p.Unit:][:p.Unit]
		for j := range unit {
			unit[j] = tag
		}
	}
	return b
}

// History is a plan that was played.
type History struct {
	Plan
	Exact bool // of an os.File, which has no differences from itself
	Ops   []Op
}

// Beside returns how many calls overlapped another one in time.
func (h History) Beside() (n int) {
	for _, o := range h.Ops {
		if slices.ContainsFunc(h.Ops, func(p Op) bool { return o.Begin != p.Begin && o.beside(p) }) {
			n++
		}
	}
	return n
}

// String shows what happened, in the order in which the calls began.
func (h History) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "units of %d bytes from %d on, %d of them before", h.Unit, h.Base, h.Start)
	for _, with := range []struct {
		what string
		is   bool
	}{
		{"O_APPEND", h.Append}, {"O_RDONLY", h.ReadOnly}, {"by Map", h.ByMap}, {"populated", h.Mapped == 1}, {"a View before", h.Mapped == 2},
	} {
		if with.is {
			b.WriteString(", " + with.what)
		}
	}
	for _, o := range h.Ops {
		fmt.Fprintf(&b, "\n  %v", o)
	}
	return b.String()
}
