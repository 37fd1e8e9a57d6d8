package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// diskUse returns the size of a file and how many bytes its blocks hold.
func diskUse(t *testing.T, name string) (size, blocks int64) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Size, st.Blocks * 512
}

// TestReserve: the file gets blocks, past its end too, and its size stays.
func TestReserve(t *testing.T) {
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDWR, nil)
	for _, c := range []struct{ off, n, blocks int64 }{
		{0, 1 << 20, 1 << 20}, {1<<20 - 10, 1<<20 + 10, 2 << 20}, {8 << 20, 1, 2<<20 + 1},
	} {
		if err := r.Reserve(c.off, c.n); errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		if size, blocks := diskUse(t, name); size != 100 || r.Size() != 100 || blocks < c.blocks {
			t.Errorf("after Reserve(%d, %d): %d bytes, %d of blocks; Size is %d", c.off, c.n, size, blocks, r.Size())
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, pattern(1, 100)) {
		t.Errorf("the contents changed (%v)", err)
	}
	if err := errors.Join(r.Truncate(4<<20), r.Truncate(2<<20), r.Reserve(0, mmap.ToEnd)); err != nil {
		t.Fatal(err)
	}
	if size, blocks := diskUse(t, name); size != 2<<20 || blocks < 2<<20 {
		t.Errorf("after Reserve to the end: %d bytes, %d of blocks", size, blocks)
	}
}

// TestWithoutFallocate: ramfs has no fallocate(2).
func TestWithoutFallocate(t *testing.T) {
	if cmd := child(t); cmd != nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
		inMountNamespace(cmd.SysProcAttr)
		succeed(t, cmd)
		return
	}
	dir := mountTmpfs(t) // for the mount namespace
	if err := syscall.Mount("ramfs", dir, "ramfs", 0, ""); err != nil {
		t.Skip("no ramfs: ", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	open := func(t *testing.T, data []byte) *mmap.Region {
		name := filepath.Join(dir, filepath.Base(t.Name()))
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return openRegion(t, name, os.O_RDWR, nil)
	}
	t.Run("Allocate grows", func(t *testing.T) { allocateGrows(t, open(t, pattern(1, 100))) })
	t.Run("Allocate spares appends", func(t *testing.T) { allocateSpares(t, open(t, nil)) })
	t.Run("Allocate inside", func(t *testing.T) {
		r := open(t, pattern(1, 100))
		if err := r.Allocate(50, 1000); err != nil {
			t.Errorf("Allocate of what may have holes: %v", err)
		}
		if got, _ := os.ReadFile(r.Name()); len(got) != 1050 || !bytes.Equal(got[:100], pattern(1, 100)) {
			t.Errorf("%d bytes, wrong from byte %d on", len(got), differ(got, pattern(1, 100)))
		}
	})
	t.Run("Discard", func(t *testing.T) { discardStores(t, open(t, pattern(1, 30_000))) })
	t.Run("Discard of a file that was cut", func(t *testing.T) {
		r := open(t, pattern(1, 30_000))
		r.Bytes()
		cutFile(t, r.Name(), 10_000)
		err := r.Discard(5000, 20_000)
		want := append(pattern(1, 5000), make([]byte, 5000)...)
		if errors.Is(err, io.ErrUnexpectedEOF) { // it asked first, and did nothing
			err, want = nil, pattern(1, 10_000)
		}
		if got, _ := os.ReadFile(r.Name()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v; %d bytes, wrong from byte %d on", err, len(got), differ(got, want))
		}
	})
}

// allocateGrows checks Allocate by appending, of a file of pattern(1, 100), to
// which another has appended since.
func allocateGrows(t *testing.T, r *mmap.Region) {
	f, err := os.OpenFile(r.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(bytes.Repeat([]byte("A"), 1000)); err != nil {
		t.Fatal(err)
	}
	err = r.Allocate(2000, 300_000)
	want := append(pattern(1, 100), bytes.Repeat([]byte("A"), 1000)...)
	want = append(want, make([]byte, 302_000-len(want))...)
	if got, _ := os.ReadFile(r.Name()); err != nil || !bytes.Equal(got, want) || r.Size() != 302_000 {
		t.Errorf("%v; %d bytes, wrong from byte %d on; Size is %d", err, len(got), differ(got, want), r.Size())
	}
}

// allocateSpares lets another append while Allocate makes the file grow.
func allocateSpares(t *testing.T, r *mmap.Region) {
	f, err := os.OpenFile(r.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const rounds = 200
	record := bytes.Repeat([]byte("B"), 64)
	parallel(
		func() {
			for range rounds {
				f.Write(record)
			}
		},
		func() {
			for range rounds {
				size := r.Size()
				if err := r.Allocate(size, 1000); err != nil && !errors.Is(err, errors.ErrUnsupported) {
					t.Error(err) // it is, if the file has grown over size since
				}
			}
		},
	)
	if got, err := os.ReadFile(r.Name()); err != nil || bytes.Count(got, []byte("B")) != rounds*len(record) {
		t.Errorf("of %d bytes appended %d are there (%v)", rounds*len(record), bytes.Count(got, []byte("B")), err)
	}
}

// discardStores checks a Discard that stores zeros, of a file of pattern(1,
// 30_000).
func discardStores(t *testing.T, r *mmap.Region) {
	want := pattern(1, 30_000)
	for _, s := range []mmap.Span{{Off: 100, Len: 10}, {Off: 4096, Len: 4096}, {Off: 9000, Len: 11_000}, {Off: 29_990, Len: mmap.ToEnd}} {
		if err := r.Discard(s.Off, s.Len); err != nil {
			t.Errorf("Discard(%d, %d): %v", s.Off, s.Len, err)
		}
		end := s.Off + s.Len
		if s.Len == mmap.ToEnd {
			end = 30_000
		}
		clear(want[s.Off:end])
		if got, _ := os.ReadFile(r.Name()); !bytes.Equal(got, want) {
			t.Errorf("Discard(%d, %d): wrong from byte %d on", s.Off, s.Len, differ(got, want))
		}
	}
}

// TestAllocateBlocks looks at the blocks of a file: Allocate takes them,
// Discard gives them back and leaves the size and the other bytes.
func TestAllocateBlocks(t *testing.T) {
	name := newFile(t, []byte("head"))
	r := openMapped(t, name, os.O_RDWR, nil)
	if err := r.Allocate(100, 2<<20); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if size, blocks := ctlStatBlocks(t, name); size != 100+2<<20 && size != 100+(2<<20) || blocks < 2<<20 || r.Size() != size {
		t.Errorf("after Allocate: %d bytes, %d of them in blocks; the Region has %d", size, blocks, r.Size())
	}
	cutFile(t, name, 8<<20)
	if err := r.Allocate(4<<20, 1<<20); err != nil {
		t.Fatal(err)
	}
	before, had := ctlStatBlocks(t, name)
	if had < 3<<20 {
		t.Errorf("after filling a hole: %d bytes of blocks", had)
	}
	want := pattern(0, 8<<20)
	if _, err := r.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	_, had = ctlStatBlocks(t, name)
	if err := r.Discard(1<<20+1, 4<<20); err != nil {
		t.Fatal(err)
	}
	clear(want[1<<20+1:][:4<<20])
	after, has := ctlStatBlocks(t, name)
	if after != before || had-has < 4<<20-64<<10 || had-has > 4<<20 {
		t.Errorf("Discard: from %d bytes, %d in blocks, to %d, %d", before, had, after, has)
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Discard changed other bytes, or not all of its own (%v)", err)
	}
}

// TestDiscardGivesBack checks that anonymous pages, and pages of shared memory
// without a file, are no longer there.
func TestDiscardGivesBack(t *testing.T) {
	page := mmap.PageSize()
	for _, share := range []bool{false, true} {
		r := ctlAnonymous(t, 8*page, &mmap.Options{Share: share})
		if _, err := r.WriteAt(pattern(0, int(8*page)), 0); err != nil {
			t.Fatal(err)
		}
		if err := r.View(0, mmap.ToEnd, func(b []byte) error { b[0] = 1; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := r.Discard(page-1, 3*page); err != nil {
			t.Fatal(err)
		}
		want := []bool{true, false, false, true, true, true, true, true}
		if in := ctlResident(t, r, 0, mmap.ToEnd); !slices.Equal(in, want) {
			t.Errorf("shared %v: %v, want %v", share, in, want)
		}
	}
}

// ctlStatBlocks returns the size of a file and the bytes of its blocks.
func ctlStatBlocks(t testing.TB, name string) (size, bytes int64) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Size, st.Blocks * 512
}
