package mmap_test

import (
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestConcurrentFlushesAnswer: when a store was lost, every Flush says so, also
// those that run at the same time.
func TestConcurrentFlushesAnswer(t *testing.T) {
	needsCut(t)
	for range 50 {
		name := newFile(t, pattern(1, 64<<10))
		r := openMapped(t, name, os.O_RDWR, nil)
		if err := r.View(0, mmap.ToEnd, func(b []byte) error { b[60000] = 1; return nil }); err != nil {
			t.Fatal(err)
		}
		cutFile(t, name, 100)
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = r.Flush() })
		}
		wg.Wait()
		for i, err := range errs {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("Flush %d of %d: %v", i, len(errs), err)
			}
		}
		r.Close()
	}
}

// TestFlushCoversGranted: what Protect made writable is what Flush answers for.
func TestFlushCoversGranted(t *testing.T) {
	needsCut(t)
	name := newFile(t, pattern(1, 64<<10))
	r := openRegion(t, name, os.O_RDWR, &mmap.Options{Prot: mmap.ProtRead})
	if err := r.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite); err != nil {
		t.Fatal(err)
	}
	if err := r.View(0, mmap.ToEnd, func(b []byte) error { b[60000] = 1; return nil }); err != nil {
		t.Fatal(err)
	}
	cutFile(t, name, 100)
	if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Flush: %v", err)
	}
}

// TestSealSparesGranted: bytes that were handed out and made writable keep Seal
// from taking them away.
func TestSealSparesGranted(t *testing.T) {
	r, err := mmap.Anonymous(8192, &mmap.Options{Share: true, Prot: mmap.ProtRead})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	if err := r.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite); err != nil {
		t.Fatal(err)
	}
	b := r.Bytes()
	if b == nil {
		t.Fatal("no bytes")
	}
	b[0] = 1
	if err := r.Seal(mmap.SealWrite); !errors.Is(err, syscall.EBUSY) && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Seal: %v", err)
	}
	b[0] = 2
}

// TestReadIntoOwnReadOnlyBytes: a slice that cannot be written to is what the
// kernel says it is, and never a count of 0 without an error.
func TestReadIntoOwnReadOnlyBytes(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDONLY, nil)
	b := r.Bytes()
	for _, off := range []int64{0, 5, 5000} {
		if n, err := r.ReadAt(b[:10], off); n != 0 || err == nil {
			t.Errorf("ReadAt(%d) = %d, %v", off, n, err)
		}
	}
}

// seeker is a file whose Read uses the Region that reads from it.
type seeker struct {
	*os.File
	r *mmap.Region
}

func (s seeker) Read(p []byte) (int, error) {
	if _, err := s.r.Seek(0, io.SeekCurrent); err != nil {
		return 0, err
	}
	return s.File.Read(p)
}

// TestReadFromWrapper: no lock is held while a stranger reads.
func TestReadFromWrapper(t *testing.T) {
	f, err := os.Open(newFile(t, pattern(1, 10_000)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := openRegion(t, newFile(t, nil), os.O_RDWR, nil)
	if n, err := r.ReadFrom(seeker{f, r}); n != 10_000 || err != nil {
		t.Errorf("ReadFrom = %d, %v", n, err)
	}
}

// TestWriteTooFar: an offset that no file has is the same error for any length.
func TestWriteTooFar(t *testing.T) {
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDWR, nil)
	f, err := os.OpenFile(newFile(t, pattern(1, 100)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 2<<20)
	n, got := r.WriteAt(p, math.MaxInt64-1<<20)
	m, want := f.WriteAt(p, math.MaxInt64-1<<20)
	if n != m || !errors.Is(got, errors.Unwrap(want)) {
		t.Errorf("WriteAt = %d, %v; os says %d, %v", n, got, m, want)
	}
}
