package mmap_test

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestProtectNothing: a protection to the end holds from the first byte on that
// a file without bytes gets, with an Offset inside a page too.
func TestProtectNothing(t *testing.T) {
	needsMemory(t)
	for _, offset := range []int64{0, 100} {
		for _, flag := range []int{os.O_RDWR, os.O_RDONLY} { // mapped for what comes, or not at all
			name := newFile(t, pattern(1, int(offset)))
			r := openRegion(t, name, flag, &mmap.Options{Offset: offset})
			if err := r.Protect(0, mmap.ToEnd, mmap.ProtNone); err != nil {
				t.Fatal(err)
			}
			cutFile(t, name, 9000)
			if n, err := r.ReadAt(make([]byte, 1), 0); n != 0 || !errors.Is(err, syscall.EACCES) {
				t.Errorf("Offset %d: ReadAt = %d, %v", offset, n, err)
			}
		}
	}
}

// TestProtectedWrites: what Options.Prot forbids, no way of writing does.
func TestProtectedWrites(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 10_000)
	source := newFile(t, pattern(4, 1000))
	calls := map[string]func(r *mmap.Region) error{
		"WriteAt":        func(r *mmap.Region) error { _, err := r.WriteAt([]byte("x"), 5); return err },
		"WriteAt past":   func(r *mmap.Region) error { _, err := r.WriteAt([]byte("x"), 20_000); return err },
		"Write":          func(r *mmap.Region) error { _, err := r.Write([]byte("x")); return err },
		"WriteByte":      func(r *mmap.Region) error { return r.WriteByte('x') },
		"WriteString":    func(r *mmap.Region) error { _, err := r.WriteString("x"); return err },
		"ReadFrom":       func(r *mmap.Region) error { _, err := r.ReadFrom(strings.NewReader("x")); return err },
		"ReadFrom file":  func(r *mmap.Region) error { return copyFile(t, r, source, -1) },
		"ReadFrom limit": func(r *mmap.Region) error { return copyFile(t, r, source, 10) },
		"View":           func(r *mmap.Region) error { return r.View(0, 10, func(b []byte) error { b[0]++; return nil }) },
	}
	for what, call := range calls {
		name := newFile(t, data)
		r := openRegion(t, name, os.O_RDWR, &mmap.Options{Prot: mmap.ProtRead})
		if err := call(r); !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s: %v, not EACCES", what, err)
		}
		checkBytes(t, name, data)
	}
}

// TestReleased checks what is left of released pages: shared ones are the
// descriptor's, others are gone, and no call revives either.
func TestReleased(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	for kind, r := range ctlKinds(t, 4*page) {
		if kind == "window" {
			continue // its pages begin elsewhere
		}
		want := ctlRead(t, r, make([]byte, page), page)
		if err := r.Release(page, page); errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		for _, call := range ctlCalls() {
			changes := slices.Contains([]string{"Lock", "Unlock", "Random", "DontDump"}, call.name) || call.op == "mprotect"
			if err := call.do(r, 0, mmap.ToEnd); changes && err == nil {
				t.Errorf("%s of a released page of %s memory worked", call.name, kind)
			}
		}
		if !ctlFaults(r, page) || !ctlFaults(r, 2*page-1) || ctlFaults(r, page-1) || ctlFaults(r, 2*page) {
			t.Errorf("%s memory: the released page, and it alone, must fault", kind)
		}
		got := make([]byte, page)
		n, err := r.ReadAt(got, page)
		if kind == "shared" {
			continue // discarded above: see TestReleasedFile
		}
		if n != 0 || err == nil || string(got) == want && kind != "anonymous" {
			t.Errorf("ReadAt of a released page of %s memory: %d, %v", kind, n, err)
		}
		if n, err := r.WriteAt([]byte("new"), page); n != 0 || err == nil {
			t.Errorf("WriteAt of a released page of %s memory: %d, %v", kind, n, err)
		}
	}
}

// TestReleasedFile checks that bytes of released pages are read and written by
// the descriptor, and that View says of them neither "cut" nor "forbidden".
func TestReleasedFile(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	for _, flag := range []int{os.O_RDONLY, os.O_RDWR} {
		data := pattern(4, int(4*page))
		r := openMapped(t, newFile(t, data), flag, nil)
		if err := r.Release(page/2, 2*page); errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		ctlSame(t, "released", ctlRead(t, r, make([]byte, 4*page), 0), data)
		if flag == os.O_RDWR {
			if n, err := r.WriteAt([]byte("new"), page+1); n != 3 || err != nil {
				t.Errorf("WriteAt: %d, %v", n, err)
			}
			if got := ctlRead(t, r, make([]byte, 3), page+1); got != "new" {
				t.Errorf("ReadAt after WriteAt: %q", got)
			}
		}
		var fault *mmap.FaultError
		err := r.View(0, mmap.ToEnd, func(b []byte) error { ctlSink.Store(uint32(b[page])); return nil })
		if !errors.As(err, &fault) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EACCES) || fault.Off != page {
			t.Errorf("View of a released page, flags %#x: %v", flag, err)
		}
	}
}
