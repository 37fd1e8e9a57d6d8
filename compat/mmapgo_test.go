package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	original "github.com/edsrzf/mmap-go"

	"github.com/seed-93fed273/mmap/mmapgo"
)

// mapArgs are the arguments of one call of MapRegion, and what it is of.
type mapArgs struct {
	size, flag  int
	length      int
	prot, flags int
	offset      int64
}

// reachesPastEnd reports whether the original would map what is behind the end
// of the file, which it does without an error, and mmapgo does not do.
func (a mapArgs) reachesPastEnd() bool {
	if a.flags&original.ANON != 0 || a.offset < 0 {
		return false
	}
	if a.length < 0 {
		return a.offset > 0 // the original maps the file's length from there on
	}
	return a.offset+int64(a.length) > int64(a.size)
}

// TestMapRegionLikeOriginal: every call of mmapgo succeeds where the original
// does, fails where it fails, and shows the same bytes; but for ranges past the
// end of the file.
func TestMapRegionLikeOriginal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the original fails there in other places")
	}
	page := os.Getpagesize()
	dir := t.TempDir()
	compared := 0
	for _, size := range []int{0, 1, page, 3*page + 7} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_APPEND} {
			for _, length := range []int{-1, 0, 1, page, 2*page + 1} {
				for _, prot := range []int{original.RDONLY, original.RDWR, original.COPY, original.EXEC, original.RDWR | original.EXEC, original.COPY | original.RDWR, 1, 16} {
					for _, flags := range []int{0, original.ANON, 2} {
						for _, offset := range []int64{0, 1, int64(page), int64(page) * 2, -int64(page)} {
							a := mapArgs{size, flag, length, prot, flags, offset}
							if !a.reachesPastEnd() {
								compareMapRegion(t, dir, a)
								compared++
							}
						}
					}
				}
			}
		}
	}
	if compared < 1000 {
		t.Errorf("only %d calls were compared", compared)
	}
}

// compareMapRegion makes one call of both.
func compareMapRegion(t *testing.T, dir string, a mapArgs) {
	t.Helper()
	name := filepath.Join(dir, "file")
	content := make([]byte, a.size)
	for i := range content {
		content[i] = byte(i*7 + i>>8)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, a.flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, werr := original.MapRegion(f, a.length, a.prot, a.flags, a.offset)
	got, gerr := mmapgo.MapRegion(f, a.length, a.prot, a.flags, a.offset)
	if (werr == nil) != (gerr == nil) || !bytes.Equal(want, got) {
		t.Errorf("%+v: the original returns %d bytes, %v; mmapgo %d bytes, %v", a, len(want), werr, len(got), gerr)
	}
	if werr == nil && gerr == nil {
		compareCalls(t, a, want, got)
	}
	if werr == nil {
		want.Unmap()
	}
	if gerr == nil {
		got.Unmap()
	}
	if now, err := os.ReadFile(name); err != nil || !bytes.Equal(now, content) {
		t.Errorf("%+v: the file changed", a)
	}
}

// compareCalls makes the other calls of both.
func compareCalls(t *testing.T, a mapArgs, want original.MMap, got mmapgo.MMap) {
	t.Helper()
	for name, errs := range map[string][2]error{
		"Flush":  {want.Flush(), got.Flush()},
		"Lock":   {want.Lock(), got.Lock()},
		"Unlock": {want.Unlock(), got.Unlock()},
	} {
		if (errs[0] == nil) != (errs[1] == nil) {
			t.Errorf("%+v: %s of the original: %v; of mmapgo: %v", a, name, errs[0], errs[1])
		}
	}
	part, same := want[len(want):], got[len(got):]
	if e, g := (&part).Unmap(), (&same).Unmap(); (e == nil) != (g == nil) {
		t.Errorf("%+v: Unmap of nothing: %v and %v", a, e, g)
	}
}

// BenchmarkMapUnmap compares what a mapping costs.
func BenchmarkMapUnmap(b *testing.B) {
	name := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o644); err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for impl, mapUnmap := range map[string]func() error{
		"original": func() error {
			m, err := original.Map(f, original.RDWR, 0)
			if err != nil {
				return err
			}
			return m.Unmap()
		},
		"mmapgo": func() error {
			m, err := mmapgo.Map(f, mmapgo.RDWR, 0)
			if err != nil {
				return err
			}
			return m.Unmap()
		},
	} {
		b.Run(fmt.Sprintf("impl=%s", impl), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := mapUnmap(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
