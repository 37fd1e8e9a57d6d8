package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOpenFileWaits: what can be waited for has the runtime's poller, and a
// Close ends a Read of it; what cannot is in blocking mode, as os leaves it.
func TestOpenFileWaits(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	f, info, err := OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if info.Regular || info.Dir {
		t.Errorf("a FIFO is %+v", info)
	}
	if err := f.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Errorf("a FIFO has no deadline: %v", err)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read past its deadline: %v", err)
	}
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		t.Error(err)
	}
	done := make(chan error)
	go func() {
		_, err := f.Read(make([]byte, 1))
		done <- err
	}()
	f.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read beside Close: %v", err)
	}

	null, _, err := OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer null.Close()
	same, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	var modes [2]int
	for i, f := range []*os.File{null, same} {
		conn, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		conn.Control(func(fd uintptr) { modes[i], _ = unix.FcntlInt(fd, unix.F_GETFL, 0) })
	}
	if modes[0] != modes[1] {
		t.Errorf("flags of /dev/null are %#x; os leaves %#x", modes[0], modes[1])
	}
}

// TestReopenKeepsNoatime: O_NOATIME is a flag of the file opened anew too.
func TestReopenKeepsNoatime(t *testing.T) {
	for _, mode := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR} {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, mode|unix.O_NOATIME, 0)
		if err != nil {
			t.Skip(err)
		}
		defer f.Close()
		own, flag, alone, err := Reopen(f)
		if err != nil || !alone || flag != mode|unix.O_NOATIME {
			t.Fatalf("flag %#x, alone %v, %v", flag, alone, err)
		}
		defer own.Close()
		if flags, err := unix.FcntlInt(own.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NOATIME == 0 {
			t.Errorf("flags %#x, %v: O_NOATIME is gone", flags, err)
		}
	}
}
