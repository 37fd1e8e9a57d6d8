package mmap_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// newTmpfsFile makes a file on a tmpfs: there, bytes that were stored past the
// end show when the file grows.
func newTmpfsFile(t *testing.T, size int64) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mmap-test-")
	if err != nil {
		t.Skip("no tmpfs: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, make([]byte, size), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// growths are the calls that let a file of size bytes grow and leave a hole at
// its end, at least as far as far.
var growths = map[string]func(r *mmap.Region, far int64) error{
	"WriteAt":  func(r *mmap.Region, far int64) error { _, err := r.WriteAt([]byte("A"), far-1); return err },
	"Truncate": func(r *mmap.Region, far int64) error { return r.Truncate(far) },
	"Allocate": func(r *mmap.Region, far int64) error { return r.Allocate(far-1, 1) },
	"Write": func(r *mmap.Region, far int64) error {
		if _, err := r.Seek(far-1, 0); err != nil {
			return err
		}
		_, err := r.Write([]byte("A"))
		return err
	},
}

// TestGrowthSparesAppends: what another process appends while a Region lets the
// file grow is there afterwards, whatever had been stored past the end: nothing,
// other bytes, or the very bytes that are appended.
func TestGrowthSparesAppends(t *testing.T) {
	record := bytes.Repeat([]byte("B"), 64)
	for how, grow := range growths {
		for _, stale := range []byte{0, 'Z', 'B'} {
			r := openRegion(t, newTmpfsFile(t, 1<<16), os.O_RDWR, nil)
			slice := r.Bytes()
			other, err := os.OpenFile(r.Name(), os.O_RDWR|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { other.Close() })
			for round := range raceRounds(150) {
				size := 1 + rand.Int64N(3000)
				if err := errors.Join(r.Truncate(0), r.Truncate(size)); err != nil {
					t.Fatal(err)
				}
				for i := range slice[size:4096] {
					slice[size+int64(i)] = stale
				}
				parallel(
					func() { other.Write(record) },
					func() { grow(r, 16<<10) },
				)
				got, err := os.ReadFile(r.Name())
				if n := bytes.Count(got, []byte("B")); err != nil || n != len(record) && (how != "Truncate" || n < len(record) && len(got) > 16<<10) {
					t.Fatalf("%s, %q stored past the end, round %d: of %d bytes appended at %d %d are there (%v)", how, stale, round, len(record), size, n, err)
				}
				if i := bytes.IndexFunc(got[size:], func(c rune) bool { return c != 0 && c != 'A' && c != 'B' }); i >= 0 {
					t.Fatalf("%s, round %d: byte %d appears, past the end at %d", how, round, size+int64(i), size)
				}
			}
		}
	}
}

// TestEOFPageOfOverlay: what becomes of bytes past the end is a matter of the
// layer below, whose name nobody tells: an overlay on a tmpfs keeps them as the
// tmpfs does.
func TestEOFPageOfOverlay(t *testing.T) {
	if cmd := child(t); cmd != nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
		inMountNamespace(cmd.SysProcAttr)
		succeed(t, cmd)
		return
	}
	dir := mountTmpfs(t)
	layers := map[string]string{}
	for _, layer := range []string{"lower", "upper", "work", "merged"} {
		layers[layer] = filepath.Join(dir, layer)
		if err := os.Mkdir(layers[layer], 0o777); err != nil {
			t.Fatal(err)
		}
	}
	options := "lowerdir=" + layers["lower"] + ",upperdir=" + layers["upper"] + ",workdir=" + layers["work"]
	if err := syscall.Mount("overlay", layers["merged"], "overlay", 0, options); err != nil {
		t.Skip("no overlay: ", err)
	}
	defer syscall.Unmount(layers["merged"], syscall.MNT_DETACH)
	for how, grow := range growths {
		name := filepath.Join(layers["merged"], how)
		if err := os.WriteFile(name, make([]byte, 9000), 0o666); err != nil {
			t.Fatal(err)
		}
		r := openRegion(t, name, os.O_RDWR, nil)
		b := r.Bytes()
		if err := r.Truncate(101); err != nil {
			t.Fatal(err)
		}
		copy(b[101:], "stale")
		b[300] = 'Z'
		if err := grow(r, 5000); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || len(bytes.Trim(got[101:], "\x00A")) > 0 {
			t.Errorf("%s: bytes stored past the end show: %q (%v)", how, bytes.Trim(got[101:], "\x00A"), err)
		}
		r.Close()
	}
}
