package mmap_test

import (
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// TestDifferenceInotify: a store to memory is no event for inotify. A write by
// an os.File is one.
func TestDifferenceInotify(t *testing.T) {
	r, f := pair(t, pattern(1, 5000))
	if err := store(r, 0, 10); err != nil {
		t.Fatal(err)
	}
	in, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Skip("no inotify: ", err)
	}
	defer syscall.Close(in)
	watches := map[int32]string{}
	for _, name := range []string{r.Name(), f.Name()} {
		w, err := syscall.InotifyAddWatch(in, name, syscall.IN_MODIFY)
		if err != nil {
			t.Fatal(err)
		}
		watches[int32(w)] = name
	}
	if err := r.View(0, 10, func(b []byte) error { b[0]++; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := syscall.Read(in, buf)
	if err != nil {
		t.Fatal("os.File is not noticed: ", err)
	}
	seen := map[string]bool{}
	for at := 0; at+syscall.SizeofInotifyEvent <= n; {
		var event syscall.InotifyEvent
		if _, err := binary.Decode(buf[at:], binary.NativeEndian, &event); err != nil {
			t.Fatal(err)
		}
		seen[watches[event.Wd]] = true
		at += syscall.SizeofInotifyEvent + int(event.Len)
	}
	if !seen[f.Name()] || seen[r.Name()] {
		t.Errorf("the Region is noticed: %v, the os.File: %v", seen[r.Name()], seen[f.Name()])
	}
}

// inMemory makes a file on tmpfs, without a directory, opened twice: for a
// Region and as it is.
func inMemory(t *testing.T, size int64) (r *mmap.Region, f *os.File) {
	t.Helper()
	f, err := sys.NewMemFile("differences", size)
	if err != nil {
		t.Skip("no memfd: ", err)
	}
	t.Cleanup(func() { f.Close() })
	r, err = mmap.Map(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, f
}

// TestDifferenceModificationTime: on tmpfs a store never moves the time of the
// last change. A write by an os.File does.
func TestDifferenceModificationTime(t *testing.T) {
	r, f := inMemory(t, 5000)
	long := syscall.Timeval{Sec: 1}
	if err := syscall.Futimes(int(f.Fd()), []syscall.Timeval{long, long}); err != nil {
		t.Fatal(err)
	}
	changed := func() bool {
		info, err := f.Stat()
		return err == nil && info.ModTime().Unix() != 1
	}
	if err := r.View(0, 10, func(b []byte) error { b[0]++; return nil }); err != nil {
		t.Fatal(err)
	}
	if changed() {
		t.Error("the difference is gone: a store moved the time")
	}
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if !changed() {
		t.Error("os.File does not move the time")
	}
}

// TestDifferenceSetuid: a store does not take the setuid bit from a file. A
// write by an os.File does, unless root makes it.
func TestDifferenceSetuid(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root's writes leave the bit to an os.File too")
	}
	r, f := pair(t, pattern(1, 5000))
	for _, name := range []string{r.Name(), f.Name()} {
		if err := os.Chmod(name, 0o755|fs.ModeSetuid); err != nil {
			t.Skip("no setuid: ", err)
		}
	}
	if err := r.View(0, 10, func(b []byte) error { b[0]++; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	for name, kept := range map[string]bool{r.Name(): true, f.Name(): false} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if set := info.Mode()&fs.ModeSetuid != 0; set != kept {
			t.Errorf("%s: the bit is set: %v", name, set)
		}
	}
}

// TestDifferenceHoleOnTmpfs: looking at a hole on tmpfs takes a page for it. A
// read by an os.File does not.
func TestDifferenceHoleOnTmpfs(t *testing.T) {
	r, f := inMemory(t, 1<<20)
	blocks := func() int64 {
		var st syscall.Stat_t
		if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Blocks)
	}
	if _, err := f.ReadAt(make([]byte, 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	if n := blocks(); n != 0 {
		t.Fatalf("os.File takes %d blocks", n)
	}
	if err := r.View(0, 1<<20, func(b []byte) error { keep(uint64(b[1<<19])); return nil }); err != nil {
		t.Fatal(err)
	}
	if blocks() == 0 {
		t.Error("the difference is gone: no block was taken")
	}
}

// TestDifferenceCutAndGrown: what was stored behind the end of a file that
// somebody else cut is lost, and Flush says nothing once the file has grown
// again.
func TestDifferenceCutAndGrown(t *testing.T) {
	page := int64(os.Getpagesize())
	at := page + page/2
	if page > 4096 {
		t.Skip("in a page that is larger than a block of the file system it may stay")
	}
	r, f := pair(t, pattern(1, int(3*page)))
	keep := []byte("keep")
	for range 3 { // until the page is writable
		if _, err := r.WriteAt(keep, at); err != nil {
			t.Fatal(err)
		}
	}
	others(t, r, f, page+900)
	for _, w := range []io.WriterAt{r, f} {
		if n, err := w.WriteAt(keep, at); n != len(keep) || err != nil {
			t.Fatalf("%T: %d, %v", w, n, err)
		}
	}
	others(t, r, f, 3*page)
	if err := r.Flush(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{f.Name(): "keep", r.Name(): "\x00\x00\x00\x00"} {
		if b, err := os.ReadFile(name); err != nil || string(b[at:at+4]) != want {
			t.Errorf("%q, %v", b[at:at+4], err)
		}
	}
}
