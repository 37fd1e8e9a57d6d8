package mmap_test

import (
	"errors"
	"io"
	"math"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestViewRanges is the table of View: what bytes a callback gets, with no room
// behind them, or which error comes instead of the call.
func TestViewRanges(t *testing.T) {
	needsMemory(t)
	size := 3*mmap.PageSize() + 100
	for _, c := range []struct {
		off, n, want int64
		err          error
	}{
		{0, 0, 0, nil}, {size, 0, 0, nil}, {0, mmap.ToEnd, size, nil}, {size, mmap.ToEnd, 0, nil}, {7, 13, 13, nil},
		{mmap.PageSize() - 1, 2, 2, nil}, {0, size, size, nil}, {size - 1, mmap.ToEnd, 1, nil},
		{size, 1, 0, io.ErrUnexpectedEOF}, {size - 1, 2, 0, io.ErrUnexpectedEOF}, {size + 1, mmap.ToEnd, 0, io.ErrUnexpectedEOF},
		{-1, 1, 0, syscall.EINVAL}, {0, -2, 0, syscall.EINVAL}, {2, math.MaxInt64 - 1, 0, syscall.EINVAL},
	} {
		for kind, r := range ctlKinds(t, size) {
			want := ctlRead(t, r, make([]byte, size), 0)
			called := false
			err := r.View(c.off, c.n, func(b []byte) error {
				called = true
				if int64(len(b)) != c.want || cap(b) != len(b) || c.want > 0 && string(b) != want[c.off:c.off+c.want] {
					t.Errorf("%s: View at %d of %d: %d bytes, room for %d", kind, c.off, c.n, len(b), cap(b))
				}
				return nil
			})
			if !errors.Is(err, c.err) || called != (c.err == nil) {
				t.Errorf("%s: View at %d of %d: %v, called %v; want %v", kind, c.off, c.n, err, called, c.err)
			}
			r.Close()
		}
	}
}

// TestViewPasses checks that a callback's own error, panic and Goexit pass as
// they are, out of two Views.
func TestViewPasses(t *testing.T) {
	a, b := ctlAnonymous(t, 100, nil), ctlAnonymous(t, 100, nil)
	within := func(fn func() error) error {
		return a.View(0, mmap.ToEnd, func([]byte) error {
			return b.View(0, mmap.ToEnd, func([]byte) error { return fn() })
		})
	}
	own := errors.New("its own")
	if err := within(func() error { return own }); err != own {
		t.Errorf("its error came as %v", err)
	}
	for _, v := range []any{own, "text", 5} {
		func() {
			defer func() {
				if got := recover(); got != v {
					t.Errorf("its panic %v came as %v", v, got)
				}
			}()
			_ = within(func() error { panic(v) })
		}()
	}
	parallel(func() {
		_ = within(func() error { runtime.Goexit(); return nil })
		t.Error("Goexit did not end the goroutine")
	})
}

// TestViewOuterFault checks that a fault in the outer View's memory inside the
// inner View's callback is the outer's error.
func TestViewOuterFault(t *testing.T) {
	page := mmap.PageSize()
	outer, inner := ctlAnonymous(t, 2*page, nil), ctlAnonymous(t, 100, nil)
	if err := outer.Protect(page, page, mmap.ProtNone); err != nil {
		t.Skip(err)
	}
	var fault *mmap.FaultError
	reached := false
	err := outer.View(0, mmap.ToEnd, func(b []byte) error {
		err := inner.View(0, mmap.ToEnd, func([]byte) error { ctlSink.Store(uint32(b[page+3])); return nil })
		reached = true
		return err
	})
	if !errors.As(err, &fault) || fault.Op != "view" || fault.Off/page != 1 || !errors.Is(err, syscall.EACCES) || reached {
		t.Errorf("%v (the outer callback went on: %v)", err, reached)
	}
}

// TestViewStore checks what a store is where memory does not allow it.
func TestViewStore(t *testing.T) {
	needsMemory(t)
	r := openMapped(t, newFile(t, pattern(0, 100)), os.O_RDONLY, nil)
	var fault *mmap.FaultError
	err := r.View(0, mmap.ToEnd, func(b []byte) error { b[50] = 1; return nil })
	if !errors.As(err, &fault) || !errors.Is(err, syscall.EACCES) || fault.Path != r.Name() {
		t.Errorf("storing to a file open for reading: %v", err)
	}
	if got := ctlRead(t, r, make([]byte, 100), 0); got != string(pattern(0, 100)) {
		t.Error("the file has changed")
	}
}

// TestViewAfterClose checks that a View that is under way ends when the Region
// is closed, and that no other begins.
func TestViewAfterClose(t *testing.T) {
	r := ctlAnonymous(t, 100, nil)
	var fault *mmap.FaultError
	err := r.View(0, mmap.ToEnd, func(b []byte) error {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		ctlSink.Store(uint32(b[9]))
		return nil
	})
	if !errors.As(err, &fault) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("a View in progress: %v", err)
	}
	for _, n := range []int64{0, 1, mmap.ToEnd} {
		if err := r.View(0, n, func([]byte) error { t.Error("called"); return nil }); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a View of %d after Close: %v", n, err)
		}
	}
	if b := r.Bytes(); b != nil {
		t.Errorf("%d bytes after Close", len(b))
	}
}

// TestBytesShape checks that Bytes has no room behind it, that what is stored
// is what ReadAt reads, and that an empty Region has none.
func TestBytesShape(t *testing.T) {
	for kind, r := range ctlKinds(t, 5000) {
		b := r.Bytes()
		if len(b) != 5000 || cap(b) != 5000 {
			t.Fatalf("%s: %d bytes, room for %d", kind, len(b), cap(b))
		}
		b[4999] = 'z'
		if got := ctlRead(t, r, make([]byte, 1), 4999); got != "z" {
			t.Errorf("%s: %q was read", kind, got)
		}
	}
	if b := ctlAnonymous(t, 0, nil).Bytes(); b != nil {
		t.Errorf("an empty Region has %v", b)
	}
}

// TestSliceTooLong: what no memory could hold is past the end, or cannot be
// counted in bytes.
func TestSliceTooLong(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, nil)
	if b, err := mmap.Slice[byte](r, 0, math.MaxInt); !errors.Is(err, io.ErrUnexpectedEOF) || b != nil {
		t.Errorf("%d bytes: %v", math.MaxInt, err)
	}
	if b, err := mmap.Slice[byte](r, 1, math.MaxInt); math.MaxInt == math.MaxInt64 && !errors.Is(err, syscall.EINVAL) || b != nil {
		t.Errorf("%d bytes at 1: %v", math.MaxInt, err)
	}
	if b, err := mmap.Slice[uint64](r, 0, math.MaxInt/8+1); math.MaxInt == math.MaxInt64 && !errors.Is(err, syscall.EINVAL) || b != nil {
		t.Errorf("%d words: %v", math.MaxInt/8+1, err)
	}
}
