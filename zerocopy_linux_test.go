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

// openFifo opens a named pipe at both ends.
func openFifo(t *testing.T) *mmap.Region {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	return openRegion(t, name, os.O_RDWR, nil)
}

// TestWriteToPipeAfterCut: WriteTo a pipe, whose bytes the kernel takes from memory,
// asks the descriptor when the clock has fired, as all readers do.
func TestWriteToPipeAfterCut(t *testing.T) {
	needsLearning(t)
	r := openMapped(t, newFile(t, pattern(1, 20_000)), os.O_RDONLY, nil)
	readKnown(t, r)
	cutFile(t, r.Name(), 5000)
	mmap.Tick()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	go func() {
		_, _ = r.WriteTo(to)
		to.Close()
	}()
	if b, err := io.ReadAll(from); !bytes.Equal(b, pattern(1, 20_000)[:5000]) || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestReadFromZeroRegion: the zero Region is no source, and no crash.
func TestReadFromZeroRegion(t *testing.T) {
	r := openRegion(t, newFile(t, nil), os.O_RDWR, nil)
	for _, from := range []io.Reader{new(mmap.Region), &io.LimitedReader{R: new(mmap.Region), N: 5}} {
		if n, err := r.ReadFrom(from); n != 0 || !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%T: %d, %v", from, n, err)
		}
	}
}
