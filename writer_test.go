package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// writeAt makes one call.
func writeAt(n int, off int64) func(f file) outcome {
	return func(f file) outcome {
		n, err := f.WriteAt(pattern(4, n), off)
		return result(n, err, nil)
	}
}

// write moves the cursor and writes.
func write(n int, from int64, whence int) func(f file) outcome {
	return func(f file) outcome {
		if _, err := f.Seek(from, whence); err != nil {
			return result(0, err, nil)
		}
		n, err := f.Write(pattern(4, n))
		return result(n, err, nil)
	}
}

// truncate changes the size.
func truncate(size int64) func(f file) outcome {
	return func(f file) outcome { return result(0, f.Truncate(size), nil) }
}

// after makes one call after another and gives the results of both.
func after(first, then func(f file) outcome) func(f file) outcome {
	return func(f file) outcome {
		a, b := first(f), then(f)
		return outcome{b.N, a.Err + "; " + b.Err, fmt.Sprint(a.N, a.Data) + "; " + b.Data}
	}
}

// modes are the flags that change what a write does.
var modes = map[string]int{
	"RDWR":   os.O_RDWR,
	"RDONLY": os.O_RDONLY,
	"APPEND": os.O_RDWR | os.O_APPEND,
	"SYNC":   os.O_RDWR | os.O_SYNC,
}

// TestWriteLikeFile: the edges of Write, WriteAt and Truncate in each mode.
func TestWriteLikeFile(t *testing.T) {
	const size = 10_000
	calls := map[string]func(f file) outcome{
		"Sync":             func(f file) outcome { return result(0, f.Sync(), nil) },
		"WriteString":      writeString("hello", 0),
		"WriteString none": writeString("", 3),
		"WriteString end":  writeString("hello", size),
		"Write(nil)":       func(f file) outcome { n, err := f.Write(nil); return result(n, err, nil) },
		// Bytes that were cut off are gone when the file grows again.
		"shrink and grow":          after(truncate(5), truncate(size)),
		"shrink and write":         after(truncate(5), writeAt(10, 6000)),
		"shrink and append":        after(truncate(5), write(10, 6000, io.SeekStart)),
		"grow and read":            after(truncate(20_000), readAt(20_001, 0)),
		"write and read":           after(writeAt(5000, 3000), readAt(size+1, 0)),
		"write past and read":      after(writeAt(5000, size+5000), readAt(5*size, 0)),
		"write after failed seek":  after(seek(-1, io.SeekStart), write(3, 0, io.SeekCurrent)),
		"write after seek to hole": after(seek(4, io.SeekEnd), write(3, 0, io.SeekCurrent)),
	}
	for _, off := range []int64{0, 1, 4095, 4096, size - 1, size, size + 1, 3 * size, -1, math.MinInt64, math.MaxInt64} {
		for _, n := range []int{0, 1, 2, 4097, size} {
			calls[fmt.Sprintf("WriteAt(%d,%d)", n, off)] = writeAt(n, off)
			calls[fmt.Sprintf("Write(%d)after%d", n, off)] = write(n, off, io.SeekStart)
		}
		if off != math.MaxInt64 { // tmpfs takes it
			calls[fmt.Sprintf("Truncate(%d)", off)] = truncate(off)
		}
	}
	for name, flag := range modes {
		t.Run(name, func(t *testing.T) { sameAsFile(t, flag, pattern(2, size), calls) })
	}
}

// writeString moves the cursor and writes s.
func writeString(s string, from int64) func(f file) outcome {
	return func(f file) outcome {
		_, _ = f.Seek(from, io.SeekStart)
		n, err := f.WriteString(s)
		return result(n, err, nil)
	}
}

// shifts are by how much the two overlap in a copy of 300 000 bytes.
var shifts = []int64{1, 100, 4096, 5000, -1, -100, -4096, -5000}

// TestReadIntoOwnBytes: p may overlap the place it is read from, as it may for
// copy.
func TestReadIntoOwnBytes(t *testing.T) {
	needsMemory(t)
	for _, shift := range shifts {
		data := pattern(1, 300_000)
		r := openRegion(t, newFile(t, data), os.O_RDWR, nil)
		b := r.Bytes()
		to := max(-shift, 0)
		part := b[to : int64(len(b))-max(shift, 0)]
		if n, err := r.ReadAt(part, to+shift); n != len(part) || err != nil {
			t.Fatalf("ReadAt: %d, %v", n, err)
		}
		want := bytes.Clone(data)
		copy(want[to:], data[to+shift:int64(len(data))+min(shift, 0)])
		if at := firstDifference(b, want); at >= 0 {
			t.Errorf("shifted by %d: byte %d differs", shift, at)
		}
	}
}

// TestWriteFromOwnBytes: p may overlap the place it is written to, as it may
// for copy.
func TestWriteFromOwnBytes(t *testing.T) {
	needsMemory(t)
	for _, shift := range shifts {
		data := pattern(1, 300_000)
		name := newFile(t, data)
		r := openRegion(t, name, os.O_RDWR, nil)
		b := r.Bytes()
		from := max(-shift, 0)
		part := b[from : int64(len(b))-max(shift, 0)]
		if n, err := r.WriteAt(part, from+shift); n != len(part) || err != nil {
			t.Fatalf("WriteAt: %d, %v", n, err)
		}
		want := bytes.Clone(data)
		copy(want[from+shift:], data[from:int64(len(data))-max(shift, 0)])
		if at := firstDifference([]byte(contents(t, name).Data), want); at >= 0 {
			t.Errorf("shifted by %d: byte %d differs", shift, at)
		}
	}
}

// limits are Regions whose writes end somewhere.
var limits = []struct {
	name string
	flag int
	size int // of the file
	opts mmap.Options
	room int64 // up to where writes go
	grow bool  // a write there makes the file longer
}{
	{"window", os.O_RDWR, 10_000, mmap.Options{Offset: 1000, Length: 5000}, 5000, false},
	{"window at the end", os.O_RDWR, 10_000, mmap.Options{Offset: 5000, Length: 5000}, 5000, false},
	{"window past the end", os.O_RDWR, 10_000, mmap.Options{Offset: 9000, Length: 5000}, 5000, true},
	{"window behind the end", os.O_RDWR, 10_000, mmap.Options{Offset: 12_000, Length: 5000}, 5000, true},
	{"private", os.O_RDWR, 10_000, mmap.Options{Private: true}, 10_000, false},
	{"private, read-only", os.O_RDONLY, 10_000, mmap.Options{Private: true}, 10_000, false},
	{"private window", os.O_RDWR, 10_000, mmap.Options{Private: true, Offset: 1000, Length: 5000}, 5000, false},
}

// TestWriteAtLimit: a write past the end of a window or of private memory
// stores what fits and returns io.ErrShortWrite. Bytes around a window, and the
// file of private memory, stay as they are.
func TestWriteAtLimit(t *testing.T) {
	for _, l := range limits {
		for _, n := range []int64{0, 1, 100, 6000, 20_000} {
			for _, off := range []int64{0, 1, l.room - 100, l.room - 1, l.room, l.room + 1, math.MaxInt64 - 3} {
				t.Run(fmt.Sprintf("%s/%d@%d", l.name, n, off), func(t *testing.T) {
					if l.opts.Private {
						needsMemory(t)
					}
					data := pattern(1, l.size)
					name := newFile(t, data)
					r := openRegion(t, name, l.flag, &l.opts)
					wantN := max(min(n, l.room-off), 0)
					wantErr := error(nil)
					if wantN < n {
						wantErr = io.ErrShortWrite
					}
					p := pattern(4, int(n))
					if got, err := r.WriteAt(p, off); int64(got) != wantN || err != wantErr {
						t.Errorf("WriteAt: %d, %v; not %d, %v", got, err, wantN, wantErr)
					}
					if l.opts.Private {
						checkBytes(t, name, data)
						checkPrivate(t, r, data[l.opts.Offset:][:l.room], p[:wantN], off)
						return
					}
					checkBytes(t, name, overwritten(data, p[:wantN], l.opts.Offset+off))
				})
			}
		}
	}
}

// checkBytes compares a file.
func checkBytes(t *testing.T, name string, want []byte) {
	t.Helper()
	if at := firstDifference([]byte(contents(t, name).Data), want); at >= 0 {
		t.Errorf("the file differs at byte %d", at)
	}
}

// firstDifference returns the first byte that differs, or -1.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// checkPrivate reads private memory back.
func checkPrivate(t *testing.T, r *mmap.Region, data, p []byte, off int64) {
	t.Helper()
	got := make([]byte, r.Size())
	if _, err := r.ReadAt(got, 0); err != nil {
		t.Error(err)
	}
	if at := firstDifference(got, overwritten(data, p, off)); at >= 0 {
		t.Errorf("the private bytes differ at %d", at)
	}
}

// TestFixedSize: windows and what has no file cannot be truncated, and what
// has no file cannot be flushed.
func TestFixedSize(t *testing.T) {
	for _, l := range limits {
		if l.opts.Private {
			needsMemory(t)
		}
		r := openRegion(t, newFile(t, pattern(1, l.size)), l.flag, &l.opts)
		if err := r.Truncate(1); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: Truncate: %v", l.name, err)
		}
		for what, err := range map[string]error{"Flush": r.Flush(), "FlushRange": r.FlushRange(0, 1), "FlushAsync": r.FlushAsync(0, 1), "Sync": r.Sync()} {
			if errors.Is(err, errors.ErrUnsupported) != l.opts.Private || !l.opts.Private && err != nil && l.name != "window behind the end" {
				t.Errorf("%s: %s: %v", l.name, what, err)
			}
		}
	}
}

// TestWriteAllocatesNothing: no call that writes or flushes allocates.
func TestWriteAllocatesNothing(t *testing.T) {
	needsExactAllocations(t)
	p := []byte("hello")
	change := func(b []byte) error { b[0]++; return nil }
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		if err := r.WriteByte(0); err != nil && !errors.Is(err, io.EOF) {
			t.Skip("not for writing: ", err) // an error has a name, and that is allocated
		}
		back := func() { _, _ = r.Seek(0, io.SeekStart) }
		calls := map[string]func(){
			"Write":       func() { _, _ = r.Write(p); back() },
			"WriteByte":   func() { _ = r.WriteByte('x'); back() },
			"WriteString": func() { _, _ = r.WriteString("hello"); back() },
			"WriteAt":     func() { _, _ = r.WriteAt(p, 50) },
		}
		if r.View(10, 100, change) == nil { // or a store faults, as with O_APPEND on Windows
			calls["View"] = func() { _ = r.View(10, 100, change) }
		}
		if flushes := r.Flush(); flushes == nil {
			calls["Flush"] = func() { _ = r.Flush() }
			calls["FlushRange"] = func() { _ = r.FlushRange(10, 100) }
			calls["FlushAsync"] = func() { _ = r.FlushAsync(10, 100) }
			calls["Flush of something"] = func() { _, _ = r.WriteAt(p, 50); _ = r.Flush() }
		}
		for what, call := range calls {
			runs := 100
			if strings.HasPrefix(what, "Flush") {
				runs = 3 // disks are slow
			}
			if n := allocations(runs, call); n > 0 {
				t.Errorf("%s allocates %v times", what, n)
			}
		}
	}, 5000)
}

// TestExtendingAllocatesNothing: neither does a write that makes the file
// longer, but for the mapping that may come with it now and then.
func TestExtendingAllocatesNothing(t *testing.T) {
	needsExactAllocations(t)
	r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, nil)
	r.Bytes()
	p := make([]byte, 10)
	n := allocations(200, func() { _, _ = r.WriteAt(p, r.Size()) })
	if n > 0 {
		t.Errorf("a write at the end allocates %v times", n)
	}
}

// The tests below are named after bugs of other libraries for mapped files, as
// they were found there. Where a bug concerns one system or an interface that
// is tested elsewhere, its test here is the part of it that every system has:
//
//	B5  offsets counted in pages       here, for every offset
//	B7  mlock returns Errno(0)         here; skipped where locking needs rights
//	B12 Close beside Read              here briefly; at length in close_test.go
//	B14 MAP_ANON of another system     here: Anonymous works on the system that runs the test
//	B15 Windows: dead slice, moved offset  here: Protect and Map, on every system
//	B19 Windows: handles left by failures  here: descriptors, where they can be counted

// TestWriteTooFar: an offset that no file has is the same error for any length.
func TestWriteTooFar(t *testing.T) {
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDWR, nil)
	f, err := os.OpenFile(newFile(t, pattern(1, 100)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 2<<20)
	n, got := r.WriteAt(p, math.MaxInt64-1<<20)
	m, want := f.WriteAt(p, math.MaxInt64-1<<20)
	if n != m || !errors.Is(got, errors.Unwrap(want)) {
		t.Errorf("WriteAt = %d, %v; os says %d, %v", n, got, m, want)
	}
}

// TestWriteOwnBytesAtDescriptor: bytes of the Region's own memory arrive as they
// were, also when the cursor is the descriptor's.
func TestWriteOwnBytesAtDescriptor(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 20_000)
	r := openRegion(t, newFile(t, data), os.O_RDWR, nil)
	b := r.Bytes()
	if _, err := r.Seek(100, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	conn, err := r.SyscallConn()
	if err == nil {
		err = conn.Control(func(uintptr) {})
	}
	if err != nil {
		t.Skip(err)
	}
	if n, err := r.Write(b[:12_000]); n != 12_000 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if !bytes.Equal(b[100:12_100], data[:12_000]) {
		t.Error("the bytes are smeared")
	}
}

// TestWriteHalfStored: a write whose first part goes to memory and whose second
// goes by the descriptor leaves no gap between the two.
func TestWriteHalfStored(t *testing.T) {
	needsMemory(t)
	const mega = 1 << 20
	name := newFile(t, make([]byte, 4*mega))
	r := openMapped(t, name, os.O_RDWR, nil)
	data := pattern(1, 2*mega+5000)
	for range 3 { // the third goes to memory
		for at := 0; at < mega; at += 16 << 10 {
			if _, err := r.WriteAt(make([]byte, 16<<10), int64(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := make([]byte, 4*mega)
	for _, off := range []int{mega, 0} { // the first or the second part is for memory
		copy(want[off:], data)
		if n, err := r.WriteAt(data, int64(off)); n != len(data) || err != nil {
			t.Errorf("WriteAt = %d, %v", n, err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("written at %d: wrong at byte %d, %v", off, differ(got, want), err)
		}
	}
}

// TestHotEnd: where all of a file is known and writable, a read that ends a byte
// past it is short, and a write makes the file longer.
func TestHotEnd(t *testing.T) {
	needsMemory(t)
	for _, size := range []int{100, int(mmap.PageSize()), 5000} {
		for _, n := range []int{1, 2, 3, 10, 100} {
			name := newFile(t, pattern(1, size))
			r := openMapped(t, name, os.O_RDWR, nil)
			for off := 0; off < size; off += 100 {
				storeHot(t, r, pattern(1, size)[off:min(size, off+100)], int64(off))
			}
			p := make([]byte, n)
			if got, err := r.ReadAt(p, int64(size-n+1)); got != n-1 || err != io.EOF || !bytes.Equal(p[:got], pattern(1, size)[size-n+1:]) {
				t.Errorf("of %d bytes: ReadAt = %d, %v", size, got, err)
			}
			more := pattern(1, size+1)
			if got, err := r.WriteAt(more[size-n+1:], int64(size-n+1)); got != n || err != nil {
				t.Errorf("to %d bytes: WriteAt = %d, %v", size, got, err)
			}
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, more) {
				t.Errorf("after a write of %d bytes the file has %d, %v", n, len(got), err)
			}
		}
	}
}

// TestAppendModeError: the error of a WriteAt with O_APPEND is the value that os
// returns, so that programs can compare it.
func TestAppendModeError(t *testing.T) {
	name := newFile(t, pattern(1, 100))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := openRegion(t, name, os.O_RDWR|os.O_APPEND, nil)
	_, want := f.WriteAt([]byte("x"), 1)
	if n, err := r.WriteAt([]byte("x"), 1); n != 0 || !errors.Is(err, want) {
		t.Errorf("%d, %v; os.File: %v", n, err, want)
	}
}
