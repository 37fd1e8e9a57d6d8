package sys

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// TestPlaceholder looks at what Revoke leaves behind: addresses that are
// taken, and a file that is free.
func TestPlaceholder(t *testing.T) {
	if !placeholders() {
		t.Skip("this system has no placeholders")
	}
	for _, kind := range []Flag{0, Private} {
		f, text := scratch(t, Granularity()+PageSize()+1, os.O_RDWR)
		for _, off := range []int{0, Granularity()} {
			b := mapped(t, f, int64(off), len(text)-off, Read, kind)
			if err := Revoke(b); err != nil {
				t.Fatal(err)
			}
			r, err := query(b)
			if err != nil || r.state != windows.MEM_RESERVE || r.size != uintptr(len(b)) {
				t.Errorf("after Revoke: %+v, %v", r, err)
			}
		}
		if err := f.Truncate(0); err != nil {
			t.Errorf("Truncate after Revoke: %v", err)
		}
	}
}

// TestNoPlaceholder plays an older system.
func TestNoPlaceholder(t *testing.T) {
	real := placeholders
	defer func() { placeholders = real }()
	placeholders = func() bool { return false }
	t.Run("MapShared", TestMapShared)
	t.Run("MapOffset", TestMapOffset)
	t.Run("MapPrivate", TestMapPrivate)
	t.Run("Revoke", TestRevoke)
	t.Run("RevokePart", TestRevokePart)
	t.Run("Protect", TestProtect)
	t.Run("ProtectRaises", TestProtectRaises)
}

// TestMapTooLong: a mapping of pages that the file has not is refused, and
// leaves the file as it was.
func TestMapTooLong(t *testing.T) {
	f, text := scratch(t, PageSize()+1, os.O_RDWR)
	for _, n := range []int{3 * PageSize(), Granularity()} {
		if b, err := Map(f.Fd(), 0, n, Read|Write, 0, 0); err == nil {
			t.Errorf("%d bytes of a file of %d were mapped", n, len(text))
			Unmap(b)
		}
	}
	if got := len(contents(t, f)); got != len(text) {
		t.Errorf("the file has %d bytes, want %d", got, len(text))
	}
}

// TestHandles counts the process's handles around calls that fail and calls
// that do not.
func TestHandles(t *testing.T) {
	f, _ := scratch(t, 100, os.O_RDONLY)
	round := func() {
		for _, p := range []Prot{Read, Read | Write, Read | Exec, Read | Write | Exec} {
			for _, kind := range []Flag{0, Private, Anonymous, SyncMap} {
				if b, err := Map(f.Fd(), 0, PageSize(), p, kind, 0); err == nil {
					Revoke(b)
					Unmap(b)
				}
			}
		}
		if own, _, _, err := Reopen(f); err == nil {
			own.Close()
		}
		if own, err := NewMemFile("name", 1); err == nil {
			own.Close()
		}
		if _, err := NewMemFile("name", -1); err == nil {
			t.Error("a file of -1 bytes")
		}
	}
	round() // what is loaded and kept at the first call is no leak
	before := handles(t)
	for range 20 {
		round()
	}
	if after := handles(t); after > before+5 {
		t.Errorf("%d handles before, %d after", before, after)
	}
}

// handles returns how many handles the process has.
func handles(t *testing.T) (n uint32) {
	t.Helper()
	ok, _, err := kernel32.NewProc("GetProcessHandleCount").Call(process, uintptr(unsafe.Pointer(&n)))
	if ok == 0 {
		t.Fatal(err)
	}
	return n
}

// TestAllocations: what hot paths call leaves nothing to the collector.
func TestAllocations(t *testing.T) {
	f, _ := scratch(t, 2*PageSize(), os.O_RDWR)
	b := mapped(t, f, 0, 2*PageSize(), Read|Write, 0)
	fd, in := f.Fd(), make([]bool, 2)
	for name, verb := range map[string]func() error{
		"Stat":           func() error { _, err := Stat(fd); return err },
		"Populate":       func() error { return Populate(b, false) },
		"Resident":       func() error { return Resident(b, in) },
		"Sync":           func() error { return Sync(fd, b) },
		"SyncFile":       func() error { return SyncFile(fd) },
		"StartWriteback": func() error { return StartWriteback(fd, 0, 1, b) },
		"Protect":        func() error { return Protect(b, Read) },
		"DiskFull":       func() error { DiskFull(fd); return nil },
	} {
		var err error
		if n := testing.AllocsPerRun(10, func() { err = errors.Join(err, verb()) }); n > 0 || err != nil {
			t.Errorf("%s allocates %v times, %v", name, n, err)
		}
	}
}

// TestRetryLocked: a flush that meets a lock of the file system is made again,
// what fails otherwise is not, and none of it says that something was lost.
func TestRetryLocked(t *testing.T) {
	calls := 0
	fails := func(n int, err error) func() error {
		calls = 0
		return func() error {
			if calls++; calls > n {
				return nil
			}
			return err
		}
	}
	if err := retryLocked(fails(3, windows.ERROR_LOCK_VIOLATION)); err != nil || calls != 4 {
		t.Errorf("three locks: %v after %d calls", err, calls)
	}
	if err := retryLocked(fails(3, windows.ERROR_DISK_FULL)); err != windows.ERROR_DISK_FULL || calls != 1 {
		t.Errorf("a full disk: %v after %d calls", err, calls)
	}
	if err := retryLocked(fails(1000, windows.ERROR_LOCK_VIOLATION)); !Transient(err) || calls != 11 {
		t.Errorf("a lock that stays: %v after %d calls", err, calls)
	}
	for err, is := range map[error]bool{
		windows.ERROR_LOCK_VIOLATION: true, windows.ERROR_INVALID_PARAMETER: true, windows.ERROR_DISK_FULL: false,
		windows.ERROR_IO_DEVICE: false, nil: false, &os.PathError{Err: windows.ERROR_ACCESS_DENIED}: true,
	} {
		if Transient(err) != is {
			t.Errorf("Transient(%v) is %t", err, !is)
		}
	}
}

// TestCloseBesideReads: a Close comes back whatever reads and writes beside it. That
// of package os in Go 1.26 does not: without the mend this waits for ever.
func TestCloseBesideReads(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for round := range 1000 {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var calls atomic.Int64
		for _, call := range []func([]byte, int64) (int, error){f.ReadAt, f.WriteAt, f.ReadAt, f.WriteAt} {
			all.Go(func() {
				for err := error(nil); err == nil; calls.Add(1) {
					_, err = call(make([]byte, 10), 5)
				}
			})
		}
		all.Go(func() {
			for calls.Load() < int64(round%16) { // then they are in the middle of it
				runtime.Gosched()
			}
			if err := Close(f, conn); err != nil {
				t.Error(err)
			}
			if err := Close(f, conn); !errors.Is(err, os.ErrClosed) {
				t.Errorf("a second Close: %v", err)
			}
		})
		all.Wait()
	}
}
