package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

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

// TestViewPastRoom: what grew beyond a mapping that cannot be made anew has no
// bytes to show, from the first byte on that the mapping has no room for.
func TestViewPastRoom(t *testing.T) {
	if cmd := child(t); cmd != nil {
		succeed(t, cmd)
		return
	}
	name := newFile(t, pattern(1, 5000))
	r := openMapped(t, name, os.O_RDWR, nil)
	_, n, hold := mmap.Memory(r)
	if err := setAddressLimit(&syscall.Rlimit{Cur: addressesUsed(t) + 512<<20}); err != nil {
		t.Skip("RLIMIT_AS cannot be set: ", err)
	}
	cutFile(t, name, 1<<30)
	room := int64(n)
	if _, err := r.ReadAt(make([]byte, 1), 1<<30-1); err != nil { // learns the size
		t.Fatal(err)
	}
	for _, c := range []struct {
		off, n int64
		there  bool
	}{{0, room, true}, {room - 1, 1, true}, {room - 1, 2, false}, {room, 1, false}, {1<<30 - 1, 1, false}, {0, room + 1, false}} {
		err := r.View(c.off, c.n, func(b []byte) error { keep(uint64(b[len(b)-1])); return nil })
		if (err == nil) != c.there {
			t.Errorf("View(%d, %d): %v", c.off, c.n, err)
		}
	}
	runtime.KeepAlive(hold)
}

// TestViewDirect: a View of a file that is read with O_DIRECT shows a copy, whatever
// the range.
func TestViewDirect(t *testing.T) {
	data := pattern(1, 20_000)
	r, err := mmap.OpenFile(newFile(t, data), os.O_RDONLY|syscall.O_DIRECT, 0, nil)
	if err != nil {
		t.Skip("no O_DIRECT: ", err)
	}
	defer r.Close()
	for _, c := range [][2]int64{{0, mmap.ToEnd}, {5, 10}, {4096, 4096}, {19_999, 1}, {4095, 15_905}} {
		off, end := c[0], c[0]+c[1]
		if c[1] == mmap.ToEnd {
			end = int64(len(data))
		}
		err := r.View(c[0], c[1], func(b []byte) error {
			if !bytes.Equal(b, data[off:end]) {
				t.Errorf("View(%d, %d) shows other bytes", c[0], c[1])
			}
			return nil
		})
		if err != nil {
			t.Errorf("View(%d, %d): %v", c[0], c[1], err)
		}
	}
	if err := r.View(19_999, 2, func([]byte) error { return nil }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("past the end: %v", err)
	}
}
