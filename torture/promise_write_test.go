//go:build linux

package main

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
	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// cursorFile is what os.File and Region have in common as far as these tests go.
type cursorFile interface {
	io.ReadWriteSeeker
	io.WriterAt
}

// openBoth opens a file as an os.File and another as a mapped Region.
func openBoth(t *testing.T, file, region string) (*os.File, *mmap.Region) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r, err := mmap.OpenFile(region, os.O_RDWR, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.Bytes()
	return f, r
}

// errnoOf returns the number of an error, or 0.
func errnoOf(err error) (no syscall.Errno) {
	errors.As(err, &no)
	return no
}

// TestPromiseWriteEIO: a write that fails on a page in its middle counts what
// arrived before, and the cursor is behind that, as with an os.File. (What is
// already in memory and writable there takes the write, and Flush fails.)
func TestPromiseWriteEIO(t *testing.T) {
	const size, bad = 64 << 10, 40 << 10
	for _, mode := range []fusefs.Mode{fusefs.Direct, fusefs.Mapped, fusefs.Cached} {
		for _, fault := range []fusefs.Fault{fusefs.WriteEIO, fusefs.WriteENOSPC} {
			dir := t.TempDir()
			files, err := fusefs.MountFiles(dir, mode, 0)
			if err != nil {
				t.Skip(err)
			}
			t.Cleanup(files.Close)
			for _, name := range []string{"file", "region"} {
				must(t, files.New(name, size, bad, 1))
				must(t, files.Arm(name, fault))
			}
			for _, c := range []struct{ at, n int64 }{{0, size}, {30 << 10, 20 << 10}, {bad, 4096}, {bad + 100, 10}, {0, bad}, {bad - 100, 200}} {
				for what, write := range map[string]func(u cursorFile, p []byte) (int, error){
					"Write":   func(u cursorFile, p []byte) (int, error) { return u.Write(p) },
					"WriteAt": func(u cursorFile, p []byte) (int, error) { return u.WriteAt(p, c.at) },
				} {
					outcome := func(u cursorFile) string {
						u.Seek(c.at, io.SeekStart)
						n, err := write(u, bytes.Repeat([]byte("x"), int(c.n)))
						at, _ := u.Seek(0, io.SeekCurrent)
						return fmt.Sprintf("%d, %d, cursor %d", n, errnoOf(err), at)
					}
					f, r := openBoth(t, filepath.Join(dir, "file"), filepath.Join(dir, "region"))
					if want, got := outcome(f), outcome(r); got != want {
						t.Errorf("%s, %s, %s of %d bytes at %d: %s; os.File: %s", mode, fault, what, c.n, c.at, got, want)
					}
				}
			}
		}
	}
}

// sameReason fails the test unless a View that stores at off fails with the
// error with which a write there fails.
func sameReason(t *testing.T, what string, f *os.File, r *mmap.Region, off int64) {
	t.Helper()
	_, want := f.WriteAt([]byte("x"), off)
	if want == nil {
		t.Errorf("%s: os.File can write", what)
		return
	}
	err := r.View(off, 1, func(b []byte) error { b[0] = 'x'; return nil })
	if err == nil {
		t.Logf("%s: the system lets stores be where it refuses writes", what)
	}
	var fault *mmap.FaultError
	if err != nil && (!errors.As(err, &fault) || fault.Off != off || errnoOf(err) != errnoOf(want)) {
		t.Errorf("%s: View: %v; os.File: %v", what, err, want)
	}
	if _, err := r.WriteAt([]byte("x"), off); errnoOf(err) != errnoOf(want) {
		t.Errorf("%s: WriteAt: %v; os.File: %v", what, err, want)
	}
}

// TestPromiseStoreEDQUOT: a store for which the quota has no room.
func TestPromiseStoreEDQUOT(t *testing.T) {
	dir := loopMount(t, "btrfs")
	for _, command := range []string{"quota enable " + dir, "subvolume create " + dir + "/v", "qgroup limit 8M " + dir + "/v"} {
		if out, err := exec.Command("btrfs", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Skipf("btrfs %s: %v: %s", command, err, out)
		}
	}
	name := filepath.Join(dir, "v", "file")
	must(t, os.WriteFile(name, nil, 0o666))
	must(t, os.Truncate(name, 64<<20))
	f, r := openBoth(t, name, name)
	var full error
	for off := int64(0); off < 32<<20 && full == nil; off += 64 << 10 {
		_, full = f.WriteAt(bytes.Repeat([]byte{byte(off >> 16)}, 64<<10), off)
	}
	if errnoOf(full) != unix.EDQUOT {
		t.Skip("the quota is not in force: ", full)
	}
	sameReason(t, "quota", f, r, 50<<20)
}

// TestPromiseStoreShutDown: a store on a file system that was shut down.
func TestPromiseStoreShutDown(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			dir := loopMount(t, kind)
			name := filepath.Join(dir, "file")
			must(t, os.WriteFile(name, nil, 0o666))
			must(t, os.Truncate(name, 1<<20))
			f, r := openBoth(t, name, name)
			const shutDown, noLog = 0x8004587d, 2
			if err := unix.IoctlSetPointerInt(int(f.Fd()), shutDown, noLog); err != nil {
				t.Skip(err)
			}
			sameReason(t, kind, f, r, 500_000)
		})
	}
}

// loopMount makes a file system in a file and mounts it.
func loopMount(t *testing.T, kind string) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	must(t, os.WriteFile(image, nil, 0o666))
	must(t, os.Truncate(image, 400<<20))
	for _, command := range []string{"mkfs." + kind + " -q " + image, "mount -o loop " + image + " " + dir} {
		args := strings.Fields(command)
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", command, err, out)
		}
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}
