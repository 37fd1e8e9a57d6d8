//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// What waits for storage must not hold up the rest of the program. How well that
// is kept is measured by the command bench, in rows P20, P22 and P23; here it
// only must not fail: a page takes seconds, a collection beside it must not.

// The slow page takes stallFor. A collection that takes a third of that waited
// for it, on a machine however busy.
const stallFor = 3 * time.Second

// runStall reads a slow page by a Region, and from plain memory as the control.
func runStall(ctx context.Context, l *lab) error {
	dir := l.path("slow")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	l.defers(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	files, err := fusefs.MountFiles(dir, fusefs.Cached, stallFor)
	if err != nil {
		return asMissing(err)
	}
	l.defers(files.Close)
	byReadAt := func(r *mmap.Region) error { _, err := r.ReadAt(make([]byte, 100), at); return err }
	byView := func(r *mmap.Region) error {
		return r.View(at, 100, func(b []byte) error { runtime.KeepAlive(b[50]); return nil })
	}
	for _, read := range []stalling{
		{"ReadAt", byReadAt, false, false},
		{"View", byView, false, false},
		{"ReadAt of what was read, and evicted", byReadAt, true, false},
		{"plain memory", func(r *mmap.Region) error { runtime.KeepAlive(r.Bytes()[at]); return nil }, false, true},
	} {
		took, err := read.measure(files)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("%s: %w", read.name, err)
		}
		report := l.figure
		if read.plain {
			report = l.control
		}
		report("a page of 3 s, "+read.name, "runtime.GC beside it: %.1f ms", float64(took.Microseconds())/1000)
		if held := took > stallFor/3; held != read.plain {
			return fmt.Errorf("%s: the collection took %v", read.name, took)
		}
	}
	return nil
}

// stalling is a way to read the slow page.
type stalling struct {
	name  string
	by    func(r *mmap.Region) error
	known bool // it was read before, and the library knows it
	plain bool // it is the control
}

// measure reads a slow page of a file of its own, and returns how long a
// collection took that began meanwhile.
func (s stalling) measure(files *fusefs.Files) (took time.Duration, err error) {
	if err := newFile(files, s.name); err != nil {
		return 0, err
	}
	r, err := mmap.OpenFile(filepath.Join(files.Dir, s.name), os.O_RDWR, 0, nil)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	warm := int64(faultySize - 4096)
	if s.known {
		warm = at
	}
	for range 16 { // until it is mapped, and knows this page
		if _, err := r.ReadAt(make([]byte, 100), warm); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(files.Arm(s.name, fusefs.ReadSlow), files.Evict(s.name)); err != nil {
		return 0, err
	}
	if s.known {
		time.Sleep(2200 * time.Millisecond) // twice as long as the library may take to notice
	}
	runtime.GC()
	done, begin := make(chan error, 1), time.Now()
	go func() { done <- s.by(r) }()
	time.Sleep(50 * time.Millisecond) // it cannot say when it waits
	gc := time.Now()
	runtime.GC()
	took = time.Since(gc)
	err = <-done
	if all := time.Since(begin); err == nil && all < stallFor/2 {
		err = fmt.Errorf("the slow page came after %v", all)
	}
	return took, err
}
