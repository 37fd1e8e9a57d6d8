//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// A disk that lost its end: the backing file of a loop device is cut short, and
// an ordinary file system gives EIO for what was there.

// cutSize is how long the file is that loses its blocks.
const cutSize = 32 << 20

// cutDisk makes the file system, cuts it, and lets a child read.
func cutDisk(ctx context.Context, l *lab) error {
	d, err := newDisk(l, "ext4", 64<<20)
	if err != nil {
		return err
	}
	name := filepath.Join(d.dir, "file")
	if err := os.WriteFile(name, fill(1, cutSize), 0o600); err != nil {
		return err
	}
	if err := errors.Join(d.unmount(), d.mount()); err != nil {
		return err // now nothing of it is cached
	}
	if err := os.Truncate(d.image, 24<<20); err != nil {
		return err
	}
	return report(ctx, l, "a real file system on a disk cut short", "cut", name)
}

// childCut reads all over the file, by both.
func childCut(args []string) error {
	r, err := mmap.Open(args[0])
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	failed := 0
	for round := range 2 { // the second round is mapped
		for off := int64(0); off < cutSize; off += 333_333 {
			for _, n := range []int{100, 5000, 100_000, 1 << 20} {
				bad, wrong := cutCase(r, f, round, off, n)
				failed += bad
				if wrong != "" {
					say("wrong: %s", wrong)
				} else {
					say("same")
				}
			}
		}
	}
	if failed == 0 {
		return errors.New("no read failed: the run shows nothing")
	}
	say("end")
	return nil
}

// cutCase reads a range by ReadAt and by View, and an os.File first.
func cutCase(r *mmap.Region, f *os.File, round int, off int64, n int) (failed int, wrong string) {
	say("begin round %d: %d bytes at %d", round, n, off)
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	want := readAt(off, n)(f)
	if got := readAt(off, n)(r); !got.is(want) {
		return 0, fmt.Sprintf("ReadAt: %v; os.File %v", got, want)
	}
	if want.err != nil && want.err != io.EOF {
		failed++
	}
	got, want := view(off, n)(r), whole(readAt(off, n)(f), n)
	if !got.is(want) && off+int64(n) <= cutSize {
		return failed, fmt.Sprintf("View: %v; os.File %v", got, want)
	}
	return failed, ""
}
