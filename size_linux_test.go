package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// TestTruncateToKnownSize: a Truncate to the size that the Region knows makes a
// file longer that somebody cut, and what was stored past its end is zero then.
func TestTruncateToKnownSize(t *testing.T) {
	r, f := inMemory(t, 100)
	b := r.Bytes()
	if err := r.Truncate(50); err != nil { // the Region learns what its file keeps
		t.Fatal(err)
	}
	if err := f.Truncate(40); err != nil {
		t.Fatal(err)
	}
	copy(b[40:60], bytes.Repeat([]byte{9}, 20))
	if err := r.Truncate(50); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 10)
	if n, err := f.ReadAt(got, 40); n != 10 || !bytes.Equal(got, make([]byte, 10)) {
		t.Errorf("%d, %v: old bytes are back: %v", n, err, got)
	}
}

// TestTruncateRefused: after a Truncate that the system refused, Flush still
// misses what was stored, or could have been, if somebody cuts the file.
func TestTruncateRefused(t *testing.T) {
	if os.Getenv("MMAP_TEST_EMULATED") != "" {
		t.Skip("emulators pass the flags of a file on in another width")
	}
	for what, use := range map[string]func(r *mmap.Region){
		"stored":     func(r *mmap.Region) { storeHot(t, r, make([]byte, 10), 4000) },
		"handed out": func(r *mmap.Region) { keep(uint64(len(r.Bytes()))) },
	} {
		name := newFile(t, pattern(1, 5000))
		r := openMapped(t, name, os.O_RDWR, nil)
		use(r)
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err == nil {
			const appendOnly = 0x20 // FS_APPEND_FL
			err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|appendOnly)
		}
		if err != nil {
			t.Skip("a file cannot be made one for appending: ", err)
		}
		refused := r.Truncate(100)
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(refused, syscall.EPERM) {
			t.Fatalf("%s: Truncate of such a file: %v", what, refused)
		}
		cutFile(t, name, 4000)
		if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: Flush: %v", what, err)
		}
	}
}

// TestGrowthBehindEOFPage: when a file that was cut grows again, by a write behind its end
// or by Allocate, it shows zeros, whatever was stored behind the end.
func TestGrowthBehindEOFPage(t *testing.T) {
	for _, off := range []int64{50, 51, 55, 90} {
		for what, grow := range map[string]func(r *mmap.Region) error{
			"WriteAt":  func(r *mmap.Region) error { _, err := r.WriteAt(make([]byte, 10), off); return err },
			"Allocate": func(r *mmap.Region) error { return r.Allocate(off, 10) },
		} {
			r, f := inMemory(t, 100)
			b := r.Bytes()
			if err := r.Truncate(50); err != nil {
				t.Fatal(err)
			}
			copy(b[50:], bytes.Repeat([]byte{9}, 50))
			if err := grow(r); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, off+10-50)
			if n, err := f.ReadAt(got, 50); n != len(got) || err != nil || !bytes.Equal(got, make([]byte, n)) {
				t.Errorf("%s at %d: %v, %v", what, off, got[:n], err)
			}
		}
	}
}

// TestCloseZeroesEOFPage: what was stored past the end of a file that somebody
// else cut does not show when the file grows after Close.
func TestCloseZeroesEOFPage(t *testing.T) {
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

// TestStatTellsUnmapped: Stat publishes the size of a Region that is never mapped too.
func TestStatTellsUnmapped(t *testing.T) {
	for _, flag := range []int{os.O_RDWR, os.O_WRONLY} {
		r := openRegion(t, newFile(t, pattern(1, 5000)), flag, &mmap.Options{Access: mmap.AccessDescriptor})
		cutFile(t, r.Name(), 100)
		if info, err := r.Stat(); err != nil || info.Size() != 100 || r.Size() != 100 {
			t.Errorf("flag %#x: Stat %v, Size %d", flag, err, r.Size())
		}
	}
}
