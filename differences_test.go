package mmap_test

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// One test for each row of the table of known differences between a Region and
// an os.File. Each shows the difference and, beside it, what the oracle does.
// What needs a system call of Linux to be seen is in differences_linux_test.go.

// pair opens a Region, mapped, and an os.File on two equal files.
func pair(t *testing.T, data []byte) (r *mmap.Region, f *os.File) {
	t.Helper()
	needsMemory(t)
	r = openRegion(t, newFile(t, data), os.O_RDWR, nil)
	fill(t, r, data) // by the descriptor, so that Flush has nothing to answer for
	for range 20 {   // more often than it takes until memory serves all of it
		if _, err := r.ReadAt(make([]byte, len(data)), 0); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(newFile(t, data), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return r, f
}

// others changes the size of both files as another process would.
func others(t *testing.T, r *mmap.Region, f *os.File, size int64) {
	t.Helper()
	for _, name := range []string{r.Name(), f.Name()} {
		cutFile(t, name, size)
	}
}

// fileSize returns a file's size by its name.
func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestDifferenceSizeLastSeen: Len, Size and Bytes are what the Region last
// saw. Reads follow the file, and then so do these.
func TestDifferenceSizeLastSeen(t *testing.T) {
	r, f := pair(t, pattern(1, 5000))
	others(t, r, f, 9000)
	if n := fileSize(t, f.Name()); n != 9000 {
		t.Fatal(n)
	}
	if r.Len() != 5000 || r.Size() != 5000 || len(r.Bytes()) != 5000 {
		t.Errorf("the difference is gone: Len %d, Size %d, Bytes %d of 9000", r.Len(), r.Size(), len(r.Bytes()))
	}
	p := make([]byte, 10)
	for _, file := range []io.ReaderAt{f, r} {
		if n, err := file.ReadAt(p, 8000); n != 10 || err != nil {
			t.Errorf("%T.ReadAt: %d, %v", file, n, err)
		}
	}
	if r.Len() != 9000 || r.Size() != 9000 || len(r.Bytes()) != 9000 {
		t.Errorf("after a read there: Len %d, Size %d, Bytes %d", r.Len(), r.Size(), len(r.Bytes()))
	}
}

// TestDifferenceCutRead: when somebody else cuts the file inside a page, reads
// give zeros up to the end of that page until the Region asks the descriptor.
// An os.File is at its end at once.
func TestDifferenceCutRead(t *testing.T) {
	needsCut(t)
	if os.Getenv(pagesEnv) == "cold" {
		t.Skip("only memory shows it")
	}
	page := int64(os.Getpagesize())
	r, f := pair(t, pattern(1, int(3*page)))
	others(t, r, f, page+100)
	p := make([]byte, 50)
	if n, err := f.ReadAt(p, page+80); n != 20 || err != io.EOF {
		t.Errorf("os.File: %d, %v", n, err)
	}
	n, err := r.ReadAt(p, page+80)
	if n != 50 || err != nil || string(p[20:]) != string(make([]byte, 30)) {
		t.Errorf("the difference is gone, or another: %d, %v, %q", n, err, p)
	}
	// The next page is no longer there: the descriptor is asked.
	if n, err := r.ReadAt(p, 2*page); n != 0 || err != io.EOF {
		t.Errorf("a read behind that page: %d, %v", n, err)
	}
	if n, err := r.ReadAt(p, page+80); n != 20 || err != io.EOF {
		t.Errorf("after that: %d, %v", n, err)
	}
}

// TestDifferenceCutWrite: a write there succeeds and is lost, where an os.File
// makes the file longer. Flush does not claim it.
func TestDifferenceCutWrite(t *testing.T) {
	needsCut(t)
	page := int64(os.Getpagesize())
	r, f := pair(t, pattern(1, int(3*page)))
	if err := store(r, page, 10); err != nil { // the page is written in memory
		t.Fatal(err)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := store(r, page, 10); err != nil {
		t.Fatal(err)
	}
	others(t, r, f, page+100)
	for _, file := range []io.WriterAt{f, r} {
		if n, err := file.WriteAt([]byte("lost"), page+200); n != 4 || err != nil {
			t.Fatalf("%T.WriteAt: %d, %v", file, n, err)
		}
	}
	if n := fileSize(t, f.Name()); n != page+204 {
		t.Errorf("os.File left %d bytes", n)
	}
	if n := fileSize(t, r.Name()); n != page+100 {
		t.Errorf("the difference is gone: the file has %d bytes", n)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("os.File.Sync: %v", err)
	}
	if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Flush claims a lost write: %v", err)
	}
}

// store changes n bytes in memory: writes make a page writable by and by, and
// until then go by the descriptor.
func store(r *mmap.Region, off int64, n int) error {
	var errs []error
	for range 5 {
		_, err := r.WriteAt(pattern(4, n), off)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// TestDifferenceTearing: where reads and writes overlap and run at the same
// time, a read may see parts of both contents. It sees nothing else, and no
// more is promised by an os.File on every file system either.
func TestDifferenceTearing(t *testing.T) {
	r, _ := pair(t, make([]byte, 100_000))
	const rounds = 300
	parallel(func() {
		for i := range rounds {
			p := make([]byte, 100_000)
			for at := range p {
				p[at] = byte(i % 2)
			}
			if _, err := r.WriteAt(p, 0); err != nil {
				t.Error(err)
			}
		}
	}, func() {
		for range rounds {
			p := make([]byte, 100_000)
			if _, err := r.ReadAt(p, 0); err != nil {
				t.Error(err)
			}
			for at, b := range p {
				if b > 1 {
					t.Errorf("byte %d is %d, which nobody wrote", at, b)
					return
				}
			}
		}
	})
}

// TestDifferenceFailedFlush: a Flush that failed keeps failing, and Sync with
// it, although the file is long enough again. An os.File has forgotten.
func TestDifferenceFailedFlush(t *testing.T) {
	needsCut(t)
	r, f := pair(t, pattern(1, 5000))
	change := func(b []byte) error { b[4990]++; return nil }
	if err := r.View(0, mmap.ToEnd, change); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1}, 4990); err != nil {
		t.Fatal(err)
	}
	others(t, r, f, 100)
	if err := f.Sync(); err != nil {
		t.Errorf("os.File.Sync: %v", err)
	}
	if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("Flush: %v", err)
	}
	others(t, r, f, 5000)
	for what, flush := range map[string]func() error{"Flush": r.Flush, "Sync": r.Sync, "FlushRange": func() error { return r.FlushRange(0, 1) }} {
		if err := flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s has forgotten: %v", what, err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Errorf("os.File.Sync: %v", err)
	}
	again := openRegion(t, r.Name(), os.O_RDWR, nil)
	if err := again.Flush(); err != nil {
		t.Errorf("another Region of the file: %v", err)
	}
}

// TestDifferenceRawFault: a fault in the caller's own code, outside View, is a
// crash, as with any memory. An os.File is at its end.
func TestDifferenceRawFault(t *testing.T) {
	needsCut(t)
	if cmd := child(t); cmd != nil {
		crash(t, cmd)
		return
	}
	r, f := pair(t, pattern(1, 5*os.Getpagesize()))
	b := r.Bytes()
	others(t, r, f, 0)
	last := make([]byte, 1)
	if n, err := f.ReadAt(last, int64(len(b)-1)); n != 0 || err != io.EOF {
		t.Fatalf("os.File: %d, %v", n, err)
	}
	keep(uint64(b[len(b)-1]))
}

// TestDifferenceOpening: a directory is an error at opening.
func TestDifferenceOpening(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if r, err := mmap.Open(dir); err == nil {
		r.Close()
		t.Errorf("%s can be opened", dir)
	}
}
