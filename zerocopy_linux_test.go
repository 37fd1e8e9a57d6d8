package mmap_test

import (
	"bytes"
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
