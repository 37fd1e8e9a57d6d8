package difftest

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"strings"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// play is one Case being played.
type play struct {
	lab    *Lab
	s      setup
	names  [2]string
	first  string // what was in the file
	region *mmap.Region
	oracle target
	others [2]*os.File // second descriptors, for the Region's and the oracle's file
	memory [2]*os.File // the files themselves, if they are memory

	known  int64  // the Region's Size before the call
	raw    []byte // the first slice that Bytes returned
	closed bool
	loss   loss

	bufs      [2][]byte
	did       string
	got, want Result
}

// outcome is what one call gave.
type outcome struct {
	n    int64
	err  error
	data []byte
}

// step plays one call on both sides and reports whether they differ.
func (p *play) step(c call) (differs bool) {
	p.known = p.region.Size()
	before := p.now()
	// Where a mapping keeps its file from being cut, making one looks at the size:
	// what was known of it before does not matter.
	if p.stale(before) && (c.long() || sys.MappingPinsSize) {
		p.settle()
		before = p.now()
	}
	switch {
	case p.s.direct():
		c = p.directCall(c)
	case p.lab.noMemory && !p.s.private() && (c.kind == opBytes || c.kind == opViewReads || c.kind == opViewWrites):
		c.kind = opReadAt
	case sys.MappingPinsSize && !p.s.private() && c.kind == opBytes:
		c.kind = opViewReads // slices would keep the file from being cut
	case sys.MappingPinsSize && !p.s.private() && p.s.flag&os.O_APPEND != 0 && c.kind == opViewWrites:
		c.kind = opViewReads // such a handle maps no memory that can be stored to
	}
	c = p.harmless(c, before.size)
	p.did = ""
	var got, want outcome
	switch c.kind {
	case opReopen:
		got, want = p.reopen()
	case opOtherGrows, opOtherCuts, opOtherWrites:
		p.byOthers(c, before.size)
	case opBytes:
		got, want = p.bytes()
	default:
		got = p.call(0, p.region, c, before.size)
		want = p.call(1, p.oracle, c, before.size)
		if c.kind == opClose {
			p.closed = true
		}
	}
	got, want = p.excuse(c, before, got, want)
	p.got, p.want = p.result(got), p.result(want)
	p.compareErrors(got, want)
	p.compareData(got, want)
	p.lookAtSizes(before)
	if c.looks {
		p.lookAtCursors()
	}
	if c.looksFile && p.got == p.want {
		p.lookAtFile()
	}
	if log := p.lab.Log; log != nil {
		log("%s\n\tregion %v\n\toracle %v", p.did, p.got, p.want)
	}
	return p.got != p.want
}

// state is what a call found.
type state struct {
	size  int64 // of the Region, as the file really is
	known int64 // as the Region last saw it
}

// now returns the state before a call.
func (p *play) now() state {
	s := state{known: p.known}
	switch o := p.oracle.(type) {
	case *whole:
		s.size = o.visible()
	case *part:
		s.size = o.visible()
	}
	return s
}

// cursor returns a side's cursor.
func cursor(t target) int64 {
	at, err := t.Seek(0, io.SeekCurrent)
	if err != nil {
		return -2
	}
	return at
}

// harmless turns a call that would make the file too large for a comparison
// into a Seek to the beginning.
func (p *play) harmless(c call, size int64) call {
	end := int64(0)
	switch c.kind {
	case opWriteAt:
		end = c.place(size)
		if end >= 0 && end <= widest {
			end += int64(c.length())
		}
	case opTruncate:
		end = c.place(size)
	case opWrite, opWriteByte, opWriteString, opReadFromBytes, opReadFromFile, opReadFromPart:
		end = cursor(p.oracle)
		if p.s.flag&os.O_APPEND != 0 {
			end = max(end, size)
		}
		if end >= 0 && end <= widest {
			end += max(int64(c.length()), 300_000)
		}
	}
	if o, ok := p.oracle.(*part); ok && (o.window() > 0 || p.s.private()) {
		return c
	}
	if end <= widest || end == math.MaxInt64 && c.kind == opWriteAt && p.base() == 0 {
		return c
	}
	return call{kind: opSeek, looks: c.looks, looksFile: c.looksFile}
}

// base is the file's offset of byte 0.
func (p *play) base() int64 {
	if p.s.opts == nil {
		return 0
	}
	return p.s.opts.Offset
}

// call makes one call on one side.
func (p *play) call(side int, t target, c call, size int64) (o outcome) {
	buf := p.buffer(side, c)
	switch c.kind {
	case opRead:
		p.note("Read(%d)", len(buf))
		n, err := t.Read(buf)
		return outcome{int64(n), err, buf[:n]}
	case opReadAt:
		off := p.blocks(c.place(size))
		p.note("ReadAt(%d, %d)", len(buf), off)
		n, err := t.ReadAt(buf, off)
		return outcome{int64(n), err, buf[:n]}
	case opReadByte:
		p.note("ReadByte()")
		b, err := t.ReadByte()
		if err != nil {
			return outcome{err: err}
		}
		return outcome{1, nil, []byte{b}}
	case opUnreadByte:
		p.note("UnreadByte()")
		return outcome{err: t.UnreadByte()}
	case opSeek:
		whence := c.whence()
		off := p.blocks(c.distance(whence, size))
		p.note("Seek(%d, %d)", off, whence)
		n, err := t.Seek(off, whence)
		return outcome{n: n, err: err}
	case opAt:
		return p.at(t, c.place(size))
	case opViewReads, opViewWrites:
		return p.view(t, c, size)
	case opClose:
		p.note("Close()")
		return outcome{err: t.Close()}
	}
	if c.kind < opTruncate {
		return p.copying(side, t, c, size, buf)
	}
	return p.control(t, c, size)
}

// copying makes the calls that write, and those that copy.
func (p *play) copying(side int, t target, c call, size int64, buf []byte) outcome {
	switch c.kind {
	case opWrite:
		p.note("Write(%d)", len(buf))
		n, err := t.Write(pattern(buf, c.fill))
		return outcome{n: int64(n), err: err}
	case opWriteAt:
		off := p.blocks(c.place(size))
		p.note("WriteAt(%d, %d)", len(buf), off)
		n, err := t.WriteAt(pattern(buf, c.fill), off)
		return outcome{n: int64(n), err: err}
	case opWriteByte:
		p.note("WriteByte(%d)", c.fill)
		return outcome{err: t.WriteByte(c.fill)}
	case opWriteString:
		p.note("WriteString(%d)", len(buf))
		n, err := t.WriteString(string(pattern(buf, c.fill)))
		return outcome{n: int64(n), err: err}
	case opReadFromBytes:
		p.note("ReadFrom(bytes.Reader of %d)", len(buf))
		src := bytes.NewReader(pattern(buf, c.fill))
		n, err := t.ReadFrom(src)
		return outcome{n, err, fmt.Appendf(nil, "left %d", src.Len())}
	case opReadFromFile, opReadFromPart:
		return p.readFrom(t, c)
	case opWriteToBuffer:
		p.note("WriteTo(bytes.Buffer)")
		w := new(bytes.Buffer)
		n, err := t.WriteTo(w)
		return outcome{n, err, w.Bytes()}
	case opWriteToFile:
		return p.writeTo(side, t)
	}
	panic("unreachable")
}

// control makes the calls on the file as a whole.
func (p *play) control(t target, c call, size int64) outcome {
	off, n := p.blocks(c.place(size)), int64(c.length())
	if c.toEnd() {
		n = mmap.ToEnd
	}
	switch c.kind {
	case opTruncate:
		p.note("Truncate(%d)", off)
		return outcome{err: t.Truncate(off)}
	case opSync:
		p.note("Sync()")
		return outcome{err: t.Sync()}
	case opFlush:
		p.note("Flush()")
		return outcome{err: t.Flush()}
	case opFlushRange:
		p.note("FlushRange(%d, %d)", off, n)
		return outcome{err: t.FlushRange(off, n)}
	case opFlushAsync:
		p.note("FlushAsync(%d, %d)", off, n)
		return outcome{err: t.FlushAsync(off, n)}
	case opStat:
		p.note("Stat()")
		info, err := t.Stat()
		if err != nil || p.s.private() {
			return outcome{err: err}
		}
		return outcome{n: info.Size()}
	}
	panic("unreachable")
}

// buffer returns a buffer for c, different on the two sides, so that bytes
// which nobody read do not look equal. A length of 0 is sometimes nil.
func (p *play) buffer(side int, c call) []byte {
	n := int(p.blocks(int64(c.length())))
	if n == 0 && c.fill%2 == 0 {
		return nil
	}
	if cap(p.bufs[side]) < n {
		p.bufs[side] = aligned(max(n, 4096))
	}
	b := p.bufs[side][:n]
	for i := range min(n, 256) {
		b[i] = byte(side)
	}
	return b
}

// note keeps the first side's description of a call.
func (p *play) note(format string, args ...any) {
	if p.did == "" {
		p.did = p.s.name + ": " + fmt.Sprintf(format, args...)
	}
}

// at calls At, whose errors are panics.
func (p *play) at(t target, i int64) (o outcome) {
	p.note("At(%d)", int(i))
	defer func() {
		switch v := recover().(type) {
		case nil:
		case runtime.Error:
			o = outcome{err: v}
		case error:
			o = outcome{err: v}
		}
	}()
	return outcome{1, nil, []byte{t.At(int(i))}}
}

// view reads a View, and changes every byte of it if that is wanted.
func (p *play) view(t target, c call, size int64) (o outcome) {
	off, n := c.place(size), int64(c.length())
	if c.toEnd() {
		n = mmap.ToEnd
	}
	if c.where%2 == 0 && off >= 0 && off < size {
		n = min(n, size-off)
	}
	change := c.kind == opViewWrites
	p.note("View(%d, %d) change=%v", off, n, change)
	o.err = t.View(off, n, func(b []byte) error {
		o.n = int64(len(b))
		o.data = bytes.Clone(b)
		if cap(b) != len(b) {
			return errors.New("capacity past the range")
		}
		for i := range b {
			if !change {
				break
			}
			b[i] ^= 0x55
		}
		return nil
	})
	if _, is := t.(*mmap.Region); is && n == mmap.ToEnd && off+o.n == p.now().size {
		p.known = off + o.n // it may have asked the descriptor
	}
	return o
}

// readFrom copies from the source file, or from a limited part of it.
func (p *play) readFrom(t target, c call) outcome {
	from := int64(c.detail) * 1000
	if _, err := p.lab.source.Seek(from, io.SeekStart); err != nil {
		return outcome{err: err}
	}
	src := io.Reader(p.lab.source)
	n := int64(c.length())
	if c.kind == opReadFromPart {
		src = io.LimitReader(src, n)
	}
	p.note("ReadFrom(file from %d, limit %d only if a part)", from, n)
	n, err := t.ReadFrom(src)
	left, _ := p.lab.source.Seek(0, io.SeekCurrent)
	return outcome{n, err, fmt.Appendf(nil, "source at %d", left)}
}

// writeTo copies to a file.
func (p *play) writeTo(side int, t target) outcome {
	p.note("WriteTo(file)")
	sink := p.lab.sinks[side]
	if err := sink.Truncate(0); err != nil {
		return outcome{err: err}
	}
	_, _ = sink.Seek(0, io.SeekStart)
	n, err := t.WriteTo(sink)
	data, bad := os.ReadFile(sink.Name())
	if bad != nil {
		err = bad
	}
	return outcome{n, err, data}
}

// bytes compares what Bytes shows, now and from the first time it was asked.
func (p *play) bytes() (got, want outcome) {
	p.note("Bytes()")
	b := p.region.Bytes()
	if size := p.now().size; int64(len(b)) == size {
		p.known = size // it may have asked the descriptor
	}
	if p.oracle.Bytes() == nil && b != nil {
		return outcome{n: int64(len(b))}, outcome{}
	}
	size := p.now().size // beyond it there is nothing to touch
	got.n, want.n = int64(len(b)), int64(len(p.oracle.Bytes()))
	if cap(b) != len(b) {
		got.err = errors.New("capacity past the length")
	}
	if p.raw == nil && len(b) > 0 {
		p.raw = b
	}
	p.loss.raw = max(p.loss.raw, int64(len(b)))
	now := make([]byte, size)
	n, _ := p.oracle.ReadAt(now, 0)
	want.data = now[:min(n, len(b))]
	got.data = b[:len(want.data)]
	if old := min(n, len(p.raw)); got.err == nil && !p.closed && !bytes.Equal(p.raw[:old], now[:old]) {
		got.err = errors.New("an earlier slice does not show the file")
	}
	got.data = bytes.Clone(got.data)
	return got, want
}

// reopen opens both sides again if they are closed.
func (p *play) reopen() (got, want outcome) {
	p.note("reopen")
	if !p.closed {
		return
	}
	p.closed, p.loss = false, loss{}
	p.s = p.s.again()
	if p.s.private() {
		got.err = p.others[1].Truncate(0)
		_, _ = p.others[1].WriteAt([]byte(p.first), 0)
	}
	old := p.region
	if err := p.open(); err != nil {
		p.region, p.closed = old, true
		if p.fits() {
			got.err = err
		} // a window that the file no longer has
	}
	return
}

// fits reports whether the file still has all of a window that must be in it.
func (p *play) fits() bool {
	info, err := p.others[1].Stat()
	return err != nil || p.s.opts == nil || info.Size() >= p.s.opts.Offset+p.s.opts.Length
}

// byOthers does to both files what another process might.
func (p *play) byOthers(c call, size int64) {
	if p.s.private() {
		p.note("nothing by others to private memory")
		return
	}
	info, err := p.others[1].Stat()
	if err != nil {
		return
	}
	end := info.Size()
	switch c.kind {
	case opOtherGrows:
		to := min(end+int64(c.length()), widest)
		p.note("another process grows the file from %d to %d", end, to)
		p.loss.scrub(p.others[0], end, to)
		for _, f := range p.others {
			_ = f.Truncate(max(to, end))
		}
	case opOtherCuts:
		to := min(max(c.place(end), 0), end)
		p.note("another process cuts the file from %d to %d", end, to)
		if p.others[0].Truncate(to) == nil { // some systems refuse
			_ = p.others[1].Truncate(to)
			p.loss.cut(max(to-p.base(), 0))
		}
	case opOtherWrites:
		at := min(max(c.place(end), 0), end)
		b := pattern(make([]byte, min(int64(c.length()), max(end-at, 0))), c.fill)
		p.note("another process writes %d at %d", len(b), at)
		for _, f := range p.others {
			_, _ = f.WriteAt(b, at)
		}
	}
}

// result puts an outcome into a form that can be compared.
func (p *play) result(o outcome) Result {
	return Result{N: o.n, Err: p.describe(o.err), Data: digest(o.data), Cursor: -1}
}

// compareErrors accepts what a like stands for.
func (p *play) compareErrors(got, want outcome) {
	if l, ok := want.err.(like); ok && l.matches(got.err) {
		p.want.Err = p.got.Err
	}
}

// compareData says where the bytes differ, for those who read the failure.
func (p *play) compareData(got, want outcome) {
	if p.got.Data == p.want.Data {
		return
	}
	if at := firstDifference(got.data, want.data); at >= 0 {
		p.got.Data = fmt.Sprintf("%d bytes, from %d on %x", len(got.data), at, got.data[at:min(at+16, len(got.data))])
		p.want.Data = fmt.Sprintf("%d bytes, from %d on %x", len(want.data), at, want.data[at:min(at+16, len(want.data))])
	}
}

// firstDifference returns where a and b begin to differ, or -1.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// lookAtSizes compares the sizes of the files, and what the Region says: the
// size that it last saw is the file's now, or one of those before the call.
func (p *play) lookAtSizes(before state) {
	sizes := [2]int64{-1, -1}
	for i, f := range p.others {
		if info, err := f.Stat(); err == nil {
			sizes[i] = info.Size()
		}
	}
	p.got.Size, p.want.Size = sizes[0], sizes[1]
	if p.s.private() {
		p.got.Size = p.want.Size // lookAtFile sees to the Region's file
	}
	now := p.now().size
	p.got.Known = p.region.Size()
	switch size := p.got.Known; {
	case p.closed:
		p.want.Known = 0
	case before.known != before.size && (size == before.known || size == before.size):
		p.want.Known = size
	case strings.Contains(p.did, "another process") && size == before.known:
		p.want.Known = size
	default:
		p.want.Known = now
	}
}

// lookAtCursors compares the cursors.
func (p *play) lookAtCursors() {
	p.got.Cursor, p.want.Cursor = cursor(p.region), cursor(p.oracle)
}

// lookAtFile compares the bytes of the files, and those of private memory.
func (p *play) lookAtFile() {
	a, err := os.ReadFile(p.names[0])
	b, err2 := os.ReadFile(p.names[1])
	if err != nil || err2 != nil {
		p.got.File = fmt.Sprint(err, err2)
		return
	}
	if p.s.private() {
		if string(a) != p.first {
			p.got.File = "a private change reached the file"
		}
		if p.closed {
			return
		}
		a, b = make([]byte, p.now().size), make([]byte, p.now().size)
		_, _ = p.region.ReadAt(a, 0)
		_, _ = p.oracle.ReadAt(b, 0)
	}
	if at := firstDifference(a, b); at >= 0 {
		p.got.File = fmt.Sprintf("%d bytes, from %d on %x", len(a), at, a[at:min(at+16, len(a))])
		p.want.File = fmt.Sprintf("%d bytes, from %d on %x", len(b), at, b[at:min(at+16, len(b))])
	}
}

// difference reports the last step.
func (p *play) difference(c Case, step int) *Difference {
	return &Difference{Case: c, Step: step, Call: p.did, Got: p.got, Want: p.want}
}

var seed = maphash.MakeSeed()

// digest returns b, or something as good that is shorter.
func digest(b []byte) string {
	if len(b) <= 32 {
		return string(b)
	}
	return fmt.Sprintf("%d bytes %x… %x", len(b), b[:8], maphash.Bytes(seed, b))
}

// describe returns the type, the operation and the text of an error, with the
// names of the two files replaced.
func (p *play) describe(err error) string {
	switch e := err.(type) {
	case nil:
		return ""
	case *fs.PathError:
		return fmt.Sprintf("PathError{%s %s %s}", e.Op, p.anonymize(e.Path), p.describe(e.Err))
	case *mmap.FaultError:
		return fmt.Sprintf("FaultError{%s %s}", e.Op, p.describe(e.Err))
	case *os.SyscallError:
		return fmt.Sprintf("SyscallError{%s %s}", e.Syscall, p.describe(e.Err))
	}
	return fmt.Sprintf("%T(%s)", err, p.anonymize(err.Error()))
}

// anonymize replaces the names of the two files.
func (p *play) anonymize(s string) string {
	for _, name := range [...]string{p.names[0], p.names[1], p.lab.sinks[0].Name(), p.lab.sinks[1].Name(), "anonymous"} {
		s = strings.ReplaceAll(s, name, "FILE")
	}
	return s
}
