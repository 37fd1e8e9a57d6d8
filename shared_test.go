package mmap_test

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// ctlShared returns shared memory without a name, or skips the test.
func ctlShared(t testing.TB, size int64, opts mmap.Options) *mmap.Region {
	t.Helper()
	needsMemory(t)
	opts.Share = true
	r, err := mmap.Anonymous(size, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestShared checks that a Region made of the File of another shows the same
// bytes, has a cursor of its own, and outlives it.
func TestShared(t *testing.T) {
	a := ctlShared(t, 10000, mmap.Options{})
	f, err := a.File()
	if err != nil {
		t.Fatal(err)
	}
	b, err := mmap.Map(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte("from a")); err != nil {
		t.Fatal(err)
	}
	if err := b.View(0, mmap.ToEnd, func(p []byte) error { copy(p[9000:], "from b"); return nil }); err != nil {
		t.Fatal(err)
	}
	if got := ctlRead(t, b, make([]byte, 6), 0); got != "from a" || b.Size() != 10000 {
		t.Errorf("the other has %q, and %d bytes", got, b.Size())
	}
	if got := ctlRead(t, a, make([]byte, 6), 9000); got != "from b" {
		t.Errorf("the one has %q", got)
	}
	a.Close()
	if got := ctlRead(t, b, make([]byte, 6), 0); got != "from a" {
		t.Errorf("after the one was closed: %q", got)
	}
}

// TestSharedGrows checks that shared memory is a file: it is cut and grows,
// with zeros, and its peer sees that.
func TestSharedGrows(t *testing.T) {
	a := ctlShared(t, 0, mmap.Options{})
	f, err := a.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := pattern(0, 3<<20)
	if _, err := a.WriteAt(want, 0); err != nil || a.Size() != 3<<20 {
		t.Fatalf("%d bytes, %v", a.Size(), err)
	}
	if err := a.Truncate(5000); err != nil {
		t.Fatal(err)
	}
	if err := a.Truncate(10000); err != nil {
		t.Fatal(err)
	}
	clear(want[5000:10000])
	got := make([]byte, 10000)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want[:10000]) {
		t.Errorf("the peer sees something else (%v)", err)
	}
}

// TestFileErrors checks what has no descriptor to give.
func TestFileErrors(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(0, 100))
	for kind, r := range map[string]*mmap.Region{
		"anonymous": ctlAnonymous(t, 100, nil),
		"private":   openRegion(t, name, os.O_RDWR, &mmap.Options{Private: true}),
	} {
		if f, err := r.File(); !errors.Is(err, errors.ErrUnsupported) || f != nil {
			t.Errorf("%s: %v, %v", kind, f, err)
		}
		r.Close()
		if f, err := r.File(); !errors.Is(err, os.ErrClosed) || f != nil {
			t.Errorf("%s, closed: %v, %v", kind, f, err)
		}
		if err := r.Seal(mmap.SealShrink); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Seal of closed %s memory: %v", kind, err)
		}
	}
	r := openRegion(t, name, os.O_RDWR, nil)
	f, err := r.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, pattern(0, 100)) {
		t.Errorf("File changed the file (%v)", err)
	}
}

// TestSealRefused checks that Seal of what cannot be sealed is an error, and
// that nothing else happened: the bytes are there and can be written.
func TestSealRefused(t *testing.T) {
	needsMemory(t)
	for kind, r := range ctlKinds(t, 10000) {
		want := ctlRead(t, r, make([]byte, 10000), 0)
		view := ctlWindow(t, r)
		for _, s := range []mmap.Seals{mmap.SealShrink, mmap.SealWrite, 1 << 7} {
			if err := r.Seal(s); err == nil {
				t.Errorf("%s: sealed", kind)
			}
		}
		if got := ctlRead(t, r, make([]byte, 10000), 0); got != want {
			t.Errorf("%s: other bytes after a Seal that failed", kind)
		}
		if _, err := r.WriteAt([]byte("new"), 0); err != nil {
			t.Errorf("%s: writing after a Seal that failed: %v", kind, err)
		}
		_ = view
	}
}

// TestSealKeepsBytes checks that Seal never takes slices away that are valid
// until Close: of a file that cannot be sealed, and of memory that can only be
// read.
func TestSealKeepsBytes(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(0, 10000))
	for kind, r := range map[string]*mmap.Region{
		"a file open for reading": openRegion(t, name, os.O_RDONLY, nil),
		"a file":                  openRegion(t, name, os.O_RDWR, nil),
		"shared memory":           ctlShared(t, 10000, mmap.Options{}),
		"shared, read-only":       ctlShared(t, 10000, mmap.Options{Prot: mmap.ProtRead}),
	} {
		b := r.Bytes()
		if err := r.Seal(mmap.SealWrite); err == nil && kind != "shared, read-only" {
			t.Errorf("%s: sealed under its slices", kind)
		}
		if !ctlTouch(b, 0) || !ctlTouch(b, 9999) {
			t.Errorf("%s: Seal took the slice away", kind)
		}
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
