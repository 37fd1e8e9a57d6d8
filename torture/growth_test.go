//go:build linux

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// TestMain lets the tests mount FUSE file systems.
func TestMain(m *testing.M) {
	fusefs.Serve()
	os.Exit(m.Run())
}

// held is a file on FUSE. A write that makes it longer waits.
type held struct{ *fusefs.Files }

// newHeld mounts one of so many bytes, and opens it.
func newHeld(t *testing.T, size int) (h held, r *mmap.Region, other *os.File) {
	dir := t.TempDir()
	files, err := fusefs.MountFiles(dir, fusefs.Cached, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(files.Close)
	h = held{files}
	must(t, h.New("file", int64(size), 0, 0))
	must(t, h.Arm("file", fusefs.Held))
	name := filepath.Join(dir, "file")
	if other, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	if r, err = mmap.OpenFile(name, os.O_RDWR, 0, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return h, r, other
}

// must fails the test if there is an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for a write that waits, and release lets it go on.
func (h held) await(t *testing.T)   { must(t, h.Await("file")) }
func (h held) release(t *testing.T) { must(t, h.Release("file")) }

// flushed compares what everybody sees of the file.
func (h held) flushed(t *testing.T, r *mmap.Region, other *os.File, want []byte) {
	t.Helper()
	for _, from := range []io.ReaderAt{r, other} {
		got := make([]byte, len(want))
		if _, err := from.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%T: something else was read (%v)", from, err)
		}
	}
	must(t, r.Flush())
	dump := filepath.Join(t.TempDir(), "dump")
	must(t, h.Dump("file", dump))
	if got, err := os.ReadFile(dump); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the server has something else (%v)", err)
	}
}

// TestHazardGrowthOnFUSE: a page that a View stored to is written while a
// WriteAt makes the file grow. Since Linux 6.17 that clears what the write has
// already put behind the end of the file, if the page is still dirty then.
func TestHazardGrowthOnFUSE(t *testing.T) {
	const size = 100
	h, r, other := newHeld(t, size)
	if err := r.View(0, 5, func(b []byte) error { copy(b, "hello"); return nil }); err != nil {
		t.Fatal(err)
	}
	more := bytes.Repeat([]byte{1}, 1000)
	written := make(chan error, 1)
	go func() {
		_, err := r.WriteAt(more, size)
		written <- err
	}()
	h.await(t)
	if err := unix.SyncFileRange(int(other.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE); err != nil {
		t.Error(err)
	}
	h.release(t)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	h.flushed(t, r, other, append(append([]byte("hello"), make([]byte, size-5)...), more...))
}

// TestHazardWritesBesideGrowth: other writes to the last page, while one makes
// the file grow, must not make it dirty either.
func TestHazardWritesBesideGrowth(t *testing.T) {
	const size = 100
	h, r, other := newHeld(t, size)
	if err := r.View(0, 5, func(b []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the page is known to be writable
		if _, err := r.WriteAt([]byte{5}, 10); err != nil {
			t.Fatal(err)
		}
	}
	more := bytes.Repeat([]byte{1}, 1000)
	var written sync.WaitGroup
	write := func(p []byte, off int64) {
		written.Go(func() {
			if _, err := r.WriteAt(p, off); err != nil {
				t.Error(err)
			}
		})
	}
	write(more, size)
	h.await(t)
	for i := range 3 {
		write([]byte{byte(6 + i)}, int64(20+i)) // they wait for the kernel's lock, or go to memory
		for range 1000 {
			runtime.Gosched()
		}
	}
	if err := unix.SyncFileRange(int(other.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE); err != nil {
		t.Error(err)
	}
	h.release(t)
	written.Wait()
	want := append(make([]byte, size), more...)
	want[10], want[20], want[21], want[22] = 5, 6, 7, 8
	h.flushed(t, r, other, want)
}
