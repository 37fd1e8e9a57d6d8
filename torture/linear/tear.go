//go:build linux

package linear

import (
	"math"
	"slices"
)

// Reads and writes of the same bytes at the same time may tear: the reader may
// see some bytes before the write and others after it. So may two writes. Such
// calls are taken apart: for each stretch of units there is an event of its own,
// and all of them lie between the call's beginning and its end. Each event must
// still find its place in the order of all. A call that meets no other at its
// bytes is not taken apart.
//
// A Close does not wait for calls under way: what one of them does may come after
// it, also where the call returns os.ErrClosed. An os.File is no different. But
// no call succeeds that began after some call had returned os.ErrClosed.
//
// A call that changes the size is done when it returns. Until then the size that the
// Region knows may be the old one or the new one. So it is beside a Stat or a Seek. A call that asked the system
// while somebody else changed the size may tell the Region the size from before, or
// one in the middle of what the other writes.
//
// A call that looks at the size goes on with that, also when another call notices
// meanwhile that somebody else has cut the file.
//
// When somebody else cuts the file, the size changes first, and then the pages go.
// In between a Region may still show them.
//
// The end of the file may be cut off while a call is about to read or write it in
// memory. Then a write is made once more, by the descriptor, whatever part of it
// was already made; and a View may find no reason for its fault, if the file has
// grown again.

// grid says what a unit is here: those of the plan, cut further wherever the end
// of a run or a size was seen.
type grid struct {
	base, unit int64
	cuts       []int64 // inside each unit of the plan; the first is 0
}

// pageSize is that of the file's pages: a larger one is a multiple of it.
const pageSize = 4096

// newGrid returns the grid on which all of the history lies.
func newGrid(h History) grid {
	g := grid{h.Base, h.Unit, []int64{0}}
	add := func(at int64) {
		cut := ((at-h.Base)%h.Unit + h.Unit) % h.Unit
		if i, found := slices.BinarySearch(g.cuts, cut); !found {
			g.cuts = slices.Insert(g.cuts, i, cut)
		}
	}
	for _, o := range h.Ops {
		switch o.Kind {
		case Seek, Size, Stat:
			if o.Err == "" && o.Got > 0 {
				add(o.Got)
			}
			continue
		}
		at := h.Base // all calls begin where a unit does
		for _, r := range o.Runs {
			at += r.N
			add(at)
		}
	}
	return g
}

// units returns the number of the unit that begins at a place in the file.
func (g grid) units(at int64) int {
	i, _ := slices.BinarySearch(g.cuts, (at-g.base)%g.unit)
	return int((at-g.base)/g.unit)*len(g.cuts) + i
}

// pageEnd returns the end of the page in which a unit ends.
func (g grid) pageEnd(unit int) int {
	at := g.base + int64(unit/len(g.cuts))*g.unit + g.cuts[unit%len(g.cuts)]
	return g.units((at + pageSize - 1) &^ (pageSize - 1))
}

// event returns the call as the model sees it.
func (g grid) event(o Op) event {
	e := event{Call: o.Call, err: o.Err}
	e.N *= len(g.cuts)
	e.Off *= len(g.cuts)
	switch o.Kind {
	case Seek, Size, Stat:
		if o.Got > 0 {
			e.got = g.units(o.Got)
		}
	default:
		e.got = g.units(g.base + o.Got)
	}
	at := int64(0)
	for _, r := range o.Runs {
		e.data += repeat(r.Tag, g.units(g.base+at+r.N)-g.units(g.base+at))
		at += r.N
	}
	return e
}

// part says which part of a call an event is.
type part struct {
	kind     partKind
	slot     int  // which call by the cursor
	from, to int  // the units, counted from where the call begins
	cut      bool // the file became shorter meanwhile
}

// partKind is the kind of a part.
type partKind uint8

const (
	whole   partKind = iota // a call that is not taken apart
	head                    // takes the place from the cursor and moves it
	reads                   // reads some units
	ends                    // finds the end of the file
	stores                  // writes some units
	may                     // writes some units, or does not: the file was being closed
	tells                   // the Region knows the new size
	cuts                    // somebody else cuts the file; memory still has what is cut off
	drops                   // memory has it no more
	recalls                 // the Region is told an old size
	looks                   // takes the size that the Region knows for the whole call
)

// stepPart is step for a part, but for what an os.File notices.
func (m *model) stepPart(s state, e event) (next []state) {
	at := e.Off
	switch {
	case e.part.kind == recalls:
		for _, old := range s.olds {
			t := s
			t.known = int(old)
			next = append(next, t)
		}
		return append(next, s)
	case e.Kind == Write && m.append:
		at = len(s.data)
	case e.Kind.byCursor() && e.part.kind != head:
		if at = s.place(e.part.slot); at < 0 {
			return nil
		}
	}
	at += e.part.from
	n := e.part.to - e.part.from
	end := at + n
	open := !s.closed || e.late || e.Kind >= OtherWrite
	looked := get(s.looked, e.part.slot)
	behind := end > len(s.data) && m.inMemory(s, end) && (e.part.cut || end <= max(s.known, looked))
	zeros := end > len(s.data) && end <= looked && e.part.cut // a large folio is cleared before it goes
	switch e.part.kind {
	case cuts:
		return s.cut(e.Off)
	case drops:
		ok := s.limbo
		s.limbo, s.behind = false, ""
		return only(ok, s)
	case head:
		return only(open, s.begin(e.part.slot, e.got))
	case looks:
		s.looked = put(s.looked, e.part.slot, s.known)
		return only(open, s)
	case reads:
		data := e.data[e.part.from:e.part.to]
		inside := end <= len(s.data) && data == s.data[at:end]
		return only(open && (inside || behind && data == s.memory(at, n) || zeros && data == repeat(0, n)), s, s.noticed())
	case tells:
		if e.Kind == Truncate { // known before it is so, too
			s.known = e.Off
			return []state{s}
		}
		if at <= s.known { // it did not have to ask
			return []state{s, s.noticed()}
		}
		return []state{s.noticed(), s.grown(at)}
	case ends:
		return only(open && len(s.data) <= at, s, s.noticed())
	}
	if e.Kind >= OtherWrite {
		s = s.remembers()
	}
	if open && (at <= len(s.data) || e.part.from == 0) {
		next = s.store(at, n, e.Tag)
		next = append(next, noticed(next)...)
	}
	if open && behind {
		next = append(next, s.lose(at, n, e.Tag))
	}
	if e.part.kind == may {
		next = append(next, s)
	}
	return next
}

// cut returns the states after the size changed, and before the pages of a cut
// have gone.
func (s state) cut(size int) (next []state) {
	if s.limbo {
		return nil // the system makes one change of the size at a time
	}
	old := s.memory(0, len(s.data)+len(s.behind))
	for _, from := range []state{s.remembers(), s.remembers().noticed()} {
		for _, t := range from.resize(size) {
			t.limbo = true
			if size < len(s.data) {
				t.behind = old[size:]
			}
			next = append(next, t)
		}
	}
	return next
}

// place returns where a call by the cursor takes place, or -1.
func (s state) place(slot int) int { return get(s.places, slot) }

// begin notes that a call by the cursor takes place there, and moves the cursor
// by n.
func (s state) begin(slot, n int) state {
	s.places = put(s.places, slot, s.cursor)
	s.cursor += n
	return s
}

// get returns what put has put into a slot, or -1.
func get(slots string, slot int) int {
	if 2*slot+1 >= len(slots) {
		return -1
	}
	return int(slots[2*slot])<<8 + int(slots[2*slot+1]) - 1
}

// put puts a number into a slot.
func put(slots string, slot, n int) string {
	b := append(make([]byte, 0, 2*slot+2), slots...)
	for len(b) < 2*slot+2 {
		b = append(b, 0)
	}
	b[2*slot], b[2*slot+1] = byte((n+1)>>8), byte(n+1)
	return string(b)
}

// tearer takes calls apart.
type tearer struct {
	h     History
	grid  grid
	least int      // no size is smaller
	fine  bool     // stretches are units
	cut   bool     // the file may become shorter
	close [2]int64 // when the Close began, and when the first call had returned that it is closed
	ends  []int    // where stretches end
}

// newTearer looks at the history. Where a call by the cursor takes place is not
// known before. So its stretches are a guess, unless they are as fine as can be;
// stretches that are too long forbid more than they should.
func newTearer(h History, g grid, fine bool) *tearer {
	t := &tearer{h: h, grid: g, fine: fine, least: h.Start * len(g.cuts), ends: []int{}, close: [2]int64{math.MaxInt64, math.MaxInt64}}
	for _, o := range h.Ops {
		e := g.event(o)
		if o.Kind == Close && o.Err == "" {
			t.close[0] = o.Begin
		}
		if o.Kind == Close || o.Err == closedError(o.Kind) {
			t.close[1] = min(t.close[1], o.End)
		}
		switch o.Kind {
		case Truncate, OtherTruncate:
			t.cut = true
			t.least = min(t.least, e.Off)
			t.ends = append(t.ends, e.Off)
		case Size, Stat:
			t.ends = append(t.ends, e.got)
		case ReadAt, View, WriteAt, OtherWrite:
			t.ends = append(t.ends, e.Off, e.Off+e.N, e.Off+e.got)
			for i := range e.data {
				if e.turns(i) {
					t.ends = append(t.ends, e.Off+i)
				}
			}
		}
	}
	slices.Sort(t.ends)
	return t
}

// turns reports whether unit i of what was read is not like the one before.
func (e event) turns(i int) bool { return i > 0 && i < len(e.data) && e.data[i] != e.data[i-1] }

// endsAt reports whether a stretch of a call ends there, counted from where the
// call begins.
func (t *tearer) endsAt(e event, to int) bool {
	if e.Kind.byCursor() || t.fine {
		return t.fine || e.turns(to)
	}
	_, found := slices.BinarySearch(t.ends, e.Off+to)
	return found
}

// reach returns the units that a call depends on or changes.
func (t *tearer) reach(o Op) (from, to int) {
	e := t.grid.event(o)
	switch o.Kind {
	case ReadAt, View:
		return e.Off, e.Off + e.N
	case WriteAt, OtherWrite:
		return min(e.Off, t.least), e.Off + e.N
	case Truncate, OtherTruncate:
		return min(e.Off, t.least), math.MaxInt
	}
	return 0, math.MaxInt
}

// meets reports whether two calls overlap in time, and one of them changes what
// the other depends on.
func (t *tearer) meets(a, b Op) bool {
	if !a.beside(b) || !a.Kind.writes() && !b.Kind.writes() {
		return false
	}
	from1, to1 := t.reach(a)
	from2, to2 := t.reach(b)
	return from1 < to2 && from2 < to1
}

// beside reports whether two calls overlap in time.
func (o Op) beside(p Op) bool { return o.Begin < p.End && p.Begin < o.End }

// events returns the events of call i.
func (t *tearer) events(i int) []event {
	o := t.h.Ops[i]
	all := t.effects(i)
	changes := func(p Op) bool { return p.Kind >= OtherWrite && p.Kind.writes() && o.beside(p) }
	if o.Kind < OtherWrite && slices.ContainsFunc(t.h.Ops, changes) {
		all = append(all, event{Call: t.grid.event(o).Call, part: part{kind: recalls}})
	}
	return all
}

// effects returns the events of call i that the caller or the file sees.
func (t *tearer) effects(i int) []event {
	o, e := t.h.Ops[i], t.grid.event(t.h.Ops[i])
	e.late = o.Begin < t.close[1] && t.close[0] < o.End
	refused, torn := o.Err == closedError(o.Kind), false
	for j, p := range t.h.Ops {
		if i == j || !o.beside(p) {
			continue
		}
		e.lags = e.lags || p.Kind < OtherWrite && (o.Kind != Stat && o.Kind != Seek || p.Kind == Size)
		if t.meets(o, p) {
			torn = true
			e.part.cut = e.part.cut || o.Err == errFault || p.Kind == Truncate || p.Kind == OtherTruncate
		}
		if p.Kind < OtherWrite { // which may ask for the size meanwhile
			torn = torn || o.Kind == OtherWrite || t.fine && t.cut && !o.Kind.writes()
		}
	}
	switch o.Kind {
	case ReadAt, Read, View:
		if e.late && 0 < e.got && e.got < e.N || torn && !refused && o.Err != errCut && o.Err != errFault {
			return t.parts(e, i, reads, e.got)
		}
	case WriteAt, Write, OtherWrite:
		if refused && e.late {
			return t.parts(e, i, may, e.N)
		}
		if torn && !refused && !(o.Kind == Write && t.h.Append) {
			return t.parts(e, i, stores, e.N)
		}
	case OtherTruncate:
		first, then := e, e
		first.part, then.part = part{kind: cuts}, part{kind: drops}
		return []event{first, then}
	case Truncate:
		if e.lags && !refused {
			return []event{e, {Call: e.Call, part: part{kind: tells}}}
		}
	}
	return []event{e}
}

// again returns the events that write, as ones that may have happened too.
func again(all []event) (some []event) {
	for _, e := range all {
		if e.part.kind == stores {
			e.part.kind = may
			some = append(some, e)
		}
	}
	return some
}

// parts takes a call apart, n units of which are read or written.
func (t *tearer) parts(e event, slot int, kind partKind, n int) (all []event) {
	add := func(kind partKind, from, to int) {
		p := e
		p.part = part{kind, slot, from, to, e.part.cut}
		all = append(all, p)
	}
	if e.err == closedError(e.Kind) { // besides, it fails, after the Close
		end := e
		end.got, end.data = 0, ""
		all = append(all, end)
	}
	if e.Kind == Write && t.h.Append {
		add(kind, 0, n)
		return all
	}
	if e.Kind.byCursor() {
		add(head, 0, 0)
	}
	if e.Kind < OtherWrite && t.cut {
		add(looks, 0, 0)
	}
	from := 0
	for to := 1; to <= n; to++ {
		if to == n || t.endsAt(e, to) {
			add(kind, from, to)
			from = to
		}
	}
	if kind == stores && e.Kind < OtherWrite {
		add(tells, n, n)
		if e.part.cut {
			return append(all, again(all)...)
		}
	}
	if kind == reads && n < e.N && !e.late { // beside Close a read may end early
		add(ends, n, n)
	}
	return all
}
