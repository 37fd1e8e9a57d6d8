package mmap

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// TestWritableWhileDirty: a page counts as writable as long as it is dirty, and
// no longer when somebody had it written back.
func TestWritableWhileDirty(t *testing.T) {
	if assume != asSeen {
		t.Skip("nothing is learned")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 4*pageSize)); err != nil {
		t.Fatal(err)
	}
	r, err := OpenFile(f.Name(), os.O_RDWR, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, err := r.mapped()
	if err != nil {
		t.Skip("this system does not map files: ", err)
	}
	for range 3 { // the first goes by the descriptor
		if _, err := r.WriteAt([]byte("hello"), 10); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := r.cacheOf(m, 0, m.extent.Load()); err != nil || c.Dirty == 0 {
		t.Skip("nothing tells what is dirty: ", err)
	}
	if m.open.Load() == 0 {
		t.Fatal("the page is not known to be writable")
	}
	if r.age(m, false); m.open.Load() == 0 {
		t.Error("the page is dirty, and forgotten")
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if r.age(m, false); m.open.Load() != 0 || m.pages.hot.all(0, 1) || m.pages.once.all(0, 1) {
		t.Error("the page is clean, and taken for writable")
	}
}

// TestLargeRewritesGoToMemory: a large write that is made again and again goes
// by the descriptor while that is the cheaper way, then to memory, and by the
// descriptor again after a Flush.
func TestLargeRewritesGoToMemory(t *testing.T) {
	if assume != asSeen {
		t.Skip("nothing is learned")
	}
	const size, rare = 8 * populateMost, 32 // one such write in 32 makes pages writable
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, err := r.mapped()
	if err != nil {
		t.Skip("this system does not map files: ", err)
	}
	if sys.Populate(m.first(size), true) != nil {
		t.Skip("this system does not make pages writable by a call")
	}
	p := make([]byte, size)
	for round := range 2 {
		for i := range 1 + rare + 1 {
			p[0], p[size-1] = byte(i), byte(i)
			if n, err := r.WriteAt(p, 0); n != size || err != nil {
				t.Fatal(n, err)
			}
			inMemory, want := m.open.Load() == size, i >= rare
			if inMemory != want {
				t.Fatalf("round %d, after %d writes: in memory %v, want %v", round, i+1, inMemory, want)
			}
			got := make([]byte, size)
			if _, err := r.f.ReadAt(got, 0); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("after %d writes the file has something else (%v)", i+1, err)
			}
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		if m.open.Load() != 0 {
			t.Fatal("after a Flush pages still count as writable")
		}
	}
}
