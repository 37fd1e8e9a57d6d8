package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestAllocateFarthest: the last byte that an offset can name may be too far for
// the file system, and is not for the call.
func TestAllocateFarthest(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems say it otherwise")
	}
	for _, offset := range []int64{0, 100} {
		r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, &mmap.Options{Offset: offset})
		if err := r.Allocate(math.MaxInt64-1-offset, 1); errors.Is(err, syscall.EINVAL) {
			t.Errorf("Offset %d: %v", offset, err)
		}
		if err := r.Allocate(math.MaxInt64-offset, 1); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("Offset %d, a byte farther: %v", offset, err)
		}
	}
}

// TestAllocateWindow: all of a window can be allocated, and no byte more.
func TestAllocateWindow(t *testing.T) {
	needsMemory(t)
	for _, window := range []int64{1, 200} {
		r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, &mmap.Options{Offset: 10, Length: window})
		for _, c := range []struct {
			off, n int64
			want   error
		}{{0, window + 1, io.ErrUnexpectedEOF}, {window, 1, io.ErrUnexpectedEOF}, {0, window, nil}, {window - 1, 1, nil}} {
			if err := r.Allocate(c.off, c.n); !errors.Is(err, c.want) && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Allocate(%d, %d) in a window of %d: %v, want %v", c.off, c.n, window, err, c.want)
			}
		}
	}
}

// TestAllocateBehindEnd: from behind the end to the end there is nothing.
func TestAllocateBehindEnd(t *testing.T) {
	r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, nil)
	for _, off := range []int64{99, 100, 101, 5000} {
		if err := r.Allocate(off, mmap.ToEnd); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Allocate(%d, ToEnd): %v", off, err)
		}
		if n := fileSize(t, r.Name()); n != 100 || r.Size() != 100 {
			t.Fatalf("after Allocate(%d, ToEnd) the file has %d bytes", off, n)
		}
	}
}

// TestAllocateRanges is the table for Allocate, which alone may name a range
// past the end: what size and error come of it. Bytes that are there stay.
func TestAllocateRanges(t *testing.T) {
	data := pattern(0, 10000)
	for _, c := range []struct {
		off, n, size int64
		want         error
	}{
		{0, 0, 10000, nil}, {20000, 0, 10000, nil}, {0, mmap.ToEnd, 10000, nil}, {20000, mmap.ToEnd, 10000, nil},
		{0, 10000, 10000, nil}, {5, 7, 10000, nil}, {9999, 1, 10000, nil}, {9999, 2, 10001, nil}, {10000, 1, 10001, nil},
		{12345, 67, 12412, nil}, {0, 100001, 100001, nil},
		{-1, 1, 10000, syscall.EINVAL}, {0, -2, 10000, syscall.EINVAL}, {1, math.MaxInt64, 10000, syscall.EINVAL},
	} {
		name := newFile(t, data)
		r := openRegion(t, name, os.O_RDWR, nil)
		err := r.Allocate(c.off, c.n)
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		info, bad := os.Stat(name)
		if bad != nil || !errors.Is(err, c.want) || info.Size() != c.size || r.Size() != c.size {
			t.Errorf("Allocate at %d of %d: %v, %d and %d bytes; want %v, %d bytes", c.off, c.n, err, info.Size(), r.Size(), c.want, c.size)
		}
		want := append(slices.Clone(data), make([]byte, c.size-10000)...)
		ctlSame(t, fmt.Sprintf("Allocate at %d of %d", c.off, c.n), ctlRead(t, r, make([]byte, c.size), 0), want)
	}
}

// TestAllocateRefused checks where Allocate must not grow anything: in windows
// past their end, in private and anonymous memory, without the right to write.
func TestAllocateRefused(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(0, 10000))
	w := openRegion(t, name, os.O_RDWR, &mmap.Options{Offset: 100, Length: 20000})
	if err := w.Allocate(1, 20000); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("past the window: %v", err)
	}
	if err := w.Allocate(0, 15000); err != nil && !errors.Is(err, errors.ErrUnsupported) || err == nil && w.Size() != 15000 {
		t.Errorf("inside the window: %v, %d bytes", err, w.Size())
	}
	for kind, r := range map[string]*mmap.Region{
		"private":   openRegion(t, name, os.O_RDWR, &mmap.Options{Private: true}),
		"anonymous": ctlAnonymous(t, 100, nil),
	} {
		if err := r.Allocate(0, 10); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Allocate in %s memory: %v", kind, err)
		}
	}
	if err := openRegion(t, name, os.O_RDONLY, nil).Allocate(0, 1<<20); err == nil {
		t.Error("Allocate in a file open for reading worked")
	}
	if info, err := os.Stat(name); err != nil || info.Size() > 15100 {
		t.Errorf("the file has %d bytes (%v)", info.Size(), err)
	}
}

// TestDiscardBytes checks what reads as zero after Discard, to the byte, and
// that all other bytes stay: of the Region and of the file.
func TestDiscardBytes(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	size := 3*page + 100
	for _, c := range []struct{ off, n int64 }{
		{0, mmap.ToEnd}, {0, size}, {1, 10}, {page - 5, 10}, {page, page}, {5, 2*page + 3},
		{3*page + 1, 99}, {3*page + 1, mmap.ToEnd}, {size - 1, 1}, {2 * page, 50}, {0, page},
	} {
		for _, share := range []bool{false, true} {
			r := ctlAnonymous(t, size, &mmap.Options{Share: share})
			want := pattern(2, int(size))
			if _, err := r.WriteAt(want, 0); err != nil {
				t.Fatal(err)
			}
			ctlDiscard(t, r, c.off, c.n, want)
		}
		name := newFile(t, pattern(2, int(size)+1000))
		w := openMapped(t, name, os.O_RDWR, &mmap.Options{Offset: 333, Length: size})
		want := pattern(2, int(size)+1000)
		ctlDiscard(t, w, c.off, c.n, want[333:333+size])
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			ctlSame(t, fmt.Sprintf("the file after Discard at %d of %d in a window", c.off, c.n), string(got), want)
		}
	}
}

// ctlDiscard discards a range of r, and of want, and compares.
func ctlDiscard(t *testing.T, r *mmap.Region, off, n int64, want []byte) {
	t.Helper()
	err := r.Discard(off, n)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n == mmap.ToEnd {
		n = int64(len(want)) - off
	}
	clear(want[off : off+n])
	ctlSame(t, fmt.Sprintf("Discard at %d of %d", off, n), ctlRead(t, r, make([]byte, len(want)), 0), want)
	if r.Size() != int64(len(want)) {
		t.Errorf("Discard at %d of %d changed the size to %d", off, n, r.Size())
	}
}

// TestDiscardPrivate checks that whole pages of private memory show the file
// again, that pages in part keep what was stored, and that the file stays.
func TestDiscardPrivate(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	size := 3*page + 100
	for _, c := range []struct{ off, n, lo, hi int64 }{
		{0, mmap.ToEnd, 0, size}, {0, size, 0, size}, {1, 10, 0, 0}, {1, 2 * page, page, 2 * page},
		{page, page, page, 2 * page}, {3 * page, 100, 3 * page, size}, {3 * page, 99, 0, 0},
	} {
		file := pattern(3, int(size))
		name := newFile(t, file)
		r := openRegion(t, name, os.O_RDONLY, &mmap.Options{Private: true})
		want := bytes.Repeat([]byte{200}, int(size))
		if _, err := r.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		if err := r.Discard(c.off, c.n); errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		copy(want[c.lo:c.hi], file[c.lo:c.hi])
		ctlSame(t, fmt.Sprintf("Discard at %d of %d", c.off, c.n), ctlRead(t, r, make([]byte, size), 0), want)
		if got, _ := os.ReadFile(name); !bytes.Equal(got, file) {
			t.Errorf("Discard at %d of %d of private memory changed the file", c.off, c.n)
		}
	}
}

// TestDiscardLocked checks that Discard of memory that is pinned works as of
// other memory, or fails before it has changed a byte.
func TestDiscardLocked(t *testing.T) {
	page := mmap.PageSize()
	r := ctlAnonymous(t, 3*page, nil)
	want := pattern(0, int(3*page))
	if _, err := r.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Lock(0, mmap.ToEnd); err != nil {
		t.Skip(err)
	}
	if err := r.Discard(10, 2*page); err == nil {
		clear(want[10 : 10+2*page])
	}
	ctlSame(t, "Discard of pinned memory", ctlRead(t, r, make([]byte, 3*page), 0), want)
}

// TestDiscardDenied checks that Discard is a write: protection and a file open
// for reading refuse it.
func TestDiscardDenied(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	for kind, r := range ctlKinds(t, 3*page) {
		want := []byte(ctlRead(t, r, make([]byte, 3*page), 0))
		if err := r.Protect(page, 1, mmap.ProtRead); err != nil {
			t.Fatal(err)
		}
		for _, off := range []int64{page, page - 1, 0} {
			if err := r.Discard(off, 2*page); !errors.Is(err, syscall.EACCES) {
				t.Errorf("Discard at %d of protected %s memory: %v", off, kind, err)
			}
		}
		ctlSame(t, kind, ctlRead(t, r, make([]byte, 3*page), 0), want)
	}
	name := newFile(t, pattern(0, 100))
	if err := openRegion(t, name, os.O_RDONLY, nil).Discard(0, 10); err == nil {
		t.Error("Discard in a file open for reading worked")
	}
	if got, _ := os.ReadFile(name); !bytes.Equal(got, pattern(0, 100)) {
		t.Error("Discard changed a file open for reading")
	}
}
