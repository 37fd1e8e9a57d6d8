//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// A power cut: a child process writes to files and says, over a pipe, what it
// is about to write and what a Flush that returned nil has covered. At a moment
// of chance the file system is shut down where it stands, unmounted and mounted
// again. Then every byte that was covered must be what it was at the Flush, or
// what was written to the place later.

// cutFiles is how many files are written at once: a cut takes time, and the
// more it hits the better.
const cutFiles = 4

// Modes of the child.
const (
	modeFlush = "flush" // Flush and FlushRange
	modeNone  = "none"  // claims to have flushed, and has not
	modeAsync = "async" // FlushAsync only
)

// spoiltCuts is how many cuts are followed by a repair.
const spoiltCuts = 5

// runPowerCuts cuts on ext4 and xfs.
func runPowerCuts(ctx context.Context, l *lab) error {
	return l.twoAtATime(ctx, []string{"ext4", "xfs"}, powerCutsOn)
}

// powerCutsOn makes the cuts on one file system, and those of the controls.
func powerCutsOn(ctx context.Context, l *lab, kind string) error {
	d, err := newDisk(l, kind, 128<<20)
	if err != nil {
		return err
	}
	for _, mode := range []string{modeFlush, modeNone, modeAsync} {
		cuts := pick(l, 10_000, 200)
		if mode != modeFlush {
			cuts = pick(l, 500, 15)
		}
		sum, err := cutMany(ctx, d, mode, cuts, l.seed, d.unmount)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", mode, err)
		case mode == modeFlush:
			l.figure(kind, "%v", sum)
		default:
			l.control(kind+", "+mode, "%v", sum)
		}
		if mode == modeFlush && sum.lost > 0 {
			return fmt.Errorf("lost bytes that Flush had covered: %s", sum.first)
		}
		if mode == modeFlush && sum.covered == 0 {
			return errors.New("no Flush covered anything: the run shows nothing")
		}
		if mode != modeFlush && sum.lost == 0 && ctx.Err() == nil {
			return fmt.Errorf("control %s lost nothing: the run shows nothing", mode)
		}
	}
	if kind != "ext4" {
		return nil
	}
	sum, err := cutMany(ctx, d, modeFlush, spoiltCuts, l.seed, d.spoil)
	if err != nil {
		return fmt.Errorf("spoilt: %w", err)
	}
	l.figure("ext4, its superblock spoilt by the cut", "%v", sum)
	switch {
	case sum.repaired != sum.cuts:
		return errors.New("a spoilt superblock was mounted")
	case sum.lost > 0:
		return fmt.Errorf("lost bytes that Flush had covered, or by the repair: %s", sum.first)
	}
	return nil
}

// toll is what came of many cuts.
type toll struct {
	cuts, covered, grown, lost int64
	repaired                   int64  // file systems that could only be mounted after a repair
	first                      string // what was lost first
}

// String is the figure.
func (t toll) String() string {
	s := fmt.Sprintf("%d cuts, %d bytes flushed (%d of growth), %d bytes lost", t.cuts, t.covered, t.grown, t.lost)
	if t.repaired > 0 {
		s += fmt.Sprintf("; %d times the file system wanted a repair before it could be mounted", t.repaired)
	}
	return s
}

// cutMany makes the files and cuts again and again. After each cut the file
// system is unmounted in the given way.
func cutMany(ctx context.Context, d *disk, mode string, cuts int, seed uint64, unmount func() error) (sum toll, err error) {
	rng := rand.New(rand.NewPCG(seed, 2))
	for range cuts {
		if ctx.Err() != nil {
			return sum, ctx.Err()
		}
		files, err := freshFiles(d.dir, rng)
		if err != nil {
			return sum, err
		}
		repaired, err := cutOnce(ctx, d, mode, rng, files, unmount)
		if err != nil {
			return sum, err
		}
		sum.cuts++
		if repaired {
			sum.repaired++
		}
		for _, f := range files {
			if err := f.check(&sum); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}

// cutOnce lets the child write, cuts, and mounts again, if need be after a
// repair, as a system does when the power is back.
func cutOnce(ctx context.Context, d *disk, mode string, rng *rand.Rand, files []*story, unmount func() error) (repaired bool, err error) {
	if err := writeUntil(ctx, d.dir, mode, rng, files, d.cutPower); err != nil {
		return false, err
	}
	if err := unmount(); err != nil {
		return false, err
	}
	err = d.mount()
	if errors.Is(err, unix.EBADMSG) || errors.Is(err, unix.EUCLEAN) {
		return true, errors.Join(d.repair(), d.mount())
	}
	return false, err
}

// writeUntil lets the child write until the power goes.
func writeUntil(ctx context.Context, dir, mode string, rng *rand.Rand, files []*story, off func() error) error {
	child, err := start(ctx, "writer", dir, mode, fmt.Sprint(rng.Uint64()))
	if err != nil {
		return err
	}
	var cut atomic.Uint64
	cut.Store(math.MaxUint64)
	told, writes := make(chan error, 1), make(chan struct{})
	go func() { told <- listen(child.out, files, &cut, writes) }()
	select {
	case <-writes:
	case err := <-told:
		return errors.Join(errors.New("the writer wrote nothing"), err, child.end())
	}
	time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond) // the moment of chance
	cut.Store(now())
	if err := off(); err != nil {
		child.kill()
		return missing{fmt.Errorf("the power cannot be cut: %w", err)}
	}
	time.Sleep(time.Millisecond)
	child.in.Close()
	if err := <-told; err != nil {
		child.kill()
		return err
	}
	if err := child.end(); err != nil {
		return fmt.Errorf("the writer did not survive the power cut: %w", err)
	}
	return nil
}

// story is what is known of one file.
type story struct {
	name    string
	begin   int64   // its size before the child came
	now     []byte  // what the child has written, as far as it said so
	touched []bool  // by byte: the child wrote it, before the Flush that covered it
	durable []byte  // by byte: what it was when a Flush covered it
	covered []int32 // by byte: how many writes there were then; -1 for never
	writes  []write
}

// write is bytes that may be there or not.
type write struct {
	off  int64
	data []byte
}

// end is the offset behind it.
func (w write) end() int64 { return w.off + int64(len(w.data)) }

// freshFiles makes the files as they are before a cut, durably.
func freshFiles(dir string, rng *rand.Rand) (files []*story, err error) {
	for i := range cutFiles {
		f := &story{name: filepath.Join(dir, fmt.Sprint("file", i))}
		f.now = fill(rng.Uint64(), rng.IntN(300_000))
		f.begin = int64(len(f.now))
		f.durable = bytes.Clone(f.now)
		f.touched, f.covered = make([]bool, len(f.now)), make([]int32, len(f.now))
		if err := os.WriteFile(f.name, f.now, 0o600); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, syncFS(dir)
}

// fill returns n bytes that only this seed has.
func fill(seed uint64, n int) []byte { return fusefs.Fill(seed, n) }

// now is a clock that two processes share.
func now() uint64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail
	return uint64(t.Nano())
}

// The child's words, one line each: "w FILE OFF LEN SEED" before a write, and
// "f FILE OFF LEN TIME" after a flush; "e FILE error" where a file ends.

// listen takes down what the child says, until it says no more. A Flush that
// returned after the cut had begun does not count: nobody would be there to
// hear it, and a journal that is aborted under an fsync may report success. It
// closes writes when the child has begun to write.
func listen(r io.Reader, files []*story, cut *atomic.Uint64, writes chan struct{}) error {
	begin := sync.OnceFunc(func() { close(writes) })
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var what string
		var file int
		var off, n int64
		var seed uint64
		if c, _ := fmt.Sscan(lines.Text(), &what, &file, &off, &n, &seed); c < 4 || file >= len(files) {
			continue // an error
		}
		switch f := files[file]; what {
		case "w":
			begin()
			f.wrote(off, fill(seed, int(n)))
		case "f":
			if seed < cut.Load() {
				f.flushed(off, n)
			}
		}
	}
	return lines.Err()
}

// wrote notes a write.
func (f *story) wrote(off int64, data []byte) {
	if end := int(off) + len(data); end > len(f.now) {
		f.now = append(f.now, make([]byte, end-len(f.now))...)
	}
	copy(f.now[off:], data)
	f.writes = append(f.writes, write{off, data})
}

// flushed notes that the bytes must be there from now on.
func (f *story) flushed(off, n int64) {
	for int64(len(f.covered)) < off+n {
		f.covered, f.durable, f.touched = append(f.covered, -1), append(f.durable, 0), append(f.touched, false)
	}
	for _, w := range f.writes {
		for i := max(w.off, off); i < min(w.end(), off+n); i++ {
			f.touched[i] = true
		}
	}
	copy(f.durable[off:off+n], f.now[off:off+n])
	for i := off; i < off+n; i++ {
		f.covered[i] = int32(len(f.writes))
	}
}

// check compares the file with the story. A byte may also be one of a write
// after the Flush: a page goes to the disk when it likes.
func (f *story) check(sum *toll) error {
	got, err := os.ReadFile(f.name)
	if err != nil {
		return err
	}
	for i := range f.covered {
		if f.covered[i] < 0 {
			continue
		}
		if f.touched[i] {
			sum.covered++
			if int64(i) >= f.begin {
				sum.grown++
			}
		}
		if i < len(got) && (got[i] == f.durable[i] || f.writtenLater(int64(i), got[i])) {
			continue
		}
		sum.lost++
		if sum.first == "" {
			sum.first = fmt.Sprintf("%s: byte %d of %d, of %d before", f.name, i, len(got), f.begin)
		}
	}
	return nil
}

// writtenLater reports whether a write after the Flush made byte i this.
func (f *story) writtenLater(i int64, is byte) bool {
	for _, w := range f.writes[f.covered[i]:] {
		if w.off <= i && i < w.end() && w.data[i-w.off] == is {
			return true
		}
	}
	return false
}
