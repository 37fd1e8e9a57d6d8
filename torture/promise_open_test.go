//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// promiseOddFile is a file of the kinds that only a file system of one's own has.
type promiseOddFile struct {
	fs.Inode
	data  []byte
	size  uint64 // in its attributes
	flags uint32 // of the reply to OPEN
	most  int    // up to how many bytes one READ returns; 0: all
}

// The files of the server, by name.
func oddFiles() map[string]*promiseOddFile {
	data := oddBytes(20_000)
	return map[string]*promiseOddFile{
		"plain":       {data: data, size: 20_000},
		"nonseekable": {data: data, size: 20_000, flags: fuse.FOPEN_NONSEEKABLE},
		"short":       {data: data, size: 20_000, flags: fuse.FOPEN_DIRECT_IO, most: 10},
		"direct":      {data: data, size: 20_000, flags: fuse.FOPEN_DIRECT_IO},
		"sizeless":    {data: data[:5000], flags: fuse.FOPEN_DIRECT_IO},
		"empty":       {flags: fuse.FOPEN_DIRECT_IO},
	}
}

// oddBytes returns n bytes that tell where they are.
func oddBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7/3)%250 + 1
	}
	return b
}

// Getattr implements [fs.NodeGetattrer].
func (f *promiseOddFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, f.size
	return 0
}

// Setattr implements [fs.NodeSetattrer].
func (f *promiseOddFile) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

// Open implements [fs.NodeOpener].
func (f *promiseOddFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, f.flags, 0
}

// Read implements [fs.NodeReader].
func (f *promiseOddFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if f.most > 0 {
		dest = dest[:min(len(dest), f.most)]
	}
	from := min(int(off), len(f.data))
	return fuse.ReadResultData(f.data[from:min(from+len(dest), len(f.data))]), 0
}

// oddServer names the directory that a child process is to serve.
const oddServer = "MMAP_PROMISE_OPEN_DIR"

// TestPromiseOpenServer is the server's process: a fault that waits in the
// process under test must not stop its own server.
func TestPromiseOpenServer(t *testing.T) {
	dir := os.Getenv(oddServer)
	if dir == "" {
		t.Skip("a server, started by other tests")
	}
	root := new(fs.Inode)
	server, err := fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "odd"},
		OnAdd: func(ctx context.Context) {
			for name, f := range oddFiles() {
				root.AddChild(name, root.NewPersistentInode(ctx, f, fs.StableAttr{Mode: syscall.S_IFREG}), false)
			}
		},
	})
	if err != nil {
		fmt.Println("no mount:", err)
		os.Exit(0)
	}
	fmt.Println("mounted")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
	_ = server.Unmount()
	os.Exit(0)
}

// oddMount starts the server and returns its directory, or skips the test.
func oddMount(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	promiseServe(t, dir, "^TestPromiseOpenServer$", oddServer+"="+dir)
	return dir
}

// promiseServe starts a child process that runs one test, which mounts dir, says so, and
// ends when its standard input does. Where it cannot mount, the test is skipped.
func promiseServe(t *testing.T, dir, test, env string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run="+test)
	cmd.Env = append(os.Environ(), env)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("no child process: ", err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
		_ = unix.Unmount(dir, unix.MNT_DETACH) // if it did not
	})
	answer := make([]byte, 100)
	n, _ := out.Read(answer)
	if !strings.HasPrefix(string(answer[:n]), "mounted") {
		t.Skipf("no FUSE file system: %s", answer[:n])
	}
}

// TestPromiseOddReads: what os.File reads and where it ends up, of files that
// cannot be sought, that read short, that have no size or no shared mappings.
func TestPromiseOddReads(t *testing.T) {
	dir := oddMount(t)
	for name := range oddFiles() {
		for _, opts := range []*mmap.Options{nil, {Access: mmap.AccessDescriptor}, {Populate: true}} {
			t.Run(fmt.Sprintf("%s/%+v", name, opts), func(t *testing.T) {
				name := filepath.Join(dir, name)
				f, err := os.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				opened, err := mmap.OpenFile(name, os.O_RDONLY, 0, opts)
				if err != nil {
					t.Fatal(err)
				}
				defer opened.Close()
				given, err := os.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				mapped, err := mmap.Map(given, opts)
				given.Close()
				if err != nil {
					t.Fatal(err)
				}
				defer mapped.Close()
				for step := range 40 {
					want := oddCall(f, step)
					for _, r := range []*mmap.Region{opened, mapped} {
						if got := oddCall(r, step); got != want {
							t.Fatalf("step %d: %s; os.File: %s", step, got, want)
						}
					}
				}
			})
		}
	}
}

// oddCall is one call of a play, and what it gave.
func oddCall(u interface {
	io.ReadSeeker
	io.ReaderAt
	io.WriterTo
}, step int) string {
	text := func(n int64, err error, b []byte) string {
		if err != nil && err != io.EOF {
			err = errors.Unwrap(err)
		}
		return fmt.Sprintf("%d, %v, %x", n, err, b)
	}
	switch step % 8 {
	case 1, 5:
		n, err := u.Seek(int64(step*37), io.SeekStart)
		return text(n, err, nil)
	case 3:
		p := make([]byte, step)
		n, err := u.ReadAt(p, int64(step))
		return text(int64(n), err, p[:n])
	case 6:
		if step > 30 {
			var b bytes.Buffer
			n, err := u.WriteTo(&b)
			return text(n, err, b.Bytes())
		}
		n, err := u.Seek(-3, io.SeekCurrent)
		return text(n, err, nil)
	default:
		p := make([]byte, 10+step*20)
		n, err := u.Read(p)
		return text(int64(n), err, p[:n])
	}
}

// TestPromiseOddViews: where mappings cannot be shared a Region open for
// reading maps privately, for View and Bytes, and reads by the descriptor; what
// has no size shows a copy; and what cannot be promised is refused.
func TestPromiseOddViews(t *testing.T) {
	dir := oddMount(t)
	for name, want := range map[string][]byte{"direct": oddBytes(20_000), "plain": oddBytes(20_000), "nonseekable": oddBytes(20_000), "sizeless": oddBytes(20_000)[:5000], "empty": {}} {
		r, err := mmap.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		err = r.View(0, mmap.ToEnd, func(b []byte) error {
			if !bytes.Equal(b, want) {
				t.Errorf("%s: View shows %d bytes that differ", name, len(b))
			}
			return nil
		})
		switch {
		case name == "nonseekable":
			if !errors.Is(err, mmap.ErrNotMapped) || !errors.Is(r.Mapped(), mmap.ErrNotMapped) {
				t.Errorf("%s: View: %v; Mapped: %v", name, err, r.Mapped())
			}
		case err != nil:
			t.Errorf("%s: View: %v", name, err)
		case name == "direct" || name == "plain":
			if !bytes.Equal(r.Bytes(), want) || r.Mapped() != nil {
				t.Errorf("%s: %d Bytes; Mapped: %v", name, len(r.Bytes()), r.Mapped())
			}
		case name == "sizeless":
			if err := r.Mapped(); !errors.Is(err, mmap.ErrNotMapped) || r.Bytes() != nil {
				t.Errorf("%s: Mapped: %v", name, err)
			}
		}
	}
	for _, c := range []struct {
		name string
		flag int
		opts mmap.Options
		says string
	}{
		{"direct", os.O_RDONLY, mmap.Options{Access: mmap.AccessMemory}, "AccessMemory"},
		{"direct", os.O_RDWR, mmap.Options{Lock: true}, "Lock"},
		{"nonseekable", os.O_RDONLY, mmap.Options{Private: true}, "Private"},
		{"sizeless", os.O_RDONLY, mmap.Options{Private: true}, "Private"},
		{"sizeless", os.O_RDONLY, mmap.Options{Access: mmap.AccessMemory}, "AccessMemory"},
	} {
		name := filepath.Join(dir, c.name)
		r, err := mmap.OpenFile(name, c.flag, 0, &c.opts)
		if err == nil {
			r.Close()
		}
		if !errors.Is(err, mmap.ErrNotMapped) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s with %s: %v", c.name, c.says, err)
		}
	}
	// A writable one must not be mapped privately: its stores would be lost.
	rw, err := mmap.OpenFile(filepath.Join(dir, "direct"), os.O_RDWR, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rw.Close()
	if err := rw.View(0, 1, func([]byte) error { return nil }); !errors.Is(err, mmap.ErrNotMapped) || rw.Bytes() != nil {
		t.Errorf("writable: View: %v", err)
	}
}

// TestPromiseBlockDevice: a block device is a file of the device's size, which
// takes Offset and Length, is mapped, and does not grow.
func TestPromiseBlockDevice(t *testing.T) {
	const size = 4 << 20
	backing := filepath.Join(t.TempDir(), "disk")
	data := oddBytes(size)
	if err := os.WriteFile(backing, data, 0o600); err != nil {
		t.Fatal(err)
	}
	name := promiseLoop(t, backing)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for what, open := range map[string]func(opts *mmap.Options) (*mmap.Region, error){
		"OpenFile": func(opts *mmap.Options) (*mmap.Region, error) { return mmap.OpenFile(name, os.O_RDWR, 0, opts) },
		"Map":      func(opts *mmap.Options) (*mmap.Region, error) { return mmap.Map(f, opts) },
	} {
		r, err := open(nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if r.Size() != size || !bytes.Equal(r.Bytes(), data) {
			t.Errorf("%s: %d bytes, and %d in memory; or they differ", what, r.Size(), len(r.Bytes()))
		}
		if n, err := r.WriteAt([]byte("stored"), 12_345); n != 6 || err != nil {
			t.Errorf("%s: WriteAt = %d, %v", what, n, err)
		}
		copy(data[12_345:], "stored")
		p := make([]byte, 6)
		if _, err := f.ReadAt(p, 12_345); err != nil || string(p) != "stored" {
			t.Errorf("%s: another descriptor reads %q, %v", what, p, err)
		}
		n, err := r.WriteAt(make([]byte, 10), size-4)
		wantN, wantErr := f.WriteAt(make([]byte, 10), size-4)
		if n != wantN || fmt.Sprint(err) != fmt.Sprint(wantErr) || r.Size() != size {
			t.Errorf("%s: WriteAt over the end = %d, %v; os.File: %d, %v; Size %d", what, n, err, wantN, wantErr, r.Size())
		}
		clear(data[size-4:])
		if n, err := r.ReadAt(make([]byte, 10), size-4); n != 4 || err != io.EOF {
			t.Errorf("%s: ReadAt over the end = %d, %v", what, n, err)
		}
		if at, err := r.Seek(0, io.SeekEnd); at != size || err != nil {
			t.Errorf("%s: Seek to the end = %d, %v", what, at, err)
		}
		if err := r.Truncate(size / 2); fmt.Sprint(err) != fmt.Sprint(f.Truncate(size/2)) || r.Size() != size {
			t.Errorf("%s: Truncate: %v; Size %d", what, err, r.Size())
		}
		if err := r.Flush(); err != nil {
			t.Errorf("%s: Flush: %v", what, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		part, err := open(&mmap.Options{Offset: 1000, Length: 5000})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, data[1000:6000]) || !bytes.Equal(part.Bytes(), data[1000:6000]) {
			t.Errorf("%s: a window gives %d bytes, %v", what, len(got), err)
		}
		part.Close()
		if r, err := open(&mmap.Options{Offset: size - 10, Length: 20}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: a window past the end of the device: %v, %v", what, r, err)
		}
	}
	if at, err := f.Seek(0, io.SeekCurrent); at != 0 || err != nil {
		t.Errorf("Map moved the file's offset to %d, %v", at, err)
	}
}

// promiseLoop makes a block device of a file, or skips the test.
func promiseLoop(t *testing.T, backing string) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer control.Close()
	file, err := os.OpenFile(backing, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 20 { // another may take the same
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Skip(err)
		}
		name := "/dev/loop" + strconv.Itoa(n)
		loop, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Skip(err)
		}
		if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_FD, int(file.Fd())); err != nil {
			loop.Close()
			if err == unix.EBUSY {
				continue
			}
			t.Skip(err)
		}
		t.Cleanup(func() {
			_ = unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0)
			loop.Close()
		})
		return name
	}
	t.Skip("no free loop device")
	return ""
}
