//go:build linux

package linear

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed-93fed273/mmap"
)

// File is what a history is played on.
type File interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Size() int64
	View(off, n int64, fn func(b []byte) error) error
}

// Opener opens the file of a plan.
type Opener func(name string, p Plan) (File, error)

// flags are those with which a plan's file is opened.
func (p *Plan) flags() int {
	switch {
	case p.ReadOnly:
		return os.O_RDONLY
	case p.Append:
		return os.O_RDWR | os.O_APPEND
	}
	return os.O_RDWR
}

// OpenRegion opens a Region.
func OpenRegion(name string, p Plan) (File, error) {
	r, err := openRegion(name, p)
	if err != nil {
		return nil, err
	}
	if p.Mapped == 2 && p.Base+int64(p.Start) > 0 {
		err = r.View(0, 1, func([]byte) error { return nil })
	}
	return r, err
}

// openRegion is OpenRegion without the View.
func openRegion(name string, p Plan) (*mmap.Region, error) {
	opts := &mmap.Options{Populate: p.Mapped == 1}
	if !p.ByMap {
		return mmap.OpenFile(name, p.flags(), 0, opts)
	}
	f, err := os.OpenFile(name, p.flags(), 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mmap.Map(f, opts)
}

// OSFile is an os.File with the two methods that it lacks.
type OSFile struct{ *os.File }

// OpenOSFile opens an os.File.
func OpenOSFile(name string, p Plan) (File, error) {
	f, err := os.OpenFile(name, p.flags(), 0)
	return OSFile{f}, err
}

// Size asks the system; after Close it is 0.
func (f OSFile) Size() int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// View reads the range.
func (f OSFile) View(off, n int64, fn func(b []byte) error) error {
	b := make([]byte, n)
	got, err := f.ReadAt(b, off)
	if got < len(b) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return fn(b)
}

// Lab is a directory with a file on which histories are played, one after the
// other.
type Lab struct {
	name  string
	open  Opener
	exact bool
	other [2]*os.File // somebody else's; the second one appends
	bufs  [3][5][]byte
}

// NewLab makes a lab in a directory. Exact says that open opens what has no
// differences from an os.File.
func NewLab(dir string, open Opener, exact bool) (*Lab, error) {
	f, err := os.CreateTemp(dir, "linear")
	if err != nil {
		return nil, err
	}
	l := &Lab{name: f.Name(), open: open, exact: exact, other: [2]*os.File{f}}
	for i := range l.bufs {
		for j := range l.bufs[i] {
			l.bufs[i][j] = make([]byte, 4*pageSize)
		}
	}
	if l.other[1], err = os.OpenFile(l.name, os.O_RDWR|os.O_APPEND, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// Close removes the file.
func (l *Lab) Close() error {
	return errors.Join(l.other[0].Close(), l.other[1].Close(), os.Remove(filepath.Clean(l.name)))
}

// game is a plan being played.
type game struct {
	*Lab
	h     History
	f     File
	clock atomic.Int64
	ready atomic.Int32
	ops   [][]Op
}

// Play makes the calls of a plan. What it does between them depends on rng.
func (l *Lab) Play(p Plan, rng *rand.Rand) (History, error) {
	g := &game{Lab: l, h: History{Plan: p, Exact: l.exact}, ops: make([][]Op, len(p.Calls))}
	if err := l.prepare(p); err != nil {
		return g.h, err
	}
	var err error
	if g.f, err = l.open(l.name, p); err != nil {
		return g.h, fmt.Errorf("open: %w", err)
	}
	defer g.f.Close()
	if _, err := g.f.Seek(p.Base, io.SeekStart); err != nil {
		return g.h, err
	}
	var all sync.WaitGroup
	for i, calls := range p.Calls {
		pauses := make([]int, len(calls))
		for j := range pauses {
			pauses[j] = rng.IntN(600)
		}
		all.Go(func() { g.run(i, calls, pauses) })
	}
	all.Wait()
	g.collect()
	return g.h, nil
}

// prepare makes the file what it is before. What the last plan left in its last
// page goes too.
func (l *Lab) prepare(p Plan) error {
	if err := l.other[0].Truncate(0); err != nil {
		return err
	}
	_, err := l.other[0].WriteAt(p.contents(), 0)
	return err
}

// run makes the calls of one goroutine, when all are there.
func (g *game) run(i int, calls []Call, pauses []int) {
	ops := make([]Op, 0, len(calls))
	for g.ready.Add(1); g.ready.Load() < int32(len(g.h.Calls)); {
		runtime.Gosched()
	}
	for j, c := range calls {
		for range pauses[j] {
			g.ready.Load() // a moment
		}
		ops = append(ops, g.do(i, j, c))
	}
	g.ops[i] = ops
}

// do makes one call.
func (g *game) do(i, j int, c Call) Op {
	o := Op{Call: c, Goroutine: i}
	b := g.bufs[i][j][:min(int64(c.N)*g.h.Unit, int64(len(g.bufs[i][j])))]
	if c.Kind.writes() {
		for k := range b {
			b[k] = c.Tag
		}
	}
	o.Begin = g.clock.Add(1)
	n, err := g.call(c, b)
	o.End = g.clock.Add(1)
	if o.Got, o.Err = n, classify(c.Kind, err); o.Err == errDenied && g.h.ReadOnly {
		o.Err = errFault
	}
	return o
}

// call makes the call itself. What is read is in b.
func (g *game) call(c Call, b []byte) (int64, error) {
	off := g.h.Base + int64(c.Off)*g.h.Unit
	switch c.Kind {
	case ReadAt:
		return count(g.f.ReadAt(b, off))
	case WriteAt:
		return count(g.f.WriteAt(b, off))
	case Read:
		return count(g.f.Read(b))
	case Write:
		return count(g.f.Write(b))
	case Seek:
		if c.Whence != io.SeekStart {
			off = int64(c.Off) * g.h.Unit
		}
		return g.f.Seek(off, c.Whence)
	case Truncate:
		return 0, g.f.Truncate(off)
	case Size:
		return g.f.Size(), nil
	case Stat:
		return sizeOf(g.f.Stat())
	case View:
		err := g.f.View(off, int64(len(b)), func(v []byte) error { copy(b, v); return nil })
		if err != nil {
			return 0, err
		}
		return int64(len(b)), nil
	case Close:
		return 0, g.f.Close()
	case OtherWrite:
		return count(g.other[0].WriteAt(b, off))
	case OtherAppend:
		return count(g.other[1].Write(b))
	case OtherTruncate:
		return 0, g.other[0].Truncate(off)
	}
	panic("no such call")
}

// count is the result of a read or a write.
func count(n int, err error) (int64, error) { return int64(n), err }

// sizeOf is the result of a Stat.
func sizeOf(info fs.FileInfo, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// collect puts the calls of all goroutines into the history, and at its end what
// is then in the file.
func (g *game) collect() {
	for i, ops := range g.ops {
		for j, o := range ops {
			if o.Kind == ReadAt || o.Kind == Read || o.Kind == View {
				o.Runs = runsOf(g.bufs[i][j][:o.Got])
			}
			g.h.Ops = append(g.h.Ops, o)
		}
	}
	sortOps(g.h.Ops)
	last := Op{Call: Call{Kind: OtherRead}, Begin: g.clock.Add(1), End: g.clock.Add(1), Goroutine: len(g.ops)}
	b, err := os.ReadFile(g.name)
	if err != nil || int64(len(b)) < g.h.Base {
		last.Err = fmt.Sprint("too short, or ", err)
	} else {
		b = bytes.Clone(b[g.h.Base:])
		last.Got, last.Runs = int64(len(b)), runsOf(b)
	}
	g.h.Ops = append(g.h.Ops, last)
}
