package difftest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// This file is the one place where a Region may differ from its oracle. The
// contract knows these differences, and no others:
//
//  1. Size, Len and Bytes are what the Region last saw. So is a View or a
//     flush to the end. (The oracle is told; see beside.known, lookAtSizes.)
//  2. A file that somebody else cut: as long as the Region has not asked the
//     descriptor, a read gives zeros from the end of the file up to the end of
//     its page, and no further.
//  3. There, a write inside that page succeeds and is lost; the file does not
//     grow. A flush must not succeed while the file ends before it.
//  4. A flush after a cut below bytes that were written may fail, wrapping
//     io.ErrUnexpectedEOF, and once one has failed all that follow do; below
//     bytes that were only handed out it may fail once for each cut.
//  5. WriteTo of a closed file: os blames the file that was to be written.
//
// Where a difference is accepted the oracle follows the Region, so that the
// rest of the play can be compared.

// stale reports that the Region believes the file to be longer than it is.
func (p *play) stale(s state) bool {
	return !p.closed && !p.s.private() && s.known > s.size
}

// settle makes the Region ask the descriptor.
func (p *play) settle() {
	_, _ = p.region.Refresh()
	p.known = p.region.Size()
}

// long reports that c may be more than one copy inside the Region, some before
// and some after it notices the cut: it is played on settled sides.
func (c call) long() bool {
	switch c.kind {
	case opReadFromBytes, opReadFromFile, opReadFromPart, opViewWrites:
		return true
	case opWrite, opWriteAt, opWriteString:
		return c.length() > piece
	}
	return false
}

// pad returns up to where a stale Region shows zeros.
func (p *play) pad(s state) int64 {
	end := (p.base() + s.size + page - 1) &^ (page - 1)
	return max(min(end-p.base(), s.known), s.size)
}

// excuse compares with what is known to differ and returns what is to be
// compared then.
func (p *play) excuse(c call, s state, got, want outcome) (outcome, outcome) {
	if sys.MappingPinsSize && got.err != nil && want.err != nil {
		got, want = excuseWindows(c, got, want)
	}
	switch c.kind {
	case opWriteToFile:
		if p.closed && errors.Is(want.err, os.ErrClosed) {
			want.err = like{target: os.ErrClosed}
		}
	case opFlush, opFlushRange, opSync:
		return got, p.excuseFlush(c, s, got, want)
	case opWrite, opWriteAt, opWriteByte, opWriteString, opViewWrites, opReadFromBytes, opReadFromFile, opReadFromPart:
		p.loss.wrote(max(p.now().size, s.size))
	case opTruncate:
		if got.err == nil {
			p.loss.dropped(p.now().size)
		}
	case opViewReads, opBytes:
		p.loss.wrote(s.known) // writable bytes that somebody saw count as written
		if s.known > s.size {
			p.loss.wasCut, p.loss.warn = true, p.loss.warn || c.kind == opBytes
		}
	}
	if !p.stale(s) {
		return got, want
	}
	switch c.kind {
	case opRead, opReadAt, opReadByte, opWriteToBuffer, opWriteToFile, opViewReads, opAt:
		return got, p.excuseRead(c, s, got, want)
	case opWrite, opWriteAt, opWriteByte, opWriteString:
		return got, p.excuseWrite(c, s, got, want)
	}
	return got, want
}

// excuseWindows accepts other errors than those of os.File: a Truncate that the
// handle does not allow may name the mapping instead, and what os says of a
// closed file need not be os.ErrClosed.
func excuseWindows(c call, got, want outcome) (outcome, outcome) {
	if c.kind == opTruncate || errors.Is(got.err, os.ErrClosed) {
		got.err = want.err
	}
	return got, want
}

// excuseRead accepts zeros up to the end of the page.
func (p *play) excuseRead(c call, s state, got, want outcome) outcome {
	if c.kind == opViewReads || c.kind == opAt {
		return p.excuseView(c, s, got, want)
	}
	n, have := len(got.data), len(want.data)
	if got.n != int64(n) || n <= have || got.err != nil && got.err != io.EOF {
		return want
	}
	zeros := got.data[have:]
	if !bytes.HasPrefix(got.data, want.data) || len(bytes.Trim(zeros, "\x00")) > 0 || int64(len(zeros)) > p.pad(s)-s.size {
		return want
	}
	if c.kind != opReadAt {
		_, _ = p.oracle.Seek(cursor(p.region), io.SeekStart)
	}
	return got
}

// excuseView accepts the same of View and At, and the fault of one that
// reaches further than that page.
func (p *play) excuseView(c call, s state, got, want outcome) outcome {
	fault := new(*mmap.FaultError)
	if errors.As(got.err, fault) && errors.Is(got.err, io.ErrUnexpectedEOF) {
		return got
	}
	off := c.place(s.size)
	if got.err != nil || got.n != int64(len(got.data)) || got.n == 0 || off+got.n > p.pad(s) {
		return want
	}
	padded := make([]byte, got.n)
	_, _ = p.others[1].ReadAt(padded, p.base()+off)
	if !bytes.Equal(padded, got.data) {
		return want
	}
	return got
}

// excuseWrite accepts a write that is lost.
func (p *play) excuseWrite(c call, s state, got, want outcome) outcome {
	info, err := p.others[0].Stat()
	if err != nil || max(info.Size()-p.base(), 0) != s.size || p.now().size == s.size || got.err != nil || p.now().size > p.pad(s) {
		return want
	}
	p.loss.dirty = true
	p.loss.lost = max(p.loss.lost, p.now().size)
	_ = p.others[1].Truncate(info.Size())
	p.settle()
	return want
}

// excuseFlush accepts, and asks for, the failures of a flush.
func (p *play) excuseFlush(c call, s state, got, want outcome) outcome {
	if p.closed || p.s.private() || want.err != nil {
		return want
	}
	if c.kind == opFlushRange && c.nothing(s) {
		return want
	}
	failed := errors.Is(got.err, io.ErrUnexpectedEOF)
	switch l := &p.loss; {
	case l.failed && failed:
		return got
	case l.failed:
		want.err = like{target: io.ErrUnexpectedEOF}
	case failed && l.warn && c.kind != opSync && strings.Contains(got.err.Error(), "handed out"):
		l.warn = false // once for each cut
		return got
	case failed && l.wasCut && c.kind != opSync:
		l.failed = true
		return got
	case l.lost > s.size && c.kind == opFlush:
		want.err = like{target: io.ErrUnexpectedEOF}
	case c.kind == opFlush && got.err == nil:
		l.end, l.lost, l.wasCut, l.warn = 0, 0, false, false
	}
	return want
}

// nothing reports that a FlushRange is one of no bytes.
func (c call) nothing(s state) bool {
	if c.toEnd() {
		off := c.place(s.size)
		return off > 0 && off == s.known
	}
	return c.length() == 0
}

// loss is what the play knows about bytes that a flush must answer for.
type loss struct {
	end    int64 // up to where bytes were written since the last Flush
	raw    int64 // up to where writable bytes were handed out
	wasCut bool  // the file was cut below end
	warn   bool  // the file was cut below raw
	lost   int64 // up to where a write was lost
	dirty  bool  // its bytes may still be in the last page
	failed bool  // a flush said so
}

// wrote notes bytes up to end.
func (l *loss) wrote(end int64) { l.end = max(l.end, end) }

// dropped notes that the Region's own user did away with what is past size.
func (l *loss) dropped(size int64) {
	l.end, l.lost = min(l.end, size), min(l.lost, size)
}

// cut notes that somebody cut the file.
func (l *loss) cut(to int64) {
	l.wasCut = l.wasCut || to < l.end
	l.warn = l.warn || to < l.raw
}

// scrub writes zeros where the file is about to grow: a lost write may still
// be in the last page, and the contract says nothing of who finds it there.
func (l *loss) scrub(f *os.File, from, to int64) {
	if l.dirty && to > from {
		_, _ = f.WriteAt(make([]byte, to-from), from)
	}
}
