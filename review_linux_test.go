package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestFlushReleased: what was written where memory was released is flushed by
// the descriptor; msync would pass over it.
func TestFlushReleased(t *testing.T) {
	const size = 64 << 20
	name := newFile(t, nil)
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	r := openMapped(t, name, os.O_RDWR, nil)
	if err := errors.Join(r.Allocate(0, size), r.Sync(), r.Release(16<<20, 32<<20)); err != nil {
		t.Skip(err)
	}
	for what, flush := range map[string]func() error{
		"Flush":      r.Flush,
		"FlushRange": func() error { return r.FlushRange(33<<20, 8192) },
	} {
		if _, err := r.WriteAt(make([]byte, 8192), 33<<20); err != nil {
			t.Fatal(err)
		}
		before, err := r.CacheStat(33<<20, 8192)
		if err != nil || before.Dirty == 0 {
			t.Skipf("nobody tells what is dirty: %+v, %v", before, err)
		}
		if err := flush(); err != nil {
			t.Fatal(err)
		}
		if after, err := r.CacheStat(33<<20, 8192); err != nil || after.Dirty+after.Writeback > 0 {
			t.Errorf("after %s: %+v, %v", what, after, err)
		}
	}
}

// TestFlushCoversAppend: an append that was acknowledged is part of the next
// Flush, also while another append holds the lock.
func TestFlushCoversAppend(t *testing.T) {
	name := newFile(t, pattern(1, 16<<20))
	r := openRegion(t, name, os.O_RDWR|os.O_APPEND, nil)
	if err := errors.Join(r.View(0, 1, func([]byte) error { return nil }), r.Sync()); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		at := r.Size()
		if _, err := r.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		busy := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			close(busy)
			_, _ = r.Write(make([]byte, 8<<20))
		}()
		<-busy
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		c, err := r.CacheStat(at, 1<<20)
		<-done
		if err != nil {
			t.Skip(err)
		}
		if c.Dirty+c.Writeback > 0 {
			t.Fatalf("round %d: %+v of an acknowledged append", i, c)
		}
	}
}

// openFifo opens a named pipe at both ends.
func openFifo(t *testing.T) *mmap.Region {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	return openRegion(t, name, os.O_RDWR, nil)
}

// TestReadFromIntoPipe: a Region of a pipe that is being written to can be read
// meanwhile.
func TestReadFromIntoPipe(t *testing.T) {
	const size = 1 << 20 // more than a pipe holds
	data := pattern(1, size)
	src, err := os.Open(newFile(t, data))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r := openFifo(t)
	done := make(chan error, 1)
	go func() {
		_, err := r.ReadFrom(src)
		done <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("something else was read (%v)", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestViewOfStream: what no memory can show is an error that says so, and not
// an empty slice.
func TestViewOfStream(t *testing.T) {
	r := openFifo(t)
	for _, n := range []int64{mmap.ToEnd, 0, 1} {
		err := r.View(0, n, func([]byte) error { t.Error("it was shown"); return nil })
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("View(0, %d): %v", n, err)
		}
	}
}

// TestFlushAfterRegrowth: a Flush covers bytes that were handed out, also when
// the file was seen short since, and has grown again.
func TestFlushAfterRegrowth(t *testing.T) {
	needsMemory(t)
	const page = 1 << 16
	name := newFile(t, pattern(1, 3*page))
	r := openRegion(t, name, os.O_RDWR, nil)
	b := r.Bytes()
	cutFile(t, name, 100)
	if _, err := r.ReadAt(make([]byte, 10), 2*page); err != io.EOF || r.Size() != 100 {
		t.Fatalf("%v, %d bytes", err, r.Size())
	}
	cutFile(t, name, 3*page)
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	b[2*page] = 'x'
	if c, err := r.CacheStat(2*page, 1); err != nil || c.Dirty == 0 {
		t.Skipf("nobody tells what is dirty: %+v, %v", c, err)
	}
	// What was stored before the cut, if anything, is lost: it says so once,
	// and has written out what was stored since.
	if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if c, err := r.CacheStat(2*page, 1); err != nil || c.Dirty+c.Writeback > 0 {
		t.Errorf("after Flush: %+v, %v", c, err)
	}
}

// TestReadGenerated: of a file that the kernel makes up as it is read, Read
// returns what one read(2) returns.
func TestReadGenerated(t *testing.T) {
	const name = "/proc/self/smaps"
	f, err := os.Open(name)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	r, err := mmap.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := make([]byte, 1<<20)
	want, err := f.Read(p)
	if all, _ := os.ReadFile(name); err != nil || want >= len(all)/2 {
		t.Skipf("one call reads all of it: %d, %v", want, err)
	}
	if n, err := r.Read(p); n > 2*want || err != nil {
		t.Errorf("Read = %d, %v; os reads %d", n, err, want)
	}
}

// TestDifferenceCutAndGrown: what was stored behind the end of a file that
// somebody else cut is lost, and Flush says nothing once the file has grown
// again.
func TestDifferenceCutAndGrown(t *testing.T) {
	r, f := pair(t, pattern(1, 12_288))
	keep := []byte("keep")
	for range 3 { // until the page is writable
		if _, err := r.WriteAt(keep, 6000); err != nil {
			t.Fatal(err)
		}
	}
	others(t, r, f, 5000)
	for _, w := range []io.WriterAt{r, f} {
		if n, err := w.WriteAt(keep, 6000); n != len(keep) || err != nil {
			t.Fatalf("%T: %d, %v", w, n, err)
		}
	}
	others(t, r, f, 12_288)
	if err := r.Flush(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{f.Name(): "keep", r.Name(): "\x00\x00\x00\x00"} {
		if b, err := os.ReadFile(name); err != nil || string(b[6000:6004]) != want {
			t.Errorf("%q, %v", b[6000:6004], err)
		}
	}
}

// TestCloseLeavesNoTail: what was stored past the end of a file that somebody
// else cut does not show when the file grows after Close.
func TestCloseLeavesNoTail(t *testing.T) {
	for what, store := range map[string]func(*mmap.Region) error{
		"WriteAt": func(r *mmap.Region) error { _, err := r.WriteAt([]byte("stale"), 3000); return err },
		"Bytes":   func(r *mmap.Region) error { copy(r.Bytes()[3000:], "stale"); return nil },
	} {
		t.Run(what, func(t *testing.T) {
			a, err := mmap.Anonymous(8192, &mmap.Options{Share: true})
			if err != nil {
				t.Skip(err)
			}
			defer a.Close()
			f, err := a.File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := a.View(0, 1, func([]byte) error { return nil }); err != nil { // it is mapped
				t.Fatal(err)
			}
			for range 3 {
				if err := store(a); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Truncate(1000); err != nil {
				t.Fatal(err)
			}
			if err := store(a); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(a.Close(), f.Truncate(8192)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 7192)
			if _, err := f.ReadAt(got, 1000); err != nil || len(bytes.Trim(got, "\x00")) > 0 {
				t.Errorf("%q is left (%v)", bytes.Trim(got, "\x00"), err)
			}
		})
	}
}
