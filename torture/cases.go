//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// A case is an operation on a file with a fault, done by a Region and by an
// os.File on two equal files of the same mount. The results must be the same;
// but where memory still had the bytes, a Region may succeed.

// target is what both can do.
type target interface {
	io.ReaderAt
	io.WriterAt
	io.ReadWriteSeeker
	io.WriterTo
	io.ReaderFrom
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

// outcome is what an operation gave.
type outcome struct {
	n    int64
	err  error
	data []byte
}

// operation is one call.
type operation struct {
	name   string
	off    int64 // where it begins
	writes bool  // it may succeed in memory and fail at the Flush
	do     func(t target) outcome
}

// The files have so many pages, of which one fails; one that is cut ends in it.
const (
	faultyPage  = 20
	faultyPages = 64
	faultySize  = faultyPages * 4096
	faultyEnd   = faultyPage*4096 + 100
)

// Offsets around the page that fails.
const (
	before = (faultyPage - 2) * 4096 // two pages before it
	at     = faultyPage*4096 + 500   // inside it
	across = 20_000                  // from before, to behind it
)

// operations are all that read or write.
var operations = []operation{
	{"ReadAt, inside", at, false, readAt(at, 100)},
	{"ReadAt, across", before, false, readAt(before, across)},
	{"ReadAt, all", 0, false, readAt(0, faultySize)},
	{"ReadAt, past the end", before, false, readAt(before, faultySize)},
	{"ReadAt, elsewhere", 100, false, readAt(100, 3000)},
	{"Read", before, false, func(t target) outcome {
		if _, err := t.Seek(before, io.SeekStart); err != nil {
			return outcome{err: err}
		}
		b := make([]byte, across)
		n, err := t.Read(b)
		return outcome{int64(n), err, b[:n]}
	}},
	{"WriteTo, buffer", before, false, func(t target) outcome {
		if _, err := t.Seek(before, io.SeekStart); err != nil {
			return outcome{err: err}
		}
		var b bytes.Buffer
		n, err := t.WriteTo(&b)
		return outcome{n, err, b.Bytes()}
	}},
	{"WriteTo, file", before, false, writeToFile},
	{"View, inside", at, false, view(at, 100)},
	{"View, across", before, false, view(before, across)},
	{"At", at, false, byteAt},
	{"WriteAt, inside", at, true, writeAt(at, 100)},
	{"WriteAt, across", before, true, writeAt(before, across)},
	{"WriteAt, past the end", before, true, writeAt(before, faultySize)},
	{"WriteAt, at the end", faultySize, true, writeAt(faultySize, 5000)},
	{"WriteAt, elsewhere", 100, true, writeAt(100, 3000)},
	{"Write", before, true, func(t target) outcome {
		if _, err := t.Seek(before, io.SeekStart); err != nil {
			return outcome{err: err}
		}
		n, err := t.Write(fill(5, across))
		return outcome{int64(n), err, nil}
	}},
	{"ReadFrom", before, true, func(t target) outcome {
		if _, err := t.Seek(before, io.SeekStart); err != nil {
			return outcome{err: err}
		}
		n, err := t.ReadFrom(bytes.NewReader(fill(6, across)))
		return outcome{n, err, nil}
	}},
	{"View, store", at, true, storeView},
	{"Truncate, longer", 0, false, func(t target) outcome { return outcome{err: t.Truncate(2 * faultySize)} }},
	{"Truncate, shorter", before, false, func(t target) outcome { return outcome{err: t.Truncate(before)} }},
	{"Stat", 0, false, func(t target) outcome { _, err := t.Stat(); return outcome{err: err} }},
	{"Sync", 0, false, func(t target) outcome { return outcome{err: t.Sync()} }},
}

// readAt makes a ReadAt.
func readAt(off int64, n int) func(t target) outcome {
	return func(t target) outcome {
		b := make([]byte, n)
		c, err := t.ReadAt(b, off)
		return outcome{int64(c), err, b[:c]}
	}
}

// writeAt makes a WriteAt.
func writeAt(off int64, n int) func(t target) outcome {
	return func(t target) outcome {
		c, err := t.WriteAt(fill(7, n), off)
		return outcome{int64(c), err, nil}
	}
}

// view makes a View; to an os.File it is a read of the same bytes, whose error
// a FaultError must wrap.
func view(off int64, n int) func(t target) outcome {
	return func(t target) outcome {
		r, ok := t.(*mmap.Region)
		if !ok {
			return whole(readAt(off, n)(t), n)
		}
		var o outcome
		o.err = r.View(off, int64(n), func(b []byte) error {
			o.data = bytes.Clone(b)
			o.n = int64(len(b))
			return nil
		})
		return o
	}
}

// whole makes a partial read one of nothing, as a View is.
func whole(o outcome, n int) outcome {
	if o.err == io.EOF {
		o.err = io.ErrUnexpectedEOF
	}
	if o.err != nil {
		o.n, o.data = 0, nil
	}
	return o
}

// byteAt is At, whose error is a panic: a fault, or, once the Region has noticed that
// the file was cut, that of an index out of range.
func byteAt(t target) (o outcome) {
	r, ok := t.(*mmap.Region)
	if !ok {
		return whole(readAt(at, 1)(t), 1)
	}
	defer func() {
		v := recover()
		if err, is := v.(runtime.Error); is && at >= r.Len() {
			o.err = fmt.Errorf("%w: %w", err, io.ErrUnexpectedEOF)
		} else if v != nil {
			if o.err, ok = v.(*mmap.FaultError); !ok {
				panic(v)
			}
		}
	}()
	return outcome{1, nil, []byte{r.At(at)}}
}

// storeView stores to memory; to an os.File it is a WriteAt.
func storeView(t target) outcome {
	r, ok := t.(*mmap.Region)
	if !ok {
		return whole(writeAt(at, 100)(t), 100)
	}
	err := r.View(at, 100, func(b []byte) error { copy(b, fill(7, 100)); return nil })
	if err != nil {
		return outcome{err: err}
	}
	return outcome{n: 100}
}

// sinkName is the file that WriteTo writes to.
var sinkName string

// writeToFile is WriteTo of a file, which may take another way.
func writeToFile(t target) outcome {
	if _, err := t.Seek(before, io.SeekStart); err != nil {
		return outcome{err: err}
	}
	name := sinkName
	defer os.Remove(name)
	f, err := os.Create(name)
	if err != nil {
		return outcome{err: err}
	}
	defer f.Close()
	n, err := t.WriteTo(f)
	b, _ := os.ReadFile(name)
	return outcome{n, err, b}
}

// state is what went before on the file.
type state struct {
	name string
	warm func(t target) error
	lost bool // the kernel then forgets what it had cached
}

// states are those worth a difference. A Region learns what is resident, and
// what is writable; the fault comes after that.
var states = []state{
	{"new", func(target) error { return nil }, false},
	{"mapped", func(t target) error { return mapped(t) }, false},
	{"read", readAll, false},
	{"read and evicted", readAll, true},
	{"written", writeTwice, false},
	{"written and evicted", writeTwice, true},
}

// mapped makes a Region map, if the file can be mapped.
func mapped(t target) error {
	if r, ok := t.(*mmap.Region); ok {
		err := r.View(0, 1, func([]byte) error { return nil })
		if !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return nil
}

// readAll reads every page until memory serves them.
func readAll(t target) error {
	err := mapped(t)
	for off := int64(0); off < faultySize; off += 4096 {
		for range 2 {
			_, e := t.ReadAt(make([]byte, 4096), off)
			err = errors.Join(err, e)
		}
	}
	return err
}

// writeTwice writes every page until memory takes it.
func writeTwice(t target) error {
	err := readAll(t)
	b := fill(1, faultySize) // what is there
	for off := 0; off < faultySize; off += 4096 {
		for range 3 {
			_, e := t.WriteAt(b[off:off+4096], int64(off))
			err = errors.Join(err, e)
		}
	}
	return err
}

// faults are all of them, in the order in which they are tried.
var faults = []fusefs.Fault{
	fusefs.None, fusefs.ReadEIO, fusefs.ReadStale, fusefs.ReadShort, fusefs.ReadSlow,
	fusefs.WriteENOSPC, fusefs.WriteEIO, fusefs.FsyncEIO, fusefs.Shrunk, fusefs.Dead,
}

// The words of the child: "begin CASE", then one of "same", "memory", "sticky"
// and "wrong: WHY"; "end" when there are no more.

// childCases runs the cases from one on, in a directory, with files of a mode.
func childCases(args []string) error {
	from, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	wait, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	sinkName = args[0] + ".sink"
	mode := fusefs.Mode(args[3])
	var srv *fusefs.Files
	n := 0
	for _, fault := range faults {
		for _, st := range states {
			for _, op := range operations {
				if n++; n <= from {
					continue
				}
				if srv == nil {
					if srv, err = fusefs.MountFiles(args[0], mode, wait); err != nil {
						return err
					}
				}
				say("begin %s, %s: %s", fault, st.name, op.name)
				verdict, err := runCase(srv, mode, n, fault, st, op)
				if err != nil {
					return err
				}
				say("%s", verdict)
				if fault == fusefs.Dead {
					srv.Close()
					srv = nil
				}
			}
		}
	}
	if srv != nil {
		srv.Close()
	}
	say("end")
	return nil
}

// runCase does an operation on both sides. A hang is a crash.
func runCase(srv *fusefs.Files, mode fusefs.Mode, n int, fault fusefs.Fault, st state, op operation) (string, error) {
	hang := time.AfterFunc(time.Minute, func() {
		b := make([]byte, 1<<16)
		fmt.Fprintf(os.Stderr, "hangs\n%s", b[:runtime.Stack(b, true)])
		os.Exit(3)
	})
	defer hang.Stop()
	var sides [2]target
	var names [2]string
	for i := range sides {
		name := fmt.Sprintf("%d.%d", n, i)
		if err := newFile(srv, name); err != nil {
			return "", err
		}
		var err error
		if sides[i], err = openTarget(filepath.Join(srv.Dir, name), i == 0); err != nil {
			return "", err
		}
		if err := st.warm(sides[i]); err != nil {
			return "", fmt.Errorf("warming up: %w", err)
		}
		names[i] = name
	}
	for _, name := range names {
		if st.lost {
			if err := srv.Evict(name); err != nil {
				return "", err
			}
		}
		if fault == fusefs.Dead && name == names[0] {
			continue
		}
		if err := srv.Arm(name, fault); err != nil {
			return "", err
		}
	}
	t := trial{srv: srv, mode: mode, name: names[0], fault: fault, op: op, r: sides[0].(*mmap.Region)}
	t.got, t.want = op.do(sides[0]), op.do(sides[1])
	var err error
	if t.well, err = healthy(srv.Dir, op); err != nil {
		return "", err
	}
	verdict := t.judge()
	_ = sides[0].Close()
	_ = sides[1].Close()
	if fault != fusefs.Dead {
		for _, name := range names {
			if err := srv.Remove(name); err != nil {
				return "", err
			}
		}
	}
	return verdict, nil
}

// newFile makes a file that is well.
func newFile(srv *fusefs.Files, name string) error {
	return srv.New(name, faultySize, faultyPage*4096, 1)
}

// openTarget opens a file for reading and writing, by a Region or by os.
func openTarget(name string, region bool) (target, error) {
	if region {
		return mmap.OpenFile(name, os.O_RDWR, 0, nil)
	}
	return os.OpenFile(name, os.O_RDWR, 0)
}

// healthy does an operation on an equal file that is well.
func healthy(dir string, op operation) (outcome, error) {
	name := dir + ".well"
	defer os.Remove(name)
	if err := os.WriteFile(name, fill(1, faultySize), 0o600); err != nil {
		return outcome{}, err
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return outcome{}, err
	}
	defer f.Close()
	return op.do(f), nil
}

// trial is a case being judged: what a Region gave, what an os.File gave beside
// it, and what one gives on a file that is well.
type trial struct {
	srv             *fusefs.Files
	mode            fusefs.Mode
	name            string
	fault           fusefs.Fault
	op              operation
	r               *mmap.Region
	got, want, well outcome
}

// judge compares the sides.
func (t *trial) judge() string {
	if t.got.is(t.want) {
		if t.op.name == "Sync" && t.got.err != nil {
			return t.sticky()
		}
		return "same"
	}
	wrong := fmt.Sprintf("wrong: %v; os.File %v; healthy %v", t.got, t.want, t.well)
	switch {
	case t.got.is(t.well) && !t.op.writes:
		return "memory" // the system's cache still had it
	case t.got.is(t.well):
		// It is in memory. Then the Flush must say that it got no further.
		if err := t.r.Flush(); err == nil {
			return wrong + "; and Flush says nil"
		}
		return t.sticky()
	case t.mode == fusefs.Direct && strings.HasPrefix(t.op.name, "View") && errors.Is(t.got.err, unix.ENODEV):
		return "same" // there is no memory to view, and it says so
	case t.op.name == "Sync" && t.got.err != nil && (t.fault == fusefs.WriteEIO || t.fault == fusefs.WriteENOSPC):
		return t.sticky() // of what an os.File had written through
	case t.mode == fusefs.Mapped && !t.op.writes && t.got.err != nil && (t.fault == fusefs.WriteEIO || t.fault == fusefs.WriteENOSPC):
		return t.sticky() // a direct read first writes what was stored, and says how that went
	case t.op.name == "View, store" && t.fails(readAt(at, 1)):
		return "same" // a page must be read before it is stored to
	case t.fault == fusefs.ReadShort && errors.As(t.got.err, new(*mmap.FaultError)) && t.want.err != nil:
		return "same" // the file's size changes to and fro
	case !t.op.writes && t.got.n > t.want.n && alike(t.got.err, t.want.err) && bytes.HasPrefix(t.well.data, t.got.data):
		return "memory" // it had the beginning
	case (t.fault == fusefs.ReadShort || t.fault == fusefs.Shrunk) && t.padded():
		return "memory"
	}
	return wrong
}

// fails reports whether an operation gives the Region the error that it got.
func (t *trial) fails(do func(target) outcome) bool {
	return t.got.err != nil && alike(t.got.err, do(t.r).err)
}

// padded reports whether a Region saw zeros from where the file now ends to the
// end of that page, and no further: so it is with a file that was cut.
func (t *trial) padded() bool {
	end := max(faultyEnd-t.op.off, 0)
	got, well := t.got.data, t.well.data
	return int64(len(got)) == t.got.n && t.op.off+t.got.n <= (faultyPage+1)*4096 &&
		t.got.n > end && end <= int64(len(well)) &&
		bytes.Equal(got[:end], well[:end]) && len(bytes.Trim(got[end:], "\x00")) == 0
}

// is reports whether two outcomes are the same.
func (o outcome) is(p outcome) bool {
	return o.n == p.n && alike(o.err, p.err) && bytes.Equal(o.data, p.data)
}

// String shows an outcome, but not its bytes.
func (o outcome) String() string { return fmt.Sprintf("%d, %v", o.n, o.err) }

// sticky reports whether a failed Flush stays failed, also when the storage is
// well again.
func (t *trial) sticky() string {
	for round := range 3 {
		if round == 1 && t.fault != fusefs.Dead {
			if err := t.srv.Arm(t.name, fusefs.None); err != nil {
				return "wrong: " + err.Error()
			}
		}
		if err := t.r.Flush(); err == nil {
			return fmt.Sprintf("wrong: Flush %d after a failed one says nil", round+1)
		}
		if err := t.r.Sync(); err == nil {
			return fmt.Sprintf("wrong: Sync %d after a failed one says nil", round+1)
		}
	}
	return "sticky"
}

// alike reports whether two errors say the same of the same call. A fault wraps
// what the call says.
func alike(got, want error) bool {
	if got == nil || want == nil {
		return got == want
	}
	var fault *mmap.FaultError
	if errors.As(got, &fault) {
		return errors.Is(fault, want) || sameErrno(got, want)
	}
	if got == io.EOF || want == io.EOF {
		return got == want
	}
	var a, b *fs.PathError
	if errors.As(got, &a) && errors.As(want, &b) {
		return a.Op == b.Op && a.Err.Error() == b.Err.Error()
	}
	return got.Error() == want.Error() || sameErrno(got, want)
}

// sameErrno compares the numbers that the system gave.
func sameErrno(a, b error) bool {
	var x, y unix.Errno
	return errors.As(a, &x) && errors.As(b, &y) && x == y
}
