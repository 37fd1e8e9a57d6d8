package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/seed-93fed273/mmap"
)

// inUserNamespace makes the command run in a user namespace of its own, as its
// root: it has no power over what is the system's.
func inUserNamespace(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}

// inMountNamespace makes the command run where it can mount file systems: in a
// mount namespace of its own, and for ordinary users in a user namespace too.
func inMountNamespace(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= syscall.CLONE_NEWNS
	if os.Getuid() != 0 {
		inUserNamespace(attr)
	}
}

// mountTmpfs mounts a file system of 64 KiB, or four pages, and returns where.
func mountTmpfs(t *testing.T) string {
	t.Helper()
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Skip("the mounts cannot be made private: ", err)
	}
	dir := t.TempDir()
	size := fmt.Sprintf("size=%d", max(64<<10, 4*mmap.PageSize()))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, size); err != nil {
		t.Skip("tmpfs cannot be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullFileSystem: holes of a file on a file system without room. WriteAt
// returns what os.File returns, View a *FaultError, and both go on.
func TestFullFileSystem(t *testing.T) {
	cmd := child(t)
	if cmd == nil {
		fullFileSystem(t, mountTmpfs(t))
		return
	}
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	inMountNamespace(cmd.SysProcAttr)
	succeed(t, cmd)
}

// fullFileSystem is TestFullFileSystem on a file system of a few pages.
func fullFileSystem(t *testing.T, dir string) {
	const size = 1 << 20
	t.Run("WriteAt across", func(t *testing.T) {
		for _, off := range []int64{0, 100, 4096, 300 << 10} {
			p := pattern(2, size-int(off))
			want, kept, wantErr := writeSparse(t, dir, off, p, false)
			got, now, gotErr := writeSparse(t, dir, off, p, true)
			if got != want || !sameError(gotErr, wantErr) || !errors.Is(gotErr, syscall.ENOSPC) {
				t.Errorf("WriteAt at %d = %d, %v; os.File: %d, %v", off, got, gotErr, want, wantErr)
			}
			if !bytes.Equal(now, kept) {
				t.Errorf("WriteAt at %d: another file than by os.File, from byte %d on", off, differ(now, kept))
			}
		}
	})
	t.Run("cursor", func(t *testing.T) { sameWhenTooMuch(t, dir) })
	name := sparse(t, dir, size)
	r := openMapped(t, name, os.O_RDWR, nil)
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, size), 0o666); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the file system is not full: %v", err)
	}
	t.Run("WriteAt", func(t *testing.T) {
		if n, err := r.WriteAt(make([]byte, 10), 512<<10); n != 0 || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("WriteAt = %d, %v", n, err)
		}
	})
	t.Run("View", func(t *testing.T) {
		at := int64(512 << 10)
		err := r.View(0, mmap.ToEnd, func(b []byte) error { b[at] = 1; return nil })
		checkFault(t, err, r, at, at+1, syscall.ENOSPC)
	})
	t.Run("after", func(t *testing.T) {
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Fatal(err)
		}
		if n, err := r.WriteAt([]byte("room"), 512<<10); n != 4 || err != nil {
			t.Fatalf("WriteAt = %d, %v, though there is room again", n, err)
		}
		// Not the whole file: to read a hole of tmpfs takes room too.
		if err := r.View(600<<10, 1, func(b []byte) error { b[0] = 1; return nil }); err != nil {
			t.Fatalf("View: %v, though there is room again", err)
		}
	})
}

// sparse makes a file of size bytes without any block.
func sparse(t *testing.T, dir string, size int64) string {
	t.Helper()
	f, err := os.CreateTemp(dir, "sparse")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// writeSparse writes p into a sparse file by an os.File or a mapped Region,
// and returns the result and what the file then holds.
func writeSparse(t *testing.T, dir string, off int64, p []byte, mapped bool) (int, []byte, error) {
	t.Helper()
	name := sparse(t, dir, 1<<20)
	defer os.Remove(name)
	var n int
	var err error
	if mapped {
		r, bad := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Prot: mmap.ProtRead | mmap.ProtWrite})
		if bad != nil {
			t.Fatal(bad)
		}
		defer r.Close()
		n, err = r.WriteAt(p, off)
	} else {
		f, bad := os.OpenFile(name, os.O_RDWR, 0)
		if bad != nil {
			t.Fatal(bad)
		}
		defer f.Close()
		n, err = f.WriteAt(p, off)
	}
	b, bad := os.ReadFile(name)
	if bad != nil {
		t.Fatal(bad)
	}
	return n, b, err
}

// TestViewSaysWhyStoreFailed: a store that the file system refuses for another
// reason than want of room; here the file was made immutable.
func TestViewSaysWhyStoreFailed(t *testing.T) {
	name := newFile(t, make([]byte, 100_000))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := openRegion(t, name, os.O_RDWR, nil)
	if err := setImmutable(f, true); err != nil {
		t.Skip("no immutable files: ", err)
	}
	defer setImmutable(f, false)
	_, want := f.WriteAt([]byte("x"), 60_000)
	if !errors.Is(want, syscall.EPERM) {
		t.Skip("os.File: ", want)
	}
	err = r.View(60_000, 1, func(b []byte) error { b[0] = 'x'; return nil })
	checkFault(t, err, r, 60_000, 60_001, syscall.EPERM)
	if _, got := r.WriteAt([]byte("x"), 60_000); !sameError(got, want) {
		t.Errorf("WriteAt: %v; os.File: %v", got, want)
	}
}

// setImmutable sets or clears FS_IMMUTABLE_FL.
func setImmutable(f *os.File, on bool) error {
	const get, set, immutable = 0x80086601, 0x40086602, 0x10
	if bits.UintSize != 64 {
		return errors.ErrUnsupported // other numbers
	}
	var flags uintptr
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), get, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return errno
	}
	flags &^= immutable
	if on {
		flags |= immutable
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), set, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return errno
	}
	return nil
}

// TestFaultBeside: a fault at the first byte behind a Region, or the last before
// it, is not the Region's: View passes it on.
func TestFaultBeside(t *testing.T) {
	page := int(mmap.PageSize())
	room, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	base := unsafe.Pointer(unsafe.SliceData(room))
	if _, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(base)+uintptr(page), uintptr(page), 0); errno != 0 {
		t.Fatal(errno)
	}
	r := ctlAnonymous(t, int64(page), &mmap.Options{Addr: uintptr(base) + uintptr(page)})
	if at, n, _ := mmap.Memory(r); at != uintptr(base)+uintptr(page) || n != page {
		t.Skip("the system placed it elsewhere")
	}
	for _, at := range []int{page - 1, 2 * page} {
		v := panicOf(func() {
			err := r.View(0, 1, func([]byte) error { keep(uint64(*(*byte)(unsafe.Add(base, at)))); return nil })
			t.Errorf("a fault at byte %d of the Region: View returned %v", at-page, err)
		})
		if _, ok := v.(runtime.Error); !ok {
			t.Errorf("a fault at byte %d of the Region: panic of %v", at-page, v)
		}
	}
	for _, part := range []int{0, 2} {
		if _, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(base)+uintptr(part*page), uintptr(page), 0); errno != 0 {
			t.Error(errno)
		}
	}
}
