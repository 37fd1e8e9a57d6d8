package mmap

import (
	"os"
	"path/filepath"
	"testing"
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
