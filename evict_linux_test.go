package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// resident returns whether each page of the file is in the page cache, asked by
// a Region that has nothing else to do with it.
func resident(t *testing.T, name string) []bool {
	t.Helper()
	r := openRegion(t, name, os.O_RDWR, nil)
	defer r.Close()
	in, err := r.Resident(0, mmap.ToEnd)
	if err != nil {
		t.Skip(err)
	}
	return in
}

// TestEvict: what was evicted is no longer in the page cache, although it was
// dirty, mapped, and in a slice of an earlier mapping; what it held is still
// there, and so are the pages around.
func TestEvict(t *testing.T) {
	page := mmap.PageSize()
	data := pattern(1, int(16*page+100))
	r := openRegion(t, newFile(t, data), os.O_RDWR, nil)
	b := r.Bytes()
	copy(b[5*page:], "dirty") // known to the page table alone
	copy(data[5*page:], "dirty")
	_ = bytes.Clone(b)
	if err := r.Evict(2*page-10, 6*page+20); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	in := resident(t, r.Name()) // a large folio may hold pages around too, and then stays
	if slices.Contains(slices.Concat(in[:2], in[8:]), false) {
		t.Errorf("other pages than 2 to 7 are gone: %v", in)
	}
	if got, err := os.ReadFile(r.Name()); err != nil || !bytes.Equal(got, data) || !bytes.Equal(b, data) {
		t.Errorf("the contents changed (%v)", err)
	}
	growAnew(t, r)
	b[7*page]++ // through an earlier mapping
	data[7*page]++
	if err := r.Evict(0, mmap.ToEnd); err != nil {
		t.Fatal(err)
	}
	if in := resident(t, r.Name()); slices.Contains(in, true) {
		t.Errorf("all of it was evicted, and page %d is there", slices.Index(in, true))
	}
	if !bytes.Equal(b, data) {
		t.Error("the contents changed")
	}
}

// TestEvictUnmapped: a Region that was never mapped is not mapped for it.
func TestEvictUnmapped(t *testing.T) {
	r := openRegion(t, newFile(t, pattern(1, 100_000)), os.O_RDWR, nil)
	if err := r.Evict(0, mmap.ToEnd); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if _, n, _ := mmap.Memory(r); n != 0 {
		t.Error("it is mapped")
	}
	if in := resident(t, r.Name()); slices.Contains(in, true) {
		t.Errorf("all of it was evicted: %v", in)
	}
}

// TestEvictRefused: where Evict cannot be, or not there.
func TestEvictRefused(t *testing.T) {
	name := newFile(t, pattern(1, 100_000))
	locked := openRegion(t, name, os.O_RDWR, nil)
	if err := locked.Lock(0, 100); err != nil {
		t.Log(err)
	} else if err := locked.Evict(0, mmap.ToEnd); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("locked pages: %v", err)
	}
	for what, r := range map[string]*mmap.Region{
		"private":   openRegion(t, name, os.O_RDWR, &mmap.Options{Private: true}),
		"anonymous": ctlAnonymous(t, 100, nil),
		"tmpfs":     openRegion(t, newTmpfsFile(t, 100), os.O_RDWR, nil),
	} {
		if err := r.Evict(0, mmap.ToEnd); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, nil)
	for _, c := range []struct {
		off, n int64
		want   error
	}{{-1, 1, syscall.EINVAL}, {0, -2, syscall.EINVAL}, {0, 101, io.ErrUnexpectedEOF}, {0, 0, nil}, {100, mmap.ToEnd, nil}} {
		if err := r.Evict(c.off, c.n); !errors.Is(err, c.want) {
			t.Errorf("Evict(%d, %d): %v", c.off, c.n, err)
		}
	}
}
