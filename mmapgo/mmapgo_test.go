package mmapgo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/mmapgo"
)

// The shape of the API that programs were written for.
var (
	_ func(*os.File, int, int) (mmapgo.MMap, error)             = mmapgo.Map
	_ func(*os.File, int, int, int, int64) (mmapgo.MMap, error) = mmapgo.MapRegion
	_ func(mmapgo.MMap) error                                   = mmapgo.MMap.Lock
	_ func(mmapgo.MMap) error                                   = mmapgo.MMap.Unlock
	_ func(mmapgo.MMap) error                                   = mmapgo.MMap.Flush
	_ func(*mmapgo.MMap) error                                  = (*mmapgo.MMap).Unmap
	_ []byte                                                    = mmapgo.MMap(nil)
)

// maps says whether this system maps files.
var maps = !slices.Contains([]string{"plan9", "js", "wasip1"}, runtime.GOOS)

// page is an offset that every system can map from.
var page = int(mmap.PageSize())

// TestMain fails the run when a test left a mapping.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := mmapgo.Registered(); n != 0 && code == 0 {
		fmt.Fprintln(os.Stderr, "mappings left over after all tests:", n)
		code = 1
	}
	os.Exit(code)
}

func needsMemory(t testing.TB) {
	t.Helper()
	if !maps {
		t.Skip("this system does not map files")
	}
}

// needsCut skips a test where a mapped file cannot be truncated.
func needsCut(t testing.TB) {
	t.Helper()
	needsMemory(t)
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be truncated on this system")
	}
}

// newFile makes a file with the content and opens it.
func newFile(t testing.TB, content []byte, flag int) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// mapFile maps length bytes of f, until the test ends or unmaps it.
func mapFile(t testing.TB, f *os.File, length, prot int, offset int64) mmapgo.MMap {
	t.Helper()
	m, err := mmapgo.MapRegion(f, length, prot, 0, offset)
	if err != nil {
		t.Fatal(err)
	}
	whole := m
	t.Cleanup(func() { whole.Unmap() })
	return m
}

// pattern returns n bytes, no two pages alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// content reads what the file has on the disk side of things.
func content(t testing.TB, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// must fails the test for an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr fails the test unless err wraps want.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// TestConstants: programs were compiled with these numbers, and keep them in
// their own constants.
func TestConstants(t *testing.T) {
	got := []int{mmapgo.RDONLY, mmapgo.RDWR, mmapgo.COPY, mmapgo.EXEC, mmapgo.ANON}
	if want := []int{0, 2, 4, 8, 1}; !slices.Equal(got, want) {
		t.Errorf("RDONLY, RDWR, COPY, EXEC, ANON are %v, not %v", got, want)
	}
}

// TestUnsupported: a system that does not map files says so.
func TestUnsupported(t *testing.T) {
	if maps {
		t.Skip("this system maps files")
	}
	_, err := mmapgo.Map(newFile(t, pattern(100), os.O_RDONLY), mmapgo.RDONLY, 0)
	wantErr(t, "Map", err, errors.ErrUnsupported)
	_, err = mmapgo.MapRegion(nil, 100, mmapgo.RDWR, mmapgo.ANON, 0)
	wantErr(t, "MapRegion", err, errors.ErrUnsupported)
}

// TestUnmap: Unmap ends the mapping and clears the variable.
func TestUnmap(t *testing.T) {
	needsMemory(t)
	m := mapFile(t, newFile(t, pattern(16), os.O_RDONLY), -1, mmapgo.RDONLY, 0)
	must(t, m.Unmap())
	if m != nil {
		t.Errorf("Unmap left a slice of %d bytes", len(m))
	}
	wantErr(t, "second Unmap", m.Unmap(), syscall.EINVAL)
	wantErr(t, "Flush afterwards", m.Flush(), syscall.EINVAL)
	wantErr(t, "Lock afterwards", m.Lock(), syscall.EINVAL)
	wantErr(t, "Unlock afterwards", m.Unlock(), syscall.EINVAL)
	wantErr(t, "View afterwards", m.View(func([]byte) error { return nil }), syscall.EINVAL)
}

// TestReadWrite: the memory shows the file, and what is stored reaches it.
func TestReadWrite(t *testing.T) {
	needsMemory(t)
	f := newFile(t, []byte("0123456789ABCDEF"), os.O_RDWR)
	m := mapFile(t, f, -1, mmapgo.RDWR, 0)
	if string(m) != "0123456789ABCDEF" {
		t.Errorf("the memory shows %q", m)
	}
	m[9] = 'X'
	must(t, m.Flush())
	if got := content(t, f); string(got) != "012345678XABCDEF" {
		t.Errorf("the file has %q", got)
	}
	m[10] = 'Y'
	must(t, m.Unmap())
	if got := content(t, f); string(got) != "012345678XYBCDEF" {
		t.Errorf("without Flush the file has %q", got)
	}
}

// TestCapacity: append makes a copy, and never stores behind the mapping.
func TestCapacity(t *testing.T) {
	needsMemory(t)
	m := mapFile(t, newFile(t, pattern(100), os.O_RDWR), -1, mmapgo.RDWR, 0)
	if cap(m) != 100 {
		t.Errorf("the capacity is %d", cap(m))
	}
	longer := append(m, 1)
	wantErr(t, "Flush of the copy", longer.Flush(), syscall.EINVAL)
	wantErr(t, "Unmap of the copy", longer.Unmap(), syscall.EINVAL)
	must(t, m.Flush())
}

// TestReadOnlyFile: what the file may not, the mapping may not.
func TestReadOnlyFile(t *testing.T) {
	needsMemory(t)
	f := newFile(t, pattern(16), os.O_RDONLY)
	_, err := mmapgo.Map(f, mmapgo.RDWR, 0)
	if err == nil {
		t.Error("RDWR of a file open for reading is no error")
	}
	m := mapFile(t, f, -1, mmapgo.COPY, 0)
	m[3] = 77
	if content(t, f)[3] == 77 {
		t.Error("COPY reached the file")
	}
}

// TestReadOnlyMemory: RDONLY memory cannot be stored to, also of a file open for
// writing; Flush has nothing to do, and does not fail.
func TestReadOnlyMemory(t *testing.T) {
	needsMemory(t)
	f := newFile(t, pattern(16), os.O_RDWR)
	m := mapFile(t, f, -1, mmapgo.RDONLY, 0)
	if !faults(func() { m[3] = 77 }) {
		t.Error("RDONLY memory could be stored to")
	}
	must(t, m.Flush())
}

// TestCopy: what is stored to a copy stays in it, with Flush and without, and
// COPY prevails over RDWR.
func TestCopy(t *testing.T) {
	needsMemory(t)
	for _, prot := range []int{mmapgo.COPY, mmapgo.COPY | mmapgo.RDWR} {
		f := newFile(t, pattern(16), os.O_RDWR)
		m := mapFile(t, f, -1, prot, 0)
		m[9] = 'X'
		must(t, m.Flush())
		must(t, m.Unmap())
		if !bytes.Equal(content(t, f), pattern(16)) {
			t.Errorf("prot %d: the file was changed", prot)
		}
	}
}

// TestOffset: a part of a file, from any page on; other offsets are refused.
func TestOffset(t *testing.T) {
	needsMemory(t)
	want := pattern(3*page + 100)
	f := newFile(t, want, os.O_RDWR)
	for _, c := range []struct{ length, offset, got int }{
		{page, 0, page}, {page, page, page}, {100, 2 * page, 100}, {page + 100, 2 * page, page + 100},
		{-1, 0, 3*page + 100}, {-1, page, 2*page + 100}, {-5, 3 * page, 100},
	} {
		for _, prot := range []int{mmapgo.RDONLY, mmapgo.RDWR, mmapgo.COPY} {
			m := mapFile(t, f, c.length, prot, int64(c.offset))
			if !bytes.Equal(m, want[c.offset:c.offset+c.got]) {
				t.Errorf("MapRegion(%d, offset %d, prot %d) shows other bytes, %d of them", c.length, c.offset, prot, len(m))
			}
			must(t, m.Flush())
			must(t, m.Unmap())
		}
	}
}

// TestBadArguments: each is an error, and changes nothing.
func TestBadArguments(t *testing.T) {
	needsMemory(t)
	f := newFile(t, pattern(page), os.O_RDWR)
	empty := newFile(t, nil, os.O_RDWR)
	closed := newFile(t, pattern(16), os.O_RDWR)
	closed.Close()
	aligned := int64(math.MaxInt64) / int64(page) * int64(page)
	for _, c := range []struct {
		name          string
		f             *os.File
		length, flags int
		offset        int64
		want          error
	}{
		{"offset inside a page", f, 1, 0, 1, syscall.EINVAL},
		{"negative offset inside a page", f, 1, 0, -1, syscall.EINVAL},
		{"negative offset", f, 1, 0, -int64(page), syscall.EINVAL},
		{"negative offset, whole file", f, -1, 0, -int64(page), syscall.EINVAL},
		{"no bytes", f, 0, 0, 0, syscall.EINVAL},
		{"empty file", empty, -1, 0, 0, syscall.EINVAL},
		{"offset at the end", f, -1, 0, int64(page), syscall.EINVAL},
		{"offset past the end", f, -1, 0, int64(2 * page), syscall.EINVAL},
		{"end past all numbers", f, math.MaxInt, 0, aligned, syscall.EINVAL},
		{"no file", nil, -1, 0, 0, os.ErrInvalid},
		{"no file, with a length", nil, 16, 0, 0, os.ErrInvalid},
		{"no file and no bytes", nil, 0, 0, 0, os.ErrInvalid},
		{"closed file", closed, -1, 0, 0, os.ErrClosed},
		{"closed file, with a length", closed, 16, 0, 0, os.ErrClosed},
		{"anonymous, no bytes", nil, 0, mmapgo.ANON, 0, syscall.EINVAL},
		{"anonymous, whole", nil, -1, mmapgo.ANON, 0, syscall.EINVAL},
		{"anonymous, offset inside a page", nil, 16, mmapgo.ANON, 1, syscall.EINVAL},
	} {
		for _, prot := range []int{mmapgo.RDONLY, mmapgo.RDWR, mmapgo.COPY} {
			m, err := mmapgo.MapRegion(c.f, c.length, prot, c.flags, c.offset)
			wantErr(t, fmt.Sprintf("%s, prot %d", c.name, prot), err, c.want)
			if m != nil {
				t.Errorf("%s, prot %d: a slice of %d bytes beside the error", c.name, prot, len(m))
			}
		}
	}
	if n := len(content(t, f)); n != page {
		t.Errorf("the file has %d bytes now", n)
	}
	if n := len(content(t, empty)); n != 0 {
		t.Errorf("the empty file has %d bytes now", n)
	}
}

// TestPastEnd: RDWR extends a file that is too short; the others refuse it.
func TestPastEnd(t *testing.T) {
	needsMemory(t)
	for _, size := range []int{0, 10, page, page + 10} {
		for _, offset := range []int{0, page} {
			length := size + page/2
			f := newFile(t, pattern(size), os.O_RDWR)
			for _, prot := range []int{mmapgo.RDONLY, mmapgo.COPY} {
				_, err := mmapgo.MapRegion(f, length, prot, 0, int64(offset))
				wantErr(t, fmt.Sprintf("prot %d, %d bytes at %d of %d", prot, length, offset, size), err, io.ErrUnexpectedEOF)
			}
			if n := len(content(t, f)); n != size {
				t.Fatalf("a refused mapping made the file %d bytes long", n)
			}
			m := mapFile(t, f, length, mmapgo.RDWR, int64(offset))
			m[length-1] = 99
			want := append(pattern(size), make([]byte, offset+length-size)...)
			want[offset+length-1] = 99
			if !bytes.Equal(m, want[offset:]) {
				t.Errorf("%d bytes at %d of %d: the memory shows other bytes", length, offset, size)
			}
			must(t, m.Flush())
			must(t, m.Unmap())
			if !bytes.Equal(content(t, f), want) {
				t.Errorf("%d bytes at %d of %d: the file has other bytes", length, offset, size)
			}
		}
	}
}

// TestFileClosed: the mapping outlives the file it was made of, and never moves
// its offset.
func TestFileClosed(t *testing.T) {
	needsMemory(t)
	f := newFile(t, pattern(page), os.O_RDWR)
	_, err := f.Seek(5, io.SeekStart)
	must(t, err)
	m := mapFile(t, f, -1, mmapgo.RDWR, 0)
	if at, err := f.Seek(0, io.SeekCurrent); at != 5 || err != nil {
		t.Errorf("the file's offset is %d, %v", at, err)
	}
	must(t, f.Close())
	m[7] = 'Z'
	must(t, m.Flush())
	must(t, m.Unmap())
	if content(t, f)[7] != 'Z' {
		t.Error("the store is not in the file")
	}
}

// TestAppendFile: a file opened with O_APPEND can be mapped, in parts too.
func TestAppendFile(t *testing.T) {
	needsMemory(t)
	want := pattern(2*page + 10)
	f := newFile(t, want, os.O_RDWR|os.O_APPEND)
	for _, prot := range []int{mmapgo.RDONLY, mmapgo.COPY, mmapgo.RDWR} {
		if prot == mmapgo.RDWR && runtime.GOOS == "windows" {
			continue // such a handle may append and nothing else
		}
		m := mapFile(t, f, page+5, prot, int64(page))
		if !bytes.Equal(m, want[page:2*page+5]) {
			t.Errorf("prot %d: the memory shows other bytes", prot)
		}
		if cap(m) != page+5 {
			t.Errorf("prot %d: the capacity is %d", prot, cap(m))
		}
		if prot != mmapgo.RDONLY {
			m[1] ^= 0xff
		}
		must(t, m.View(func(b []byte) error {
			if !bytes.Equal(b, m) {
				t.Errorf("prot %d: View shows other bytes", prot)
			}
			return nil
		}))
		must(t, m.Flush())
		must(t, m.Unmap())
		if prot == mmapgo.RDWR {
			want[page+1] ^= 0xff
		}
		if !bytes.Equal(content(t, f), want) {
			t.Errorf("prot %d: the file has other bytes", prot)
		}
	}
}

// TestAnonymous: memory without a file is zero, writable, and its own.
func TestAnonymous(t *testing.T) {
	needsMemory(t)
	for _, prot := range []int{mmapgo.RDWR, mmapgo.COPY, mmapgo.RDWR | mmapgo.COPY} {
		f := newFile(t, pattern(100), os.O_RDWR) // ignored
		m, err := mmapgo.MapRegion(f, page+1, prot, mmapgo.ANON, int64(page))
		must(t, err)
		if !bytes.Equal(m, make([]byte, page+1)) {
			t.Errorf("prot %d: the memory is not %d zeros", prot, page+1)
		}
		for i := range m {
			m[i] = 0x55
		}
		must(t, m.Flush())
		must(t, m.Unmap())
	}
	m, err := mmapgo.MapRegion(nil, 10, mmapgo.RDONLY, mmapgo.ANON, 0)
	must(t, err)
	if !faults(func() { m[0] = 1 }) {
		t.Error("RDONLY memory could be stored to")
	}
	must(t, m.Unmap())
}

// TestParts: Flush, Lock, Unlock and View take any part of a mapping.
func TestParts(t *testing.T) {
	needsMemory(t)
	const size = 100_000
	want := pattern(size)
	m := mapFile(t, newFile(t, want, os.O_RDWR), -1, mmapgo.RDWR, 0)
	for _, r := range [][2]int{{0, 1}, {1, 2}, {4095, 4097}, {4096, 8192}, {size - 1, size}, {12345, 67890}, {0, size}} {
		for _, part := range []mmapgo.MMap{m[r[0]:r[1]], m[r[0]:r[1]:r[1]]} {
			must(t, part.Flush())
			if err := part.Lock(); err != nil {
				t.Logf("Lock of %v: %v", r, err) // the system's limit
			} else {
				must(t, part.Unlock())
			}
			must(t, part.View(func(b []byte) error {
				if !bytes.Equal(b, want[r[0]:r[1]]) {
					t.Errorf("View of %v shows other bytes", r)
				}
				return nil
			}))
		}
	}
	heap := mmapgo.MMap(make([]byte, 10))
	for name, part := range map[string]mmapgo.MMap{"empty": m[5:5], "nothing at the end": m[size:], "heap": heap, "nil": nil} {
		wantErr(t, "Flush of "+name, part.Flush(), syscall.EINVAL)
		wantErr(t, "Lock of "+name, part.Lock(), syscall.EINVAL)
		wantErr(t, "Unlock of "+name, part.Unlock(), syscall.EINVAL)
	}
}

// TestFlushPart: a flush of a part covers the stores in it.
func TestFlushPart(t *testing.T) {
	needsMemory(t)
	f := newFile(t, pattern(4*page), os.O_RDWR)
	m := mapFile(t, f, 2*page, mmapgo.RDWR, int64(page))
	m[page+3] ^= 0xff
	must(t, m[page+3:page+4].Flush())
	if content(t, f)[2*page+3] != m[page+3] {
		t.Error("the store is not in the file")
	}
}

// TestUnmapPart: Unmap of a part is refused, clears that variable, and leaves
// the mapping as it was.
func TestUnmapPart(t *testing.T) {
	needsMemory(t)
	want := pattern(3 * page)
	m := mapFile(t, newFile(t, want, os.O_RDWR), -1, mmapgo.RDWR, 0)
	for _, part := range []mmapgo.MMap{m[1:], m[page:], m[:page], m[:3*page-1], m[page : 2*page : 2*page], m[:0], m[3*page:], make([]byte, 10)} {
		wantErr(t, fmt.Sprintf("Unmap of %d bytes", len(part)), part.Unmap(), syscall.EINVAL)
		if part != nil {
			t.Error("Unmap left the slice")
		}
	}
	if !bytes.Equal(m, want) {
		t.Error("the mapping has changed")
	}
	must(t, m.Flush())
	same := m[:len(m):len(m)]
	must(t, same.Unmap())
}

// TestTwice: of several that unmap the same memory at once, one succeeds.
func TestTwice(t *testing.T) {
	needsMemory(t)
	f := newFile(t, pattern(100), os.O_RDWR)
	for range 50 {
		m, err := mmapgo.Map(f, mmapgo.RDWR, 0)
		must(t, err)
		var done sync.WaitGroup
		var ended atomic.Int32
		for range 4 {
			mine := m
			done.Go(func() {
				if mine.Unmap() == nil {
					ended.Add(1)
				}
			})
			done.Go(func() { // any answer will do, but a crash
				m[:10].Flush()
				m[10:20].Lock()
				m[10:20].Unlock()
				m.View(func(b []byte) error { b[0]++; return nil })
			})
		}
		done.Wait()
		if n := ended.Load(); n != 1 {
			t.Fatalf("%d of 4 unmapped it", n)
		}
	}
}

// TestManyMappings: each slice finds its own mapping among many, whatever the
// order of mapping and unmapping.
func TestManyMappings(t *testing.T) {
	needsMemory(t)
	const count = 100
	f := newFile(t, make([]byte, count*page), os.O_RDWR)
	var list []mmapgo.MMap
	for i := range count {
		list = append(list, mapFile(t, f, page, mmapgo.RDWR, int64(i*page)))
	}
	for i := 0; i < count; i += 2 {
		must(t, list[i].Unmap())
	}
	for i := 1; i < count; i += 2 {
		list[i][i] = byte(i)
		must(t, list[i][i:i+1].Flush())
	}
	all := content(t, f)
	for i := 1; i < count; i += 2 {
		must(t, list[i].Unmap())
		if all[i*page+i] != byte(i) {
			t.Errorf("the store through mapping %d is not in the file", i)
		}
	}
}

// TestStale: what is left of a slice after Unmap faults, also when other
// memory was mapped since.
func TestStale(t *testing.T) {
	needsMemory(t)
	f := newFile(t, pattern(page), os.O_RDWR)
	for range 20 {
		m, err := mmapgo.Map(f, mmapgo.RDWR, 0)
		must(t, err)
		stale := m[10:20]
		must(t, m.Unmap())
		other := mapFile(t, f, -1, mmapgo.RDWR, 0)
		if !faults(func() { sink = stale[0] + other[0] }) {
			t.Fatal("an unmapped slice could be read")
		}
		wantErr(t, "Flush of what is left", stale.Flush(), syscall.EINVAL)
	}
}

// sink takes what is read, so that the compiler leaves the reading alone.
var sink byte

// faults reports whether fn touches memory that it may not.
func faults(fn func()) (yes bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			_, yes = v.(interface{ Addr() uintptr })
			if !yes {
				panic(v)
			}
		}
	}()
	fn()
	return false
}

// TestCut: a file that somebody truncated is an error of View and of Flush, no
// crash and no success.
func TestCut(t *testing.T) {
	needsCut(t)
	f := newFile(t, pattern(4*page), os.O_RDWR)
	m := mapFile(t, f, -1, mmapgo.RDWR, 0)
	m[3*page] = 1
	must(t, f.Truncate(int64(page)))
	var fault *mmap.FaultError
	err := m[2*page:].View(func(b []byte) error { b[0]++; return nil })
	if errors.As(err, &fault) {
		wantErr(t, "View", err, io.ErrUnexpectedEOF)
	} else {
		wantErr(t, "View past the new end", err, io.ErrUnexpectedEOF)
	}
	wantErr(t, "Flush", m.Flush(), io.ErrUnexpectedEOF)
	must(t, m[:page].View(func(b []byte) error { b[0]++; return nil }))
}

// TestCutInView: a fault inside View is an error of View, with its offset.
func TestCutInView(t *testing.T) {
	needsCut(t)
	f := newFile(t, pattern(4*page), os.O_RDWR)
	m := mapFile(t, f, -1, mmapgo.RDWR, 0)
	err := m[page:].View(func(b []byte) error {
		must(t, f.Truncate(int64(page)))
		b[2*page]++
		return nil
	})
	var fault *mmap.FaultError
	if !errors.As(err, &fault) || fault.Off != int64(3*page) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("View returned %v", err)
	}
}

// TestViewError: fn's own error comes back as it is.
func TestViewError(t *testing.T) {
	needsMemory(t)
	m := mapFile(t, newFile(t, pattern(10), os.O_RDONLY), -1, mmapgo.RDONLY, 0)
	if err := m.View(func([]byte) error { return io.EOF }); err != io.EOF {
		t.Errorf("View returned %v", err)
	}
}

// TestNoDescriptorLeft: neither a mapping that ended nor one that could not be
// made keeps the file open.
func TestNoDescriptorLeft(t *testing.T) {
	needsMemory(t)
	const list = "/proc/self/fd"
	if _, err := os.ReadDir(list); err != nil {
		t.Skip("this system does not list descriptors: ", err)
	}
	count := func() int {
		entries, err := os.ReadDir(list)
		must(t, err)
		return len(entries)
	}
	f := newFile(t, pattern(10), os.O_RDWR)
	appending := newFile(t, pattern(10), os.O_RDWR|os.O_APPEND)
	before := count()
	for range 20 {
		m, err := mmapgo.Map(f, mmapgo.RDWR, 0)
		must(t, err)
		must(t, m.Unmap())
		_, err = mmapgo.MapRegion(f, 11, mmapgo.RDONLY, 0, 0)
		wantErr(t, "MapRegion past the end", err, io.ErrUnexpectedEOF)
		_, err = mmapgo.MapRegion(appending, 11, mmapgo.RDONLY, 0, 0)
		wantErr(t, "MapRegion past the end of a file with O_APPEND", err, io.ErrUnexpectedEOF)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func BenchmarkMapUnmap(b *testing.B) {
	needsMemory(b)
	f := newFile(b, pattern(1<<20), os.O_RDWR)
	b.ReportAllocs()
	for b.Loop() {
		m, err := mmapgo.Map(f, mmapgo.RDWR, 0)
		must(b, err)
		must(b, m.Unmap())
	}
}

func ExampleMap() {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("mmapgo-example-%d", os.Getpid()))
	defer os.Remove(name)
	if err := os.WriteFile(name, []byte("Hello, world"), 0o600); err != nil {
		log.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		log.Fatal(err)
	}
	m, err := mmapgo.Map(f, mmapgo.RDWR, 0)
	if err != nil {
		log.Fatal(err)
	}
	f.Close() // the mapping does not need it
	copy(m, "HELLO")
	if err := m.Flush(); err != nil { // now it is on stable storage
		log.Fatal(err)
	}
	fmt.Println(string(m))
	if err := m.Unmap(); err != nil {
		log.Fatal(err)
	}
	// Output: HELLO, world
}

func ExampleMapRegion() {
	m, err := mmapgo.MapRegion(nil, 100, mmapgo.RDWR, mmapgo.ANON, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(m)) // memory that the collector does not know of
	if err := m.Unmap(); err != nil {
		log.Fatal(err)
	}
	// Output: 100
}
