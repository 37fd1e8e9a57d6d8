package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/difftest"
)

// pageAligned returns n bytes that begin at a page.
func pageAligned(t *testing.T, n int) []byte {
	t.Helper()
	r, err := mmap.Anonymous(int64(n), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r.Bytes()
}

// TestDirectOffset: with O_DIRECT and an Offset, or a window, the cursor counts
// from the Region's first byte.
func TestDirectOffset(t *testing.T) {
	const block = 4096
	data := append(bytes.Repeat([]byte("A"), block), bytes.Repeat([]byte("B"), 3*block)...)
	for what, opts := range map[string]mmap.Options{"offset": {Offset: block}, "window": {Offset: block, Length: 2 * block}} {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, data)
			r, err := mmap.OpenFile(name, os.O_RDWR|unix.O_DIRECT, 0, &opts)
			if errors.Is(err, syscall.EINVAL) {
				t.Skip("no O_DIRECT here: ", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			at, rd := pageAligned(t, block), pageAligned(t, block)
			if n, err := r.ReadAt(at, 0); n != block || err != nil {
				t.Fatalf("ReadAt = %d, %v", n, err)
			}
			if n, err := r.Read(rd); n != block || err != nil || !bytes.Equal(at, rd) || at[0] != 'B' {
				t.Errorf("Read = %d, %v, %q; ReadAt gave %q", n, err, rd[:1], at[:1])
			}
			if end, err := r.Seek(0, io.SeekEnd); end != r.Size() || err != nil {
				t.Errorf("Seek to the end = %d, %v; Size is %d", end, err, r.Size())
			}
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			copy(rd, bytes.Repeat([]byte("W"), block))
			if n, err := r.Write(rd); n != block || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
			if at, err := r.Seek(0, io.SeekCurrent); at != block || err != nil {
				t.Errorf("the cursor is at %d, %v", at, err)
			}
			got, err := os.ReadFile(name)
			if err != nil || got[0] != 'A' || got[block] != 'W' || got[2*block] != 'B' {
				t.Errorf("the file is %q %q %q, %v", got[0], got[block], got[2*block], err)
			}
		})
	}
}

// TestMapDuplicate: where Map gets a duplicate only, the cursor is at 0 and the
// Region's own, whatever the file was opened with, and the file's offset stays.
func TestMapDuplicate(t *testing.T) {
	cmd := child(t)
	if cmd == nil {
		for i, flag := range []int{os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_APPEND} {
			mapDuplicate(t, os.NewFile(uintptr(3+i), fmt.Sprintf("given with %#x", flag)), flag)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give a file to somebody who may not open it")
	}
	for _, flag := range []int{os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_APPEND} {
		name := newFile(t, []byte("0123456789abcdef"))
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	asNobody(t, cmd)
	succeed(t, cmd)
}

// asNobody makes cmd run as a user who owns nothing.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	exe, err := os.ReadFile(cmd.Path)
	if err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(dir, "test")
	if err := os.WriteFile(cmd.Path, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Args[0] = cmd.Path
	cmd.Dir = dir
	for i, e := range cmd.Env {
		if strings.HasPrefix(e, "TMP") || strings.HasPrefix(e, "TEMP") {
			cmd.Env[i] = e[:strings.Index(e, "=")+1] + dir
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// mapDuplicate is TestMapDuplicate in the child process, for one file.
func mapDuplicate(t *testing.T, f *os.File, flag int) {
	const start = 5
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	unmoved := func(after string) {
		t.Helper()
		if at, err := f.Seek(0, io.SeekCurrent); at != start || err != nil {
			t.Errorf("%s: %s moved the file's offset to %d, %v", f.Name(), after, at, err)
		}
	}
	r, err := mmap.Map(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	unmoved("Map")
	if _, err := r.SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%s: it is no duplicate: %v", f.Name(), err)
	}
	p := make([]byte, 4)
	n, err := r.Read(p)
	if flag&os.O_WRONLY == 0 && (string(p[:n]) != "0123" || err != nil) || flag&os.O_WRONLY != 0 && !errors.Is(err, syscall.EBADF) {
		t.Errorf("%s: Read = %q, %v", f.Name(), p[:n], err)
	}
	unmoved("Read")
	if at, err := r.Seek(2, io.SeekStart); at != 2 || err != nil {
		t.Errorf("%s: Seek = %d, %v", f.Name(), at, err)
	}
	unmoved("Seek")
	if at, err := r.Seek(0, io.SeekEnd); at != 16 || err != nil {
		t.Errorf("%s: Seek to the end = %d, %v", f.Name(), at, err)
	}
	unmoved("Seek to the end")
	n, err = r.Write([]byte("xy"))
	switch {
	case flag&(os.O_RDWR|os.O_WRONLY) == 0:
		if !errors.Is(err, syscall.EBADF) {
			t.Errorf("%s: Write = %d, %v", f.Name(), n, err)
		}
	case flag&os.O_APPEND != 0:
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: Write = %d, %v", f.Name(), n, err)
		}
	case n != 2 || err != nil:
		t.Errorf("%s: Write = %d, %v", f.Name(), n, err)
	}
	unmoved("Write")
	_, _ = r.WriteTo(io.Discard)
	_, _ = r.ReadFrom(strings.NewReader("more"))
	_, _ = r.ReadByte()
	unmoved("the rest")
}

// TestMapKeepsLocks: a Map that is refused for its options leaves the record
// locks of the process alone, which closing any descriptor of the file drops.
func TestMapKeepsLocks(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 10_000))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 100}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
		t.Skip(err)
	}
	if !locked(t, name) {
		t.Skip("nobody sees the lock")
	}
	huge := int64(1) << 61
	for what, opts := range map[string]mmap.Options{
		"a negative Offset": {Offset: -1},
		"Share":             {Share: true},
		"a window":          {Length: 20_000, Private: true},
		"MapSync":           {MapSync: true},
		"two":               {Lock: true, Access: mmap.AccessDescriptor},
		"a huge window":     {Length: huge, Lock: true},
	} {
		r, err := mmap.Map(f, &opts)
		if err == nil {
			r.Close()
			t.Fatalf("%s: it opens", what)
		}
		if !locked(t, name) {
			t.Fatalf("%s: the lock is gone (%v)", what, err)
		}
	}
}

// locked reports whether another process finds the file's first byte locked:
// /proc/locks has no names, but the number of the file.
func locked(t *testing.T, name string) bool {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Skip(err)
	}
	return strings.Contains(string(text), fmt.Sprintf(":%d 0 ", st.Ino))
}

// TestMapPathOnly: a descriptor that only names a file is refused, and so is
// opening one.
func TestMapPathOnly(t *testing.T) {
	name := newFile(t, []byte("data"))
	f, err := os.OpenFile(name, unix.O_PATH, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	before := countResources()
	r, err := mmap.Map(f, nil)
	refused(t, r, err, "map", name, syscall.EINVAL, "O_PATH")
	r, err = mmap.OpenFile(name, unix.O_PATH, 0, nil)
	refused(t, r, err, "open", name, syscall.EINVAL, "O_PATH")
	if lost := before.leaked(); lost != "" {
		t.Errorf("left over:\n%s", lost)
	}
}

// TestDeviceOffsets: a device without a size takes Offset and Length, and is
// read and written at its own offsets; the offset of a file that is given to
// Map stays.
func TestDeviceOffsets(t *testing.T) {
	f, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	opts := &mmap.Options{Offset: 100, Length: 50}
	opened := openRegion(t, "/dev/zero", os.O_RDWR, opts)
	mapped, err := mmap.Map(f, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer mapped.Close()
	for _, r := range []*mmap.Region{opened, mapped} {
		p := bytes.Repeat([]byte("x"), 80)
		if n, err := r.Read(p[:30]); n != 30 || err != nil {
			t.Errorf("Read = %d, %v", n, err)
		}
		if n, err := r.Read(p); n != 20 || err != nil {
			t.Errorf("Read over the end = %d, %v", n, err)
		}
		if n, err := r.Read(p); n != 0 || err != io.EOF {
			t.Errorf("Read at the end = %d, %v", n, err)
		}
		if n, err := r.ReadAt(p, 10); n != 40 || err != io.EOF {
			t.Errorf("ReadAt = %d, %v", n, err)
		}
		if n, err := r.WriteAt(p, 10); n != 40 || err != io.ErrShortWrite {
			t.Errorf("WriteAt = %d, %v", n, err)
		}
		if at, err := r.Seek(-10, io.SeekCurrent); at != 40 || err != nil {
			t.Errorf("Seek = %d, %v", at, err)
		}
		if n, err := r.Write(p[:5]); n != 5 || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
		if _, err := r.SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("SyscallConn: %v", err)
		}
	}
	ro := openRegion(t, "/dev/zero", os.O_RDONLY, nil)
	if err := ro.View(5, 100, func(b []byte) error {
		if !bytes.Equal(b, make([]byte, 100)) {
			t.Errorf("View shows %q", b)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := ro.View(0, mmap.ToEnd, func([]byte) error { t.Error("it has an end"); return nil }); !errors.Is(err, mmap.ErrNotMapped) {
		t.Errorf("View to the end: %v", err)
	}
}

// TestGeneratedWindow: Offset works on what the kernel makes up as it is read.
func TestGeneratedWindow(t *testing.T) {
	want, err := os.ReadFile("/proc/version")
	if err != nil || len(want) < 20 {
		t.Skip(err)
	}
	r := openRegion(t, "/proc/version", os.O_RDONLY, &mmap.Options{Offset: 10})
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want[10:]) {
		t.Errorf("%q, %v", got, err)
	}
	if err := r.View(0, mmap.ToEnd, func(b []byte) error {
		if !bytes.Equal(b, want[10:]) {
			t.Errorf("View shows %q", b)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestMatrixDevices: pipes, devices and what the kernel makes up give for the
// same calls what an os.File gives, with every option and flag, or are refused
// by name.
func TestMatrixDevices(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	m := deviceMatrix{T: t}
	for _, name := range []string{"/dev/null", "/dev/zero", "/dev/full", fifo, "/proc/version", "/proc/self/limits", "/sys/kernel/mm/transparent_hugepage/enabled"} {
		for _, flag := range difftest.Flags() {
			if flag&(os.O_CREATE|os.O_TRUNC) != 0 || name == fifo && flag&os.O_RDWR == 0 {
				continue
			}
			for _, o := range difftest.Options() {
				m.cell(name, flag, o, false)
				m.cell(name, flag, o, true)
			}
		}
	}
	t.Logf("%d combinations played, %d were refused", m.played, m.refused)
	if m.played < 400 || m.refused < 200 {
		t.Error("that is not what it should be")
	}
}

// deviceMatrix is the run of TestMatrixDevices.
type deviceMatrix struct {
	*testing.T
	played, refused int
}

// cell opens name with one option, by OpenFile or by Map.
func (m *deviceMatrix) cell(name string, flag int, o difftest.Option, byMap bool) {
	opts := new(mmap.Options)
	o.Set(opts)
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return // not with this flag, or not by us
	}
	defer f.Close()
	what := fmt.Sprintf("%s, %#x, %s, Map %v", name, flag, o.Name, byMap)
	var r *mmap.Region
	if byMap {
		r, err = mmap.Map(f, opts)
	} else {
		r, err = mmap.OpenFile(name, flag, 0, opts)
	}
	if err != nil {
		m.refused++
		if names := difftest.OptionNames(opts); len(names) != 1 || !strings.Contains(err.Error(), names[0]) {
			m.Errorf("%s: %q does not name the option", what, err)
		}
		return
	}
	defer r.Close()
	m.played++
	if opts.Offset == 0 && opts.Length == 0 { // else see TestDeviceOffsets
		playDevice(m.T, what, r, f, byMap)
	}
}

// deviceUser is what playDevice uses of a Region and of an os.File.
type deviceUser interface {
	cursorUser
	io.ReaderAt
	io.WriterAt
}

// deviceResult is what one call gives.
type deviceResult struct {
	n    int64
	err  string
	data string
}

// deviceCalls are what playDevice plays, in this order.
var deviceCalls = []func(u deviceUser) deviceResult{
	func(u deviceUser) deviceResult {
		n, err := u.Write([]byte("0123456789"))
		return gave(int64(n), err, nil)
	},
	func(u deviceUser) deviceResult { return readDevice(u, 7) },
	func(u deviceUser) deviceResult { n, err := u.Seek(3, io.SeekStart); return gave(n, err, nil) },
	func(u deviceUser) deviceResult { return readDevice(u, 20) },
	func(u deviceUser) deviceResult { n, err := u.Seek(-2, io.SeekCurrent); return gave(n, err, nil) },
	func(u deviceUser) deviceResult { return readDevice(u, 1<<16) },
	func(u deviceUser) deviceResult { n, err := u.Seek(0, io.SeekEnd); return gave(n, err, nil) },
	func(u deviceUser) deviceResult { n, err := u.Seek(0, io.SeekStart); return gave(n, err, nil) },
	func(u deviceUser) deviceResult {
		p := make([]byte, 5)
		n, err := u.ReadAt(p, 2)
		return gave(int64(n), err, p[:n])
	},
	func(u deviceUser) deviceResult {
		n, err := u.WriteAt([]byte("ab"), 4)
		return gave(int64(n), err, nil)
	},
	func(u deviceUser) deviceResult {
		n, err := u.ReadFrom(strings.NewReader("copied"))
		return gave(n, err, nil)
	},
}

// deviceSeeks are those of deviceCalls that tell where the cursor is.
var deviceSeeks = map[int]bool{2: true, 4: true, 6: true, 7: true}

// gave is the result of a call.
func gave(n int64, err error, data []byte) deviceResult {
	r := deviceResult{n: n, data: string(data)}
	if err != nil {
		r.err = err.Error()
	}
	return r
}

// readDevice reads n bytes. A read of /dev/zero and its like ends at a signal, of
// which the Go runtime sends itself some, after a whole number of pages.
func readDevice(u deviceUser, n int) deviceResult {
	p := make([]byte, n)
	got, err := u.Read(p)
	for err == nil && got > 0 && got < n && got%os.Getpagesize() == 0 {
		var more int
		more, err = u.Read(p[got:])
		got += more
	}
	return gave(int64(got), err, p[:got])
}

// playDevice makes the same calls on both. Of a FIFO both are the same one, so
// there what one writes the other reads.
// The Seek of a device leads nowhere, which a Region that has but a duplicate
// does not learn.
func playDevice(t *testing.T, what string, r *mmap.Region, f *os.File, byMap bool) {
	t.Helper()
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		for _, ends := range [][2]deviceUser{{r, f}, {f, r}, {r, r}} {
			if n, err := ends[0].Write([]byte("through")); n != 7 || err != nil {
				t.Errorf("%s: Write = %d, %v", what, n, err)
			}
			if got := readDevice(ends[1], 100); got != gave(7, nil, []byte("through")) {
				t.Errorf("%s: Read gives %+v", what, got)
			}
		}
		return
	}
	for step, call := range deviceCalls {
		if _, err := r.SyscallConn(); byMap && err != nil && deviceSeeks[step] {
			continue
		}
		if got, want := call(r), call(f); got != want {
			t.Errorf("%s: call %d: %+v; os.File: %+v", what, step, got, want)
		}
	}
}
