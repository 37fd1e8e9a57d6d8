package mmap_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	xmmap "golang.org/x/exp/mmap"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// shapes are the ways to come to a Region of given bytes. What a Region shows
// must not depend on how.
var shapes = []struct {
	name string
	open func(t testing.TB, data []byte) *mmap.Region
}{
	{"descriptor", func(t testing.TB, data []byte) *mmap.Region {
		return openRegion(t, newFile(t, data), os.O_RDWR, nil)
	}},
	{"mapped", func(t testing.TB, data []byte) *mmap.Region {
		r := openRegion(t, newFile(t, data), os.O_RDWR, nil)
		r.Bytes()
		return r
	}},
	{"read-only", func(t testing.TB, data []byte) *mmap.Region {
		r := openRegion(t, newFile(t, data), os.O_RDONLY, nil)
		r.Bytes()
		return r
	}},
	{"append", func(t testing.TB, data []byte) *mmap.Region {
		r := openRegion(t, newFile(t, data), os.O_RDWR|os.O_APPEND, nil)
		r.Bytes()
		return r
	}},
	{"Map", func(t testing.TB, data []byte) *mmap.Region {
		f, err := os.Open(newFile(t, data))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := mmap.Map(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}},
	{"offset", func(t testing.TB, data []byte) *mmap.Region {
		name := newFile(t, append(pattern(4, 5000), data...))
		return openRegion(t, name, os.O_RDWR, &mmap.Options{Offset: 5000})
	}},
	{"window", func(t testing.TB, data []byte) *mmap.Region {
		around := append(append(pattern(4, 4099), data...), pattern(3, 9000)...)
		o := &mmap.Options{Offset: 4099, Length: int64(len(data))}
		if len(data) == 0 {
			o = &mmap.Options{Offset: int64(len(around))} // no window is empty
		}
		return openRegion(t, newFile(t, around), os.O_RDWR, o)
	}},
	{"private", func(t testing.TB, data []byte) *mmap.Region {
		needsMemory(t)
		r := openRegion(t, newFile(t, make([]byte, len(data))), os.O_RDONLY, &mmap.Options{Private: true})
		fill(t, r, data)
		return r
	}},
	{"anonymous", func(t testing.TB, data []byte) *mmap.Region {
		needsMemory(t)
		r, err := mmap.Anonymous(int64(len(data)), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		fill(t, r, data)
		return r
	}},
}

// fill writes data to a Region of that length.
func fill(t testing.TB, r *mmap.Region, data []byte) {
	t.Helper()
	if n, err := r.WriteAt(data, 0); n != len(data) || err != nil {
		t.Fatalf("WriteAt: %d, %v", n, err)
	}
}

// forShapes runs fn on a Region of each shape and of each size.
func forShapes(t *testing.T, fn func(t *testing.T, r *mmap.Region, data []byte), sizes ...int) {
	for _, s := range shapes {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s/%d", s.name, size), func(t *testing.T) {
				data := pattern(1, size)
				fn(t, s.open(t, data), data)
			})
		}
	}
}

// edges are the sizes at which copying, mapping and paging change.
var edges = []int{0, 1, os.Getpagesize() - 1, os.Getpagesize(), os.Getpagesize() + 1, 70_000, mmap.MaxCopy + 1}

// TestReader holds the Region itself against what an io.Reader, ReaderAt and
// Seeker promise. (A SectionReader around it would hide a broken ReadAt.)
func TestReader(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		if err := iotest.TestReader(r, data); err != nil {
			t.Error(err)
		}
		section := io.NewSectionReader(r, 0, r.Size())
		if err := iotest.TestReader(section, data); err != nil {
			t.Error("through a SectionReader:", err)
		}
	}, edges...)
}

// TestReadersFromOutside: what the standard library builds on a Region gets
// its bytes.
func TestReadersFromOutside(t *testing.T) {
	readers := []struct {
		name string
		read func(r *mmap.Region) ([]byte, error)
	}{
		{"io.ReadAll", func(r *mmap.Region) ([]byte, error) { return io.ReadAll(r) }},
		{"bufio.Reader", func(r *mmap.Region) ([]byte, error) { return io.ReadAll(bufio.NewReader(r)) }},
		{"SectionReader", func(r *mmap.Region) ([]byte, error) { return io.ReadAll(io.NewSectionReader(r, 0, math.MaxInt64)) }},
		{"OneByteReader", func(r *mmap.Region) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) }},
		{"ReadByte", readBytes},
		{"io.Copy", func(r *mmap.Region) ([]byte, error) {
			w := new(bytes.Buffer)
			_, err := io.Copy(w, r)
			return w.Bytes(), err
		}},
		{"io.CopyN", func(r *mmap.Region) ([]byte, error) {
			w := new(bytes.Buffer)
			_, err := io.CopyN(w, r, r.Size())
			return w.Bytes(), err
		}},
	}
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		for _, f := range readers {
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			got, err := f.read(r)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %d of %d bytes right or not, %v", f.name, len(got), len(data), err)
			}
			if at, err := r.Seek(0, io.SeekCurrent); f.name != "SectionReader" && (at != int64(len(data)) || err != nil) {
				t.Errorf("%s leaves the cursor at %d of %d, %v", f.name, at, len(data), err)
			}
		}
	}, 0, 1, 10_000)
}

// readBytes reads by ReadByte alone.
func readBytes(r *mmap.Region) (all []byte, err error) {
	for {
		b, err := r.ReadByte()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, b)
	}
}

// outcome is what a call gave, in a form that cmp can compare.
type outcome struct {
	N    int64
	Err  string
	Data string
}

// result makes an outcome; the file's own name is taken out of the error.
func result[T int | int64](n T, err error, data []byte) outcome {
	o := outcome{N: int64(n), Data: string(data)}
	var named *fs.PathError
	switch {
	case errors.As(err, &named):
		o.Err = fmt.Sprintf("%T %s %T %v", err, named.Op, named.Err, named.Err)
	case err != nil:
		o.Err = fmt.Sprintf("%T %v", err, err)
	}
	return o
}

// file is what Region and os.File have in common, as far as tables need it.
type file interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.WriterAt
	io.WriterTo
	io.ReaderFrom
	io.StringWriter
	io.Closer
	Truncate(size int64) error
	Sync() error
}

var (
	_ file = (*os.File)(nil)
	_ file = (*mmap.Region)(nil)
)

// sameAsFile makes each call on a fresh os.File and on fresh Regions over an
// equal file, mapped and not, and compares what it gives, where the cursor
// stands then, and the files.
func sameAsFile(t *testing.T, flag int, data []byte, calls map[string]func(f file) outcome) {
	for what, call := range calls {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, data)
			f, err := os.OpenFile(name, flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			want := [...]outcome{call(f), at(f), contents(t, name)}
			for _, mapped := range []bool{false, true} {
				name := newFile(t, data)
				r := openRegion(t, name, flag, nil)
				if mapped {
					mapNow(r)
				}
				got := [...]outcome{call(r), at(r), contents(t, name)}
				if sys.MappingPinsSize && flag == os.O_RDONLY { // Wine looks at the mapping before the rights
					got[0].Err = strings.ReplaceAll(got[0].Err, "File has a user-mapped section", "Invalid parameter")
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("mapped=%v (-os.File +Region):\n%s", mapped, d)
				}
			}
		})
	}
}

// at returns where the cursor is.
func at(f io.Seeker) outcome {
	n, err := f.Seek(0, io.SeekCurrent)
	return result(n, err, nil)
}

// contents returns the file's bytes.
func contents(t testing.TB, name string) outcome {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return result(len(b), nil, b)
}

// readAt and its kin make one call.
func readAt(n int, off int64) func(f file) outcome {
	return func(f file) outcome {
		p := make([]byte, n)
		n, err := f.ReadAt(p, off)
		return result(n, err, p[:n])
	}
}

// seek moves the cursor.
func seek(off int64, whence int) func(f file) outcome {
	return func(f file) outcome {
		n, err := f.Seek(off, whence)
		return result(n, err, nil)
	}
}

// read moves the cursor and reads.
func read(n int, from int64) func(f file) outcome {
	return func(f file) outcome {
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return result(0, err, nil)
		}
		p := make([]byte, n)
		n, err := f.Read(p)
		return result(n, err, p[:n])
	}
}

// TestReadLikeFile: the edges of Read, ReadAt and Seek.
func TestReadLikeFile(t *testing.T) {
	const size = 10_000
	calls := map[string]func(f file) outcome{}
	for _, off := range []int64{0, 1, 4095, 4096, size - 1, size, size + 1, -1, math.MinInt64, math.MaxInt64, math.MaxInt64 - 1, 1 << 40} {
		for _, n := range []int{0, 1, 2, 4097, size, size + 1} {
			calls[fmt.Sprintf("ReadAt(%d,%d)", n, off)] = readAt(n, off)
			calls[fmt.Sprintf("Read(%d)after%d", n, off)] = read(n, off)
		}
		for _, whence := range []int{io.SeekStart, io.SeekCurrent, io.SeekEnd, -1, 3, 4, 5, 99} {
			calls[fmt.Sprintf("Seek(%d,%d)", off, whence)] = seek(off, whence)
			calls[fmt.Sprintf("Seek(-%d,%d)", off, whence)] = seek(-off, whence)
		}
	}
	calls["Read(nil)"] = func(f file) outcome {
		n, err := f.Read(nil)
		return result(n, err, nil)
	}
	for name, flag := range map[string]int{"RDWR": os.O_RDWR, "RDONLY": os.O_RDONLY, "APPEND": os.O_RDWR | os.O_APPEND} {
		t.Run(name, func(t *testing.T) { sameAsFile(t, flag, pattern(2, size), calls) })
	}
}

// TestAt: every byte, and the panic of an index out of range.
func TestAt(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		for i := range data {
			if b := r.At(i); b != data[i] {
				t.Fatalf("At(%d) = %d, not %d", i, b, data[i])
			}
		}
		for _, i := range []int{-1, len(data), len(data) + 1, math.MaxInt, math.MinInt} {
			want := panicOf(func() { _ = data[i] })
			if got := panicOf(func() { r.At(i) }); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("At(%d) panics with %v, not %v", i, got, want)
			}
		}
	}, 0, 1, 5000)
}

// TestLikeExpMmap: who changes the import from golang.org/x/exp/mmap gets the
// same, wherever that keeps to io.ReaderAt.
func TestLikeExpMmap(t *testing.T) {
	for _, size := range edges {
		data := pattern(1, size)
		name := newFile(t, data)
		old, err := xmmap.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var r *mmap.ReaderAt
		if r, err = mmap.Open(name); err != nil {
			t.Fatal(err)
		}
		if r.Len() != old.Len() {
			t.Errorf("Len is %d, not %d", r.Len(), old.Len())
		}
		for _, i := range []int{0, 1, size / 2, size - 1, size, size + 1, -1} {
			if got, want := atOrPanic(r, i), atOrPanic(old, i); got != want {
				t.Errorf("size %d: At(%d): %s, not %s", size, i, got, want)
			}
		}
		for _, off := range []int64{0, 1, int64(size / 2), int64(size)} {
			for _, n := range []int{1, 100, size, size + 1} {
				if off > int64(size) {
					continue
				}
				if d := cmp.Diff(readFrom(old, n, off), readFrom(r, n, off)); d != "" {
					t.Errorf("size %d: ReadAt(%d, %d) (-x/exp +Region):\n%s", size, n, off, d)
				}
			}
		}
		if err := errors.Join(old.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	}
	if _, err := mmap.Open(newFile(t, nil) + ".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// atOrPanic returns what At gives, or what it panics with.
func atOrPanic(r interface{ At(i int) byte }, i int) (s string) {
	if v := panicOf(func() { s = fmt.Sprint(r.At(i)) }); v != nil {
		return fmt.Sprint("panic: ", v)
	}
	return s
}

// readFrom returns what ReadAt gives.
func readFrom(r io.ReaderAt, n int, off int64) outcome {
	p := make([]byte, n)
	n, err := r.ReadAt(p, off)
	return result(n, err, p[:n])
}

// TestClosedShapes: after Close every shape of a Region gives os.ErrClosed.
func TestClosedShapes(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		for what, call := range closedCalls {
			err := call(r)
			if what == "WriteAt" && err != nil && err.Error() == "os: invalid use of WriteAt on file opened with O_APPEND" {
				continue // what os says, open or closed
			}
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s after Close: %v", what, err)
			}
		}
	}, 0, 5000)
}

// TestReadAllocatesNothing: no call that reads allocates, whether memory or
// the descriptor serves it.
func TestReadAllocatesNothing(t *testing.T) {
	needsExactAllocations(t)
	p := make([]byte, 100)
	see := func(b []byte) error { keep(uint64(b[0])); return nil }
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		calls := map[string]func(){
			"ReadAt":      func() { _, _ = r.ReadAt(p, 50) },
			"ReadAt end":  func() { _, _ = r.ReadAt(p, int64(len(data)-50)) },
			"ReadAt past": func() { _, _ = r.ReadAt(p, int64(len(data))) },
			"Read":        func() { _, _ = r.Read(p); _, _ = r.Seek(0, io.SeekStart) },
			"ReadByte":    func() { _, _ = r.ReadByte() },
			"UnreadByte":  func() { _, _ = r.ReadByte(); _ = r.UnreadByte() },
			"Seek end":    func() { _, _ = r.Seek(0, io.SeekEnd); _, _ = r.Seek(0, io.SeekStart) },
			"At":          func() { keep(uint64(r.At(7))) },
			"View":        func() { _ = r.View(10, 100, see) },
			"Bytes":       func() { keep(uint64(len(r.Bytes()))) },
		}
		for what, call := range calls {
			if n := allocations(100, call); n > 0 {
				t.Errorf("%s allocates %v times", what, n)
			}
		}
	}, 5000)
}

// allocations counts those of a call. The count is the process's: when a
// collection comes between, it empties the pools, and others fill them. What
// the call itself allocates is there each time.
func allocations(runs int, call func()) (n float64) {
	for range 5 {
		if n = testing.AllocsPerRun(runs, call); n == 0 {
			break
		}
	}
	return n
}

// needsExactAllocations skips a test where allocations cannot be counted.
func needsExactAllocations(t testing.TB) {
	t.Helper()
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			t.Skip("the race detector allocates, and empties pools at random")
		}
	}
}

// TestReadIntoOwnReadOnlyBytes: a slice that cannot be written to is what the
// kernel says it is, and never a count of 0 without an error.
func TestReadIntoOwnReadOnlyBytes(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDONLY, nil)
	b := r.Bytes()
	for _, off := range []int64{0, 5, 5000} {
		if n, err := r.ReadAt(b[:10], off); n != 0 || err == nil {
			t.Errorf("ReadAt(%d) = %d, %v", off, n, err)
		}
	}
}

// TestPrivateReadCut: a read of private memory that faults in a later piece
// returns what the memory has, all of it, as one that goes page by page from the
// beginning.
func TestPrivateReadCut(t *testing.T) {
	needsCut(t)
	const size = 3 * mmap.MaxCopy
	name := newFile(t, pattern(1, size))
	known := openRegion(t, name, os.O_RDONLY, &mmap.Options{Private: true})
	if _, err := known.ReadAt(make([]byte, size), 0); err != nil {
		t.Fatal(err)
	}
	fresh := openRegion(t, name, os.O_RDONLY, &mmap.Options{Private: true})
	cutFile(t, name, mmap.MaxCopy+5*mmap.PageSize()+100)
	got, want := make([]byte, size), make([]byte, size)
	n, err := known.ReadAt(got, 0)
	m, fault := fresh.ReadAt(want, 0)
	if n != m || !sameError(err, fault) || n <= mmap.MaxCopy || !bytes.Equal(got[:n], want[:m]) {
		t.Errorf("%d bytes, %v; page by page %d, %v; equal: %v", n, err, m, fault, bytes.Equal(got[:n], want[:min(n, m)]))
	}
}

// TestPrivateCutCounts: private memory of a file that somebody cut is read and
// written up to the last byte that is there.
func TestPrivateCutCounts(t *testing.T) {
	needsCut(t)
	page := mmap.PageSize()
	for _, offset := range []int64{0, 1, 100} {
		for _, pages := range []int64{1, 2, 150} {
			data := pattern(1, int(300*page))
			name := newFile(t, data)
			r := openRegion(t, name, os.O_RDWR, &mmap.Options{Private: true, Offset: offset})
			end := pages*page - offset // of the Region's bytes
			for _, n := range []int64{end, 1, 2, 3, 10, page - 1, page, page + 1, 2*page + 1} {
				if n > end {
					continue
				}
				cutFile(t, name, pages*page)
				want := data[offset+end-n : pages*page]
				p := bytes.Repeat([]byte{0xFF}, int(n+page))
				if got, err := r.ReadAt(p, end-n); got != int(n) || err != io.EOF || !bytes.Equal(p[:n], want) {
					t.Errorf("Offset %d: ReadAt of the last %d bytes = %d, %v", offset, n, got, err)
				}
				if got, err := r.WriteAt(append(bytes.Clone(want), 1, 2, 3), end-n); got != int(n) || err != io.ErrShortWrite {
					t.Errorf("Offset %d: WriteAt to the last %d bytes = %d, %v", offset, n, got, err)
				}
			}
		}
	}
}

// TestReasonAtEdge: a fault at the last byte of a page is explained by that
// page, and not by the next.
func TestReasonAtEdge(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	r := openRegion(t, newFile(t, pattern(1, int(3*page))), os.O_RDWR, nil)
	if err := r.Protect(0, page, mmap.ProtRead); err != nil {
		t.Fatal(err)
	}
	if err := r.Release(page, page); err != nil {
		t.Skip("no page can be released here: ", err)
	}
	for _, c := range []struct {
		off  int64
		want error
	}{{page - 1, syscall.EACCES}, {page, sys.Fault}, {2*page - 1, sys.Fault}, {2 * page, nil}} {
		err := r.View(c.off, 1, func(b []byte) error { b[0]++; return nil })
		if !errors.Is(err, c.want) {
			t.Errorf("a store to byte %d: %v, want %v", c.off, err, c.want)
		}
	}
}

// TestReadOverlapsInPieces: a read into the Region's own bytes is that of bytes that
// lie apart, whatever way it goes.
func TestReadOverlapsInPieces(t *testing.T) {
	needsMemory(t)
	const size = 3 << 20
	for what, c := range map[string]struct {
		flag int
		opts *mmap.Options
	}{
		"cursor of the descriptor": {os.O_RDWR | os.O_APPEND, &mmap.Options{}},
		"memory":                   {os.O_RDWR, &mmap.Options{Access: mmap.AccessMemory}},
		"private":                  {os.O_RDONLY, &mmap.Options{Private: true}},
		"shared":                   {os.O_RDWR, &mmap.Options{}},
	} {
		for _, by := range []string{"Read", "ReadAt"} {
			if c.flag&os.O_APPEND != 0 && sys.MappingPinsSize {
				continue // such a handle maps no memory that can be stored to
			}
			r := openMapped(t, newFile(t, pattern(1, size)), c.flag, c.opts)
			b := r.Bytes()
			want := string(b[:size-100])
			var n int
			var err error
			if by == "Read" {
				n, err = r.Read(b[100:])
			} else {
				n, err = r.ReadAt(b[100:], 0)
			}
			if n != len(want) || err != nil || string(b[100:]) != want {
				t.Errorf("%s, %s: %d, %v, or smeared", what, by, n, err)
			}
		}
	}
}

// TestReadByteAtEnd: the byte beside an error is 0.
func TestReadByteAtEnd(t *testing.T) {
	full := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDONLY, nil)
	if _, err := io.Copy(struct{ io.Writer }{io.Discard}, full); err != nil { // fills the pool's buffers
		t.Fatal(err)
	}
	for range 100 {
		if c, err := openRegion(t, newFile(t, nil), os.O_RDONLY, nil).ReadByte(); c != 0 || err != io.EOF {
			t.Fatalf("%d, %v", c, err)
		}
	}
}
