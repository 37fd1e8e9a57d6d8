//go:build linux

package linear

import (
	"io"
	"strings"
)

// This file is the sequential behaviour: what each call returns to a goroutine
// that is alone, and what it leaves behind. It is that of an os.File, and where
// the file belongs to a Region these differences:
//
//  1. A Region may not have noticed yet what somebody else did to the size. Size
//     returns the size that it knows: as it was, or where its own last write ended.
//  2. If the file was cut, then until the Region notices a read of what lies
//     between the end of the file and the end of its last page returns zeros, and
//     a write there succeeds and is lost. What was lost may be read again in that
//     place as long as the cut is not noticed, and may be there when the file
//     grows.
//
// Stat, a Seek from the end, Truncate, a write past the known end and a View past
// it ask the system. After them the Region knows.

// state is the file and what the Region knows of it, in units. States can be
// compared with ==.
type state struct {
	data   string // the bytes of the file, a tag for each unit
	behind string // the lost bytes that memory still has behind the end
	limbo  bool   // a cut is under way, and memory still has all that it cuts off
	known  int    // the size that the Region knows
	olds   string // the sizes that the file had before somebody else changed them
	cursor int
	closed bool
	places string // where the parts of torn calls take place: see tear.go
	looked string // the sizes by which they go
}

// event is a call as the model sees it: all of it in units. Part says that it is
// only a part of one: see tear.go.
type event struct {
	Call
	got  int    // the count, the position or the size
	err  string // of classify
	data string // what was read
	late bool   // it may take effect after the Close: see tear.go
	lags bool   // the Region may know the new size a little later: see tear.go
	part part
}

// model is what the rules depend on.
type model struct {
	grid
	append bool // the file was opened with O_APPEND
	exact  bool // it belongs to an os.File
}

// step returns the states in which s may be after e; there is none if e cannot
// have returned what it did.
func (m *model) step(s state, e event) []state {
	var next []state
	switch {
	case e.part.kind != whole:
		next = m.stepPart(s, e)
	case e.Kind >= OtherWrite:
		next = m.otherStep(s, e)
	default:
		next = m.ownStep(s, e)
	}
	if m.exact {
		for i := range next {
			next[i] = next[i].noticed()
		}
	}
	return next
}

// refused reports whether a call returned what it does after Close. Size has no
// error to return.
func (e event) refused() bool {
	if e.Kind == Size {
		return e.got == 0
	}
	return e.err == closedError(e.Kind) && e.got == 0
}

// only returns s if ok, as the only state there is.
func only(ok bool, s ...state) []state {
	if ok {
		return s
	}
	return nil
}

// otherStep is step for what somebody else does. The Region may have noticed the
// size that the file had until then.
func (m *model) otherStep(s state, e event) (next []state) {
	if e.err != "" || e.got != e.N && e.Kind != OtherTruncate && e.Kind != OtherRead {
		return nil
	}
	s = s.remembers()
	for _, t := range []state{s, s.noticed()} {
		switch e.Kind {
		case OtherWrite:
			next = append(next, t.store(e.Off, e.N, e.Tag)...)
		case OtherAppend:
			next = append(next, t.store(len(t.data), e.N, e.Tag)...)
		case OtherTruncate:
			next = append(next, t.resize(e.Off)...)
		case OtherRead:
			next = append(next, only(e.data == t.data, t)...)
		}
	}
	return next
}

// remembers adds the size to the old ones.
func (s state) remembers() state {
	if size := string(rune(len(s.data))); !strings.Contains(s.olds, size) {
		s.olds += size
	}
	return s
}

// ownStep is step for the calls of the file under test.
func (m *model) ownStep(s state, e event) []state {
	if refused := e.refused(); s.closed && (refused || !e.late) {
		return only(refused, s)
	}
	switch e.Kind {
	case ReadAt:
		return m.read(s, e, e.Off)
	case Read:
		return m.moved(m.read(s, e, s.cursor), s.cursor+e.got)
	case View:
		return m.view(s, e)
	case WriteAt:
		return m.write(s, e, e.Off)
	case Write:
		at := s.cursor
		if m.append {
			at = len(s.data)
		}
		return m.moved(m.write(s, e, at), at+e.got)
	case Seek:
		return m.seek(s, e)
	case Truncate:
		next := s.resize(e.Off)
		if !e.lags {
			next = noticed(next)
		}
		return only(e.err == "", next...)
	case Size:
		return append(only(e.got == s.known, s), only(e.got == len(s.data), s.noticed())...)
	case Stat:
		ok := e.err == "" && e.got == len(s.data)
		return append(only(ok, s.noticed()), only(ok && e.lags, s)...)
	case Close:
		s.closed = true
		return only(e.err == "", s)
	}
	return nil
}

// read is a read of e.N units at off.
func (m *model) read(s state, e event, off int) (next []state) {
	size := len(s.data)
	have := max(min(size-off, e.N), 0)
	if e.got == have && e.data == s.data[min(off, size):min(off, size)+have] && e.err == readError(e, have) {
		next = append(next, s, s.noticed())
	}
	if m.unnoticed(s, off+e.got) && e.got > have && e.err == readError(e, e.got) && e.data == s.memory(off, e.got) {
		next = append(next, s)
	}
	return next
}

// readError is the error of a read that got so many units.
func readError(e event, got int) string {
	if got == 0 || e.Kind == ReadAt && got < e.N {
		return errEOF
	}
	return ""
}

// view is a View, which is all or nothing.
func (m *model) view(s state, e event) (next []state) {
	end := e.Off + e.N
	switch {
	case e.err == "" && end <= len(s.data) && e.data == s.data[e.Off:end]:
		next = append(next, s.noticed())
		if end <= s.known {
			next = append(next, s)
		}
	case e.err == "" && m.unnoticed(s, end) && e.data == s.memory(e.Off, e.N):
		next = append(next, s)
	case e.err == errCut && end > len(s.data), e.err == errFault && e.part.cut:
		next = append(next, s, s.noticed())
	}
	return next
}

// write is a write at off.
func (m *model) write(s state, e event, off int) (next []state) {
	end := off + e.N
	if e.err != "" || e.got != e.N {
		return nil
	}
	stored := s.store(off, e.N, e.Tag)
	next = append(next, noticed(stored)...)
	for _, t := range stored {
		next = append(next, t.grown(end))
	}
	if end <= s.known || e.lags {
		next = append(next, stored...)
	}
	if end > len(s.data) && m.unnoticed(s, end) {
		next = append(next, s.lose(off, e.N, e.Tag))
	}
	return next
}

// seek is a Seek.
func (m *model) seek(s state, e event) []state {
	from := 0
	switch e.Whence {
	case io.SeekCurrent:
		from = s.cursor
	case io.SeekEnd:
		from = len(s.data)
	}
	s.cursor = from + e.Off
	ok := e.err == "" && e.got == s.cursor
	if e.Whence != io.SeekEnd {
		return only(ok, s)
	}
	return append(only(ok, s.noticed()), only(ok && e.lags, s)...)
}

// moved puts the cursor of all states where it belongs.
func (m *model) moved(all []state, to int) []state {
	for i := range all {
		all[i].cursor = to
	}
	return all
}

// unnoticed reports whether memory may still serve what ends at end: the Region
// believes that to be inside the file, and it lies in the page where the file
// ends.
func (m *model) unnoticed(s state, end int) bool {
	return end <= s.known && m.inMemory(s, end)
}

// inMemory reports whether memory has what ends at end.
func (m *model) inMemory(s state, end int) bool {
	return end <= m.pageEnd(len(s.data)) || s.limbo && end <= len(s.data)+len(s.behind)
}

// memory returns what memory shows, also behind the end.
func (s state) memory(off, n int) string {
	all := s.data + s.behind
	if short := off + n - len(all); short > 0 {
		all += strings.Repeat("\x00", short)
	}
	return all[off : off+n]
}

// noticed is s when the Region knows the size.
func (s state) noticed() state {
	s.known = len(s.data)
	return s
}

// grown is s when the Region knows that the file reaches up to end, and nothing more:
// where it has written past the known end, until it can ask.
func (s state) grown(end int) state {
	s.known = max(s.known, end)
	return s
}

// noticed is noticed of all states.
func noticed(all []state) []state {
	some := make([]state, len(all))
	for i, s := range all {
		some[i] = s.noticed()
	}
	return some
}

// resize returns the states after the file became so long. While a cut is under
// way it cannot grow.
func (s state) resize(size int) (next []state) {
	old := len(s.data)
	if size < old {
		s.data, s.behind = s.data[:size], ""
		return []state{s}
	}
	if s.limbo && size > old {
		return nil
	}
	lost := s.memory(0, size)
	kept := strings.TrimRight(s.behind[min(size-old, len(s.behind)):], "\x00")
	s.data += strings.Repeat("\x00", size-old)
	s.behind = kept
	next = append(next, s)
	if s.data != lost {
		s.data = lost
		next = append(next, s)
	}
	return next
}

// store returns the states after a write at off.
func (s state) store(off, n int, tag byte) []state {
	all := []state{s}
	switch {
	case s.limbo && off+n > len(s.data):
		return nil
	case off > len(s.data):
		all = s.resize(off)
	}
	for i := range all {
		t := &all[i]
		if grown := off + n - len(t.data); grown > 0 {
			t.behind = t.behind[min(grown, len(t.behind)):]
		}
		t.data = t.data[:off] + repeat(tag, n) + t.data[min(off+n, len(t.data)):]
	}
	return all
}

// lose returns the state after a write of which only what is inside the file
// counts.
func (s state) lose(off, n int, tag byte) state {
	size := len(s.data)
	all := s.memory(0, max(off+n, size+len(s.behind)))
	all = all[:off] + repeat(tag, n) + all[off+n:]
	s.data, s.behind = all[:size], all[size:]
	return s
}

// repeat returns n units of a tag.
func repeat(tag byte, n int) string { return strings.Repeat(string([]byte{tag}), n) }
