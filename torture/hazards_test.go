//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// TestHazardTable: every test that hazards.md names exists, every part too, and
// every row has one or a reason.
func TestHazardTable(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{"*_test.go", "../*_test.go", "../internal/*/*_test.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(b)
		}
	}
	text, err := os.ReadFile("hazards.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(?:Test|Example)[A-Z]\w+`)
	part := regexp.MustCompile(`torture (\w+)`)
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !regexp.MustCompile(`\d`).MatchString(cells[1]) {
			continue
		}
		rows++
		found := strings.Contains(cells[3], "none")
		for _, name := range named.FindAllString(cells[3], -1) {
			found = true
			if !strings.Contains(source.String(), "func "+name+"(") {
				t.Errorf("row %s: there is no %s", strings.TrimSpace(cells[1]), name)
			}
		}
		for _, m := range part.FindAllStringSubmatch(cells[3], -1) {
			found = true
			if _, err := (options{parts: m[1]}).chosen(); err != nil {
				t.Errorf("row %s: %v", strings.TrimSpace(cells[1]), err)
			}
		}
		if !found {
			t.Errorf("row %s: neither a test nor a reason", strings.TrimSpace(cells[1]))
		}
	}
	if rows < 65+20 {
		t.Errorf("only %d rows", rows)
	}
}

// newRegion makes a file of so many bytes and opens it.
func newRegion(t *testing.T, dir string, size int) *mmap.Region {
	t.Helper()
	f, err := os.CreateTemp(dir, "hazard")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.Remove(f.Name()) })
	defer f.Close()
	if _, err := f.Write(fill(1, size)); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.OpenFile(f.Name(), os.O_RDWR, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// seen keeps the compiler from leaving a load out.
var seen byte

// touch reports whether a byte can be read.
func touch(p *byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil && ok }()
	seen = *p
	return true
}

// TestHazardTail: what was stored behind the end of a file on tmpfs is not
// there when the file grows.
func TestHazardTail(t *testing.T) {
	r := newRegion(t, "/dev/shm", 8000)
	b := r.Bytes()
	if err := r.Truncate(5000); err != nil {
		t.Fatal(err)
	}
	copy(b[5000:6000], bytes.Repeat([]byte{'Z'}, 1000)) // still in the last page
	for what, grow := range map[string]func() error{
		"Truncate": func() error { return r.Truncate(7000) },
		"WriteAt":  func() error { _, err := r.WriteAt([]byte{1}, 7500); return err },
	} {
		if err := grow(); err != nil {
			t.Fatal(what, err)
		}
		got := make([]byte, 1000)
		if _, err := r.ReadAt(got, 5000); err != nil || bytes.ContainsRune(got, 'Z') {
			t.Errorf("%s: %v; old bytes: %v", what, err, bytes.ContainsRune(got, 'Z'))
		}
	}
}

// TestHazardSealedMapping: memory that mseal(2) made permanent cannot be
// revoked. Close says so, and the Region is closed all the same.
func TestHazardSealedMapping(t *testing.T) {
	r := newRegion(t, t.TempDir(), 8192)
	b := r.Bytes()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if _, _, errno := unix.Syscall(unix.SYS_MSEAL, at, 8192, 0); errno != 0 {
		t.Skip("mseal: ", errno)
	}
	if err := r.Close(); !errors.Is(err, syscall.EPERM) {
		t.Errorf("Close: %v", err)
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("ReadAt: %v", err)
	}
}

// TestHazardLockedAll: under mlockall(MCL_FUTURE) a mapping over another one
// fails. Close revokes the memory all the same, or says that it could not.
func TestHazardLockedAll(t *testing.T) {
	r := newRegion(t, t.TempDir(), 8192)
	b := r.Bytes()
	if err := unix.Mlockall(unix.MCL_FUTURE); err != nil {
		t.Skip("mlockall: ", err)
	}
	defer unix.Munlockall()
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err == nil && touch(&b[0]) {
		t.Error("Close says nil, and the memory can be read")
	}
}

// TestHazardSyncWrites: with O_SYNC a write is on the disk when it returns, also
// when the place was written before and is mapped.
func TestHazardSyncWrites(t *testing.T) {
	var fs unix.Statfs_t
	dir := t.TempDir()
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skip("tmpfs counts no dirty pages: ", err)
	}
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, fill(1, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.OpenFile(name, os.O_RDWR|os.O_SYNC, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := errors.Join(r.Flush(), r.View(0, 1, func([]byte) error { return nil })); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := r.WriteAt(fill(2, 100), int64(i*4000)); err != nil {
			t.Fatal(err)
		}
		st, err := r.CacheStat(0, mmap.ToEnd)
		if err != nil {
			t.Skip(err)
		}
		if st.Dirty != 0 {
			t.Fatalf("after write %d, %d pages are dirty", i, st.Dirty)
		}
	}
}

// faultyText is a Stringer whose text is cut off.
type faultyText struct{ b []byte }

func (s faultyText) String() string { return string(s.b) }

// TestHazardRecoveringCallback: fmt recovers from what String methods do, and
// so hides the fault. The Region goes on, and its next View tells.
func TestHazardRecoveringCallback(t *testing.T) {
	r := newRegion(t, t.TempDir(), 100_000)
	var text string
	err := r.View(0, mmap.ToEnd, func(b []byte) error {
		if err := os.Truncate(r.Name(), 0); err != nil {
			return err
		}
		text = fmt.Sprint(faultyText{b})
		return nil
	})
	if err != nil || !strings.Contains(text, "PANIC") {
		t.Errorf("%v, %.60q", err, text)
	}
	if n, err := r.ReadAt(make([]byte, 10), 50_000); n != 0 || err != io.EOF {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
}

// TestHazardSeekInCallback: a callback of SyscallConn may use the Region.
func TestHazardSeekInCallback(t *testing.T) {
	r := newRegion(t, t.TempDir(), 100)
	conn, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- conn.Read(func(uintptr) bool {
			_, err = r.Seek(10, io.SeekStart)
			return true
		})
	}()
	select {
	case e := <-done:
		if e = errors.Join(e, err); e != nil {
			t.Error(e)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("deadlock")
	}
}
