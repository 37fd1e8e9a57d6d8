package mmap_test

import (
	"bytes"
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

// TestPrivateIgnoresAppend: private memory of a file opened with O_APPEND never
// reaches the file, by no way of writing.
func TestPrivateIgnoresAppend(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 10_000)
	name := newFile(t, data)
	r := openRegion(t, name, os.O_RDWR|os.O_APPEND, &mmap.Options{Private: true})
	if n, err := r.Write([]byte("secret")); n != 6 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	src, err := os.Open(newFile(t, []byte("from a file")))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if n, err := r.ReadFrom(src); n != 11 || err != nil {
		t.Errorf("ReadFrom = %d, %v", n, err)
	}
	got := make([]byte, 17)
	if _, err := r.ReadAt(got, 0); err != nil || string(got) != "secretfrom a file" {
		t.Errorf("ReadAt: %q, %v", got, err)
	}
	if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, data) {
		t.Errorf("the file was written to (%v)", err)
	}
}

// TestSealThatFails: a Seal that fails changes nothing.
func TestSealThatFails(t *testing.T) {
	needsMemory(t)
	// A file that has no seals, and a View of it.
	r := openRegion(t, newFile(t, pattern(1, 8192)), os.O_RDWR, nil)
	if err := r.View(0, 8192, func(b []byte) error {
		if err := r.Seal(mmap.SealWrite); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Seal of a file: %v", err)
		}
		b[0]++
		return nil
	}); err != nil {
		t.Error(err)
	}
	// Memory that another has mapped writable.
	a, err := mmap.Anonymous(8192, &mmap.Options{Share: true})
	if err != nil {
		t.Skip(err)
	}
	defer a.Close()
	if err := a.View(0, 1, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	f, err := a.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := mmap.Map(f, &mmap.Options{Prot: mmap.ProtRead})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if n, err := b.WriteAt([]byte{1}, int64(i)); n != 1 || err != nil {
			t.Errorf("WriteAt %d: %d, %v", i, n, err)
		}
		if err := b.Seal(mmap.SealWrite); !errors.Is(err, syscall.EBUSY) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Seal: %v", err)
		}
	}
}

// TestSealedByAnother: sealed memory that was handed over is read as any file.
func TestSealedByAnother(t *testing.T) {
	a, err := mmap.Anonymous(8192, &mmap.Options{Share: true})
	if err != nil {
		t.Skip(err)
	}
	defer a.Close()
	if _, err := a.WriteAt([]byte("hello"), 0); err != nil {
		t.Fatal(err)
	}
	if err := a.Seal(mmap.SealWrite | mmap.SealGrow | mmap.SealShrink); err != nil {
		t.Skip(err)
	}
	f, err := a.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := mmap.Map(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b := r.Bytes(); len(b) != 8192 || string(b[:5]) != "hello" {
		t.Errorf("Bytes has %d bytes", len(b))
	}
	err = r.View(0, 5, func(b []byte) error {
		if string(b) != "hello" {
			t.Errorf("%q", b)
		}
		b[0] = 'H'
		return nil
	})
	if !errors.Is(err, syscall.EACCES) {
		t.Errorf("a store in View: %v", err)
	}
	if _, err := r.WriteAt([]byte("H"), 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("WriteAt: %v", err) // what os.File says
	}
}

// TestWriteOwnBytesAtDescriptor: bytes of the Region's own memory arrive as they
// were, also when the cursor is the descriptor's.
func TestWriteOwnBytesAtDescriptor(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 20_000)
	r := openRegion(t, newFile(t, data), os.O_RDWR, nil)
	b := r.Bytes()
	if _, err := r.Seek(100, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	conn, err := r.SyscallConn()
	if err == nil {
		err = conn.Control(func(uintptr) {})
	}
	if err != nil {
		t.Skip(err)
	}
	if n, err := r.Write(b[:12_000]); n != 12_000 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if !bytes.Equal(b[100:12_100], data[:12_000]) {
		t.Error("the bytes are smeared")
	}
}

// TestCloseNil: as in os, a Close of what Open did not return is an error.
func TestCloseNil(t *testing.T) {
	var f *os.File
	var r *mmap.Region
	if got, want := r.Close(), f.Close(); got != want {
		t.Errorf("Close = %v, os says %v", got, want)
	}
}

// TestWriteToRespectsProt: what may not be read is not sent either.
func TestWriteToRespectsProt(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDWR, &mmap.Options{Prot: mmap.ProtWrite})
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	n, err := r.WriteTo(out)
	out.Close()
	got, _ := io.ReadAll(in)
	if n != 0 || len(got) > 0 || !errors.Is(err, syscall.EACCES) {
		t.Errorf("WriteTo = %d, %v; %d bytes came", n, err, len(got))
	}
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
