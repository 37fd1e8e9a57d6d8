package mmap_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// failingReader gives n bytes and then fails. It uses all of p as scratch, as
// an io.Reader may.
type failingReader struct{ n int }

// Read implements io.Reader.
func (r *failingReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0xEE
	}
	n := min(r.n, len(p))
	copy(p[:n], pattern(3, n))
	r.n -= n
	if r.n == 0 {
		return n, errFull
	}
	return n, nil
}

// TestReadFromLikeFile: ReadFrom from readers of all kinds, among them one that
// scribbles behind what it returns, in each mode.
func TestReadFromLikeFile(t *testing.T) {
	source := newFile(t, pattern(4, 100_000))
	calls := map[string]func(f file) outcome{
		"bytes": func(f file) outcome { return from(f, bytes.NewReader(pattern(4, 100_000))) },
		"bytes in the middle": func(f file) outcome {
			_, _ = f.Seek(3000, io.SeekStart)
			return from(f, bytes.NewReader(pattern(4, 5000)))
		},
		"nothing":     func(f file) outcome { return from(f, bytes.NewReader(nil)) },
		"strings":     func(f file) outcome { return from(f, strings.NewReader("hello")) },
		"bufio":       func(f file) outcome { return from(f, bufio.NewReader(bytes.NewReader(pattern(4, 5000)))) },
		"file":        func(f file) outcome { return fromFile(t, f, source, -1) },
		"file, none":  func(f file) outcome { return fromFile(t, f, source, 0) },
		"file, 5000":  func(f file) outcome { return fromFile(t, f, source, 5000) },
		"file, limit": func(f file) outcome { return fromFile(t, f, source, 500_000) },
	}
	for _, n := range []int{1, 4096, 32 << 10, 50_000} {
		calls["failing after "+strconv.Itoa(n)] = func(f file) outcome { return from(f, &failingReader{n: n}) }
	}
	for name, flag := range modes {
		t.Run(name, func(t *testing.T) { sameAsFile(t, flag, pattern(2, 70_000), calls) })
	}
}

// from copies from src.
func from(f file, src io.Reader) outcome {
	n, err := f.ReadFrom(src)
	return result(n, err, nil)
}

// fromFile copies n bytes of a file, or all, and tells where that stands then.
func fromFile(t *testing.T, f file, name string, n int64) outcome {
	t.Helper()
	src, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var got int64
	if n < 0 {
		got, err = f.ReadFrom(src)
	} else {
		got, err = f.ReadFrom(io.LimitReader(src, n))
	}
	return result(got, err, fmt.Append(nil, at(src)))
}

// TestCopyFromRegion: a Region as the source of a Region's ReadFrom, of itself
// among others.
func TestCopyFromRegion(t *testing.T) {
	data := pattern(1, 300_000)
	src := openRegion(t, newFile(t, data), os.O_RDONLY, nil)
	name := newFile(t, nil)
	dst := openRegion(t, name, os.O_RDWR, nil)
	if n, err := io.Copy(dst, src); n != int64(len(data)) || err != nil {
		t.Fatalf("io.Copy: %d, %v", n, err)
	}
	if contents(t, name).Data != string(data) {
		t.Error("the copy differs")
	}
	if n, err := dst.ReadFrom(io.NewSectionReader(dst, 0, 1000)); n != 1000 || err != nil {
		t.Fatalf("ReadFrom itself: %d, %v", n, err)
	}
	if got := contents(t, name).Data; got != string(data)+string(data[:1000]) {
		t.Error("the copy of itself differs")
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

// overwritten returns data with p at off, made longer where p needs that.
func overwritten(data, p []byte, off int64) []byte {
	if len(p) == 0 {
		return data
	}
	end := off + int64(len(p))
	all := append(bytes.Clone(data), make([]byte, max(end-int64(len(data)), 0))...)
	copy(all[off:], p)
	return all
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

// TestCopyIntoLimit: a copy into a window ends where that does.
func TestCopyIntoLimit(t *testing.T) {
	for _, l := range limits {
		if l.opts.Private {
			needsMemory(t)
		}
		r := openRegion(t, newFile(t, pattern(1, l.size)), l.flag, &l.opts)
		n, err := io.Copy(r, bytes.NewReader(pattern(4, 50_000)))
		if n != l.room || err != io.ErrShortWrite {
			t.Errorf("%s: io.Copy: %d, %v; not %d, %v", l.name, n, err, l.room, io.ErrShortWrite)
		}
		if at, err := r.Seek(0, io.SeekCurrent); at != l.room || err != nil {
			t.Errorf("%s: the cursor is at %d, %v", l.name, at, err)
		}
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

// TestProtectedWrites: what Options.Prot forbids, no way of writing does.
func TestProtectedWrites(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 10_000)
	source := newFile(t, pattern(4, 1000))
	calls := map[string]func(r *mmap.Region) error{
		"WriteAt":        func(r *mmap.Region) error { _, err := r.WriteAt([]byte("x"), 5); return err },
		"WriteAt past":   func(r *mmap.Region) error { _, err := r.WriteAt([]byte("x"), 20_000); return err },
		"Write":          func(r *mmap.Region) error { _, err := r.Write([]byte("x")); return err },
		"WriteByte":      func(r *mmap.Region) error { return r.WriteByte('x') },
		"WriteString":    func(r *mmap.Region) error { _, err := r.WriteString("x"); return err },
		"ReadFrom":       func(r *mmap.Region) error { _, err := r.ReadFrom(strings.NewReader("x")); return err },
		"ReadFrom file":  func(r *mmap.Region) error { return copyFile(t, r, source, -1) },
		"ReadFrom limit": func(r *mmap.Region) error { return copyFile(t, r, source, 10) },
		"View":           func(r *mmap.Region) error { return r.View(0, 10, func(b []byte) error { b[0]++; return nil }) },
	}
	for what, call := range calls {
		name := newFile(t, data)
		r := openRegion(t, name, os.O_RDWR, &mmap.Options{Prot: mmap.ProtRead})
		if err := call(r); !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s: %v, not EACCES", what, err)
		}
		checkBytes(t, name, data)
	}
}

// copyFile copies n bytes of a file into r, or all.
func copyFile(t *testing.T, r *mmap.Region, name string, n int64) error {
	t.Helper()
	src, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if n < 0 {
		_, err = r.ReadFrom(src)
	} else {
		_, err = r.ReadFrom(io.LimitReader(src, n))
	}
	return err
}

// TestSizeIsTheFiles: after this Region changed the size it knows the file's
// own, whatever others did meanwhile.
func TestSizeIsTheFiles(t *testing.T) {
	calls := map[string]func(r *mmap.Region) error{
		"WriteAt":  func(r *mmap.Region) error { _, err := r.WriteAt(make([]byte, 10), 105); return err },
		"Write":    func(r *mmap.Region) error { _, err := r.Write(make([]byte, 110)); return err },
		"ReadFrom": func(r *mmap.Region) error { _, err := r.ReadFrom(bytes.NewReader(make([]byte, 110))); return err },
		"Truncate": func(r *mmap.Region) error { return r.Truncate(150) },
	}
	for what, call := range calls {
		for _, mode := range []string{"RDWR", "APPEND"} {
			for _, size := range []int64{0, 50, 8000} { // that others give it
				if mode == "APPEND" && what == "WriteAt" {
					continue
				}
				name := newFile(t, pattern(1, 100))
				r := openRegion(t, name, modes[mode], nil)
				r.Bytes()
				if err := os.Truncate(name, size); err != nil {
					t.Skip("a mapped file cannot be cut here: ", err)
				}
				if err := call(r); err != nil {
					t.Fatal(err)
				}
				info, err := r.Stat()
				if err != nil || info.Size() != r.Size() {
					t.Errorf("%s %s, others set %d: Size is %d, the file's is %d, %v", mode, what, size, r.Size(), info.Size(), err)
				}
			}
		}
	}
}

// TestGrowthKeepsWhatOthersWrote: when this Region once made the file shorter
// and somebody else made it longer, what they wrote stays.
func TestGrowthKeepsWhatOthersWrote(t *testing.T) {
	grow := map[string]func(r *mmap.Region) error{
		"WriteAt":       func(r *mmap.Region) error { _, err := r.WriteAt([]byte{1}, 9000); return err },
		"Truncate":      func(r *mmap.Region) error { return r.Truncate(9001) },
		"ReadFrom file": func(r *mmap.Region) error { return copyFile(t, r, newFile(t, make([]byte, 10)), -1) },
	}
	for what, call := range grow {
		name := newFile(t, pattern(1, 10_000))
		r := openRegion(t, name, os.O_RDWR, nil)
		r.Bytes()
		if err := r.Truncate(4); err != nil {
			t.Fatal(err)
		}
		theirs := pattern(4, 8000)
		if err := os.WriteFile(name, theirs, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Seek(9000, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if err := call(r); err != nil {
			t.Fatal(err)
		}
		if at := firstDifference([]byte(contents(t, name).Data)[:8000], theirs); at >= 0 {
			t.Errorf("%s destroyed what others wrote, from byte %d on", what, at)
		}
	}
}

// TestBytesSurviveGrowth: a slice handed out before the file grew shows the
// same bytes as the file afterwards, and none that were not there.
func TestBytesSurviveGrowth(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDWR, nil)
	b := r.Bytes()
	for _, size := range []int64{5000, 1 << 20, 5 << 20} {
		if err := r.Truncate(size); err != nil {
			t.Fatal(err)
		}
		b[7]++
		got := r.Bytes()
		if int64(len(got)) != size || got[7] != b[7] {
			t.Errorf("at %d bytes: Bytes has %d, and shows %d for %d", size, len(got), got[7], b[7])
		}
		if fresh := contents(t, name).Data; fresh[7] != b[7] || int64(len(fresh)) != size {
			t.Errorf("at %d bytes the file shows %d for %d", size, fresh[7], b[7])
		}
	}
	if len(b) != 100 || cap(b) != 100 {
		t.Errorf("the slice has %d bytes, capacity %d", len(b), cap(b))
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

// TestBugB1DescriptorsLeak: Close gives the descriptor back.
func TestBugB1DescriptorsLeak(t *testing.T) {
	name := newFile(t, pattern(1, 10_000))
	before := countDescriptors(t)
	for range 50 {
		r, err := mmap.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r.Bytes()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := countDescriptors(t); after > before {
		t.Errorf("%d descriptors, after 50 times Open and Close %d", before, after)
	}
}

// countDescriptors counts those of the process.
func countDescriptors(t *testing.T) int {
	t.Helper()
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if entries, err := os.ReadDir(dir); err == nil {
			return len(entries)
		}
	}
	t.Skip("this system does not list descriptors")
	return 0
}

// TestBugB2SeekFromEnd: an offset from the end has its sign.
func TestBugB2SeekFromEnd(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		if at, err := r.Seek(-4, io.SeekEnd); at != int64(len(data))-4 || err != nil {
			t.Errorf("Seek(-4, SeekEnd) = %d, %v", at, err)
		}
		if got, err := io.ReadAll(r); string(got) != string(data[len(data)-4:]) || err != nil {
			t.Errorf("the last four bytes: %q, %v", got, err)
		}
	}, 10_000)
}

// TestBugB3FailedSeek: a Seek that fails leaves the cursor where it was.
func TestBugB3FailedSeek(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		if _, err := r.Seek(5, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []struct {
			off    int64
			whence int
		}{{-1, io.SeekStart}, {-100, io.SeekCurrent}, {-10_001, io.SeekEnd}, {0, 99}, {math.MinInt64, io.SeekCurrent}, {math.MaxInt64, io.SeekCurrent}, {math.MaxInt64, io.SeekEnd}} {
			if at, err := r.Seek(bad.off, bad.whence); err == nil {
				t.Errorf("Seek(%d, %d) = %d", bad.off, bad.whence, at)
			}
		}
		p := make([]byte, 3)
		if n, err := r.Read(p); string(p[:n]) != string(data[5:8]) || err != nil {
			t.Errorf("Read after failed Seeks: %q, %v", p[:n], err)
		}
	}, 10_000)
}

// TestBugB4EmptyFile: an empty file is open and at its end, and grows.
func TestBugB4EmptyFile(t *testing.T) {
	name := newFile(t, nil)
	before := countDescriptors(t)
	r := openRegion(t, name, os.O_RDWR, nil)
	p := make([]byte, 10)
	if n, err := r.ReadAt(p, 0); n != 0 || err != io.EOF {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	if n, err := r.Read(p); n != 0 || err != io.EOF {
		t.Errorf("Read: %d, %v", n, err)
	}
	if err := r.View(0, mmap.ToEnd, func(b []byte) error { return fmt.Errorf("%d", len(b)) }); err == nil || err.Error() != "0" {
		t.Errorf("View: %v", err)
	}
	if b := r.Bytes(); b != nil {
		t.Errorf("Bytes: %d", len(b))
	}
	if err := errors.Join(r.Flush(), r.Sync()); err != nil {
		t.Error(err)
	}
	if n, err := r.Write([]byte("now")); n != 3 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if after := countDescriptors(t); after != before {
		t.Errorf("%d descriptors became %d", before, after)
	}
	checkBytes(t, name, []byte("now"))
}

// TestBugB5OffsetInBytes: an Offset is a number of bytes, aligned or not, and
// the length of what is mapped knows about it.
func TestBugB5OffsetInBytes(t *testing.T) {
	data := pattern(1, 300_000)
	name := newFile(t, data)
	for _, off := range []int64{1, 4095, 4096, 4097, 8192, 65_536, 65_537, 131_072, 299_999, 300_000} {
		for _, n := range []int64{0, 1, 5000} {
			n = min(n, 300_000-off)
			r := openRegion(t, name, os.O_RDONLY, &mmap.Options{Offset: off, Length: n})
			want := data[off:]
			if n > 0 {
				want = want[:n]
			}
			if b := r.Bytes(); string(b) != string(want) && (b != nil || r.Size() > 0) && len(b) > 0 {
				t.Errorf("[%d:+%d]: Bytes are others", off, n)
			}
			if got, err := io.ReadAll(r); string(got) != string(want) || err != nil {
				t.Errorf("[%d:+%d]: read %d of %d bytes, %v", off, n, len(got), len(want), err)
			}
			r.Close()
		}
	}
}

// TestBugB6PrivateReachesFile: no way of writing to private memory changes the
// file.
func TestBugB6PrivateReachesFile(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 20_000)
	source := newFile(t, pattern(4, 3000))
	for _, flag := range []int{os.O_RDWR, os.O_RDONLY} {
		name := newFile(t, data)
		r := openRegion(t, name, flag, &mmap.Options{Private: true})
		writes := []error{
			second(r.WriteAt([]byte("hello"), 100)),
			second(r.Write([]byte("hello"))),
			second(r.WriteString("hello")),
			r.WriteByte('x'),
			second(r.ReadFrom(strings.NewReader("hello"))),
			copyFile(t, r, source, -1),
			r.View(0, mmap.ToEnd, func(b []byte) error { clear(b[:50]); return nil }),
		}
		if err := errors.Join(writes...); err != nil {
			t.Error(err)
		}
		clear(r.Bytes()[10_000:])
		_, _ = r.WriteAt(make([]byte, 100), int64(len(data))-50)
		_ = r.Flush()
		if r.At(10_000) != 0 || r.At(0) != 0 || r.At(3000) != patternAt(4, 3000-16) {
			t.Error("private changes are not seen")
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		checkBytes(t, name, data)
	}
}

// second returns the error of a call that returns a count as well.
func second[T any](_ T, err error) error { return err }

// TestBugB7LockReturnsZero: a Lock that works returns nil, not an error that
// says 0.
func TestBugB7LockReturnsZero(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDWR, nil)
	err := r.Lock(0, 100)
	if errors.Is(err, syscall.EPERM) || ctlNoMemory(err) || err != nil && strings.Contains(err.Error(), "RLIMIT_MEMLOCK") || errors.Is(err, errors.ErrUnsupported) {
		t.Skip("nothing may be locked here: ", err)
	}
	if err != nil {
		t.Errorf("Lock: %v", err)
	}
	if err := r.Unlock(0, 100); err != nil {
		t.Errorf("Unlock: %v", err)
	}
}

// TestBugB8FlushArguments: a Flush is a success whatever number the descriptor
// happens to have.
func TestBugB8FlushArguments(t *testing.T) {
	for range 16 { // as many descriptors, and so as many flags by mistake
		r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDWR, nil)
		r.Bytes()
		fill(t, r, pattern(2, 10_000))
		if err := errors.Join(r.FlushAsync(0, mmap.ToEnd), r.FlushRange(5, 5000), r.Flush(), r.Sync()); err != nil {
			t.Error(err)
		}
	}
}

// TestBugB9CallbackFails: a View whose callback fails returns that error and
// leaves nothing behind, over and over.
func TestBugB9CallbackFails(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDWR, nil)
	r.Bytes()
	before := mmap.ReadLedger().Held
	for range 100 {
		if err := r.View(0, 10, func([]byte) error { return errFull }); err != errFull {
			t.Fatal(err)
		}
		if v := panicOf(func() { _ = r.View(0, 10, func([]byte) error { panic("mine") }) }); v != "mine" {
			t.Fatal(v)
		}
	}
	if after := mmap.ReadLedger().Held; after > before {
		t.Errorf("%d maps became %d", before, after)
	}
}

// TestBugB10ShortWithoutError: fewer bytes come with an error, and the end is
// io.EOF, not a panic.
func TestBugB10ShortWithoutError(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		for off := max(int64(len(data))-3, 0); off < int64(len(data))+3; off++ {
			p := make([]byte, 10)
			n, err := r.ReadAt(p, off)
			if want := max(int64(len(data))-off, 0); int64(n) != want || err != io.EOF {
				t.Errorf("ReadAt at %d of %d: %d, %v", off, len(data), n, err)
			}
			if n, err := r.WriteAt(p, off); n < len(p) && err == nil {
				t.Errorf("WriteAt at %d of %d: %d without error", off, len(data), n)
			} else if n == len(p) {
				return // it has grown
			}
		}
	}, 0, 1, 5000)
}

// TestBugB11ReadPastEnd: reading behind the end is io.EOF, as for an os.File.
func TestBugB11ReadPastEnd(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		for _, off := range []int64{0, 1, 4096, 1 << 30} {
			if n, err := r.ReadAt(make([]byte, 1), int64(len(data))+off); n != 0 || err != io.EOF {
				t.Errorf("ReadAt %d behind the end: %d, %v", off, n, err)
			}
		}
	}, 0, 1, 5000)
}

// TestBugB12CloseBesideRead: a reader that Close catches gets os.ErrClosed or
// its bytes. (close_test.go does it with every method.)
func TestBugB12CloseBesideRead(t *testing.T) {
	data := pattern(1, 300_000)
	name := newFile(t, data)
	for range 50 {
		r := openRegion(t, name, os.O_RDWR, nil)
		r.Bytes()
		started := make(chan struct{})
		parallel(func() { readUntilClosed(t, r, data, started) }, func() {
			<-started
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// readUntilClosed reads until that gives os.ErrClosed.
func readUntilClosed(t *testing.T, r *mmap.Region, data []byte, started chan struct{}) {
	p := make([]byte, len(data))
	for i := 0; ; i++ {
		n, err := r.ReadAt(p, 0)
		if i == 0 {
			close(started)
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if n != len(data) || err != nil || !bytes.Equal(p, data) {
			t.Errorf("ReadAt: %d, %v", n, err)
			return
		}
	}
}

// TestBugB13CollectedDuringRead: the collector does not take a Region whose
// last use is a call that is still under way.
func TestBugB13CollectedDuringRead(t *testing.T) {
	data := pattern(1, 300_000)
	name := newFile(t, data)
	stop := make(chan struct{})
	parallel(func() {
		defer close(stop)
		for range 100 {
			r, err := mmap.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			p := make([]byte, len(data))
			_, _ = r.ReadAt(p, 0) // maps it
			if n, err := r.ReadAt(p, 0); n != len(p) || err != nil || !bytes.Equal(p, data) {
				t.Errorf("ReadAt: %d, %v", n, err)
			}
		}
	}, func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	// Nobody closes those Regions, and Windows deletes no file that is open.
	for range 1000 {
		if os.Remove(name) == nil {
			return
		}
		runtime.GC()
		runtime.Gosched()
	}
	t.Error("the file is still open")
}

// TestBugB14AnonymousFlag: memory without a file can be had on this system.
func TestBugB14AnonymousFlag(t *testing.T) {
	needsMemory(t)
	r, err := mmap.Anonymous(10_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != string(make([]byte, 10_000)) || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestBugB15ProtectAndOffset: Protect leaves slices alive, and Map leaves the
// caller's file where it was.
func TestBugB15ProtectAndOffset(t *testing.T) {
	needsMemory(t)
	f, err := os.OpenFile(newFile(t, pattern(1, 10_000)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(77, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.Map(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := r.Bytes()
	for _, p := range []mmap.Prot{mmap.ProtRead, mmap.ProtRead | mmap.ProtWrite} {
		if err := r.Protect(0, mmap.ToEnd, p); err != nil {
			t.Fatal(err)
		}
		if b[5] != patternAt(1, 5) {
			t.Error("a slice shows something else")
		}
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
	if at, err := f.Seek(0, io.SeekCurrent); at != 77 || err != nil {
		t.Errorf("the caller's file is at %d, %v", at, err)
	}
}

// TestBugB16SecondClose: a second Close is os.ErrClosed, and does not close
// the file that has the descriptor's number now.
func TestBugB16SecondClose(t *testing.T) {
	name := newFile(t, pattern(1, 10_000))
	r := openRegion(t, name, os.O_RDWR, nil)
	r.Bytes()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := f.Stat(); err != nil {
		t.Errorf("another file was closed: %v", err)
	}
}

// TestBugB17CloseWritesBack: Close of a part of a file changes nothing in it.
func TestBugB17CloseWritesBack(t *testing.T) {
	data := pattern(1, 30_000)
	for _, flag := range []int{os.O_RDONLY, os.O_RDWR} {
		name := newFile(t, data)
		r := openRegion(t, name, flag, &mmap.Options{Offset: 8192, Length: 5000})
		r.Bytes()
		_, _ = io.ReadAll(r)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		checkBytes(t, name, data)
	}
}

// TestBugB18FailedTruncate: a Truncate that fails leaves a Region, and its
// slices, that work.
func TestBugB18FailedTruncate(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 10_000)
	for _, c := range []struct {
		flag int
		size int64
	}{{os.O_RDONLY, 5}, {os.O_RDONLY, 50_000}, {os.O_RDWR, -1}, {os.O_RDWR, math.MinInt64}} {
		r := openRegion(t, newFile(t, data), c.flag, nil)
		b := r.Bytes()
		if err := r.Truncate(c.size); err == nil {
			t.Errorf("Truncate(%d) succeeds", c.size)
		}
		if r.Size() != 10_000 || !bytes.Equal(b, data) || !bytes.Equal(r.Bytes(), data) {
			t.Errorf("after Truncate(%d) the bytes are others", c.size)
		}
		if got, err := io.ReadAll(r); !bytes.Equal(got, data) || err != nil {
			t.Errorf("after Truncate(%d): %d bytes, %v", c.size, len(got), err)
		}
	}
}

// TestBugB19FailedOpen: an opening that fails leaves no descriptor and no map.
func TestBugB19FailedOpen(t *testing.T) {
	name := newFile(t, pattern(1, 10_000))
	fails := map[string]func() (*mmap.Region, error){
		"missing":         func() (*mmap.Region, error) { return mmap.Open(name + ".missing") },
		"a directory":     func() (*mmap.Region, error) { return mmap.Open(filepath.Dir(name)) },
		"write-only":      func() (*mmap.Region, error) { return openOpts(name, os.O_WRONLY, mmap.Options{Lock: true}) },
		"window past end": func() (*mmap.Region, error) { return openOpts(name, os.O_RDONLY, mmap.Options{Length: 20_000}) },
		"private past end": func() (*mmap.Region, error) {
			return openOpts(name, os.O_RDWR, mmap.Options{Length: 20_000, Private: true})
		},
		"negative":        func() (*mmap.Region, error) { return openOpts(name, os.O_RDWR, mmap.Options{Offset: -1}) },
		"negative length": func() (*mmap.Region, error) { return openOpts(name, os.O_RDWR, mmap.Options{Length: -1}) },
		"overflow": func() (*mmap.Region, error) {
			return openOpts(name, os.O_RDWR, mmap.Options{Offset: 1, Length: math.MaxInt64})
		},
		"window, append":   func() (*mmap.Region, error) { return openOpts(name, os.O_RDWR|os.O_APPEND, mmap.Options{Length: 10}) },
		"ProtWrite":        func() (*mmap.Region, error) { return openOpts(name, os.O_RDONLY, mmap.Options{Prot: mmap.ProtWrite}) },
		"persistent":       func() (*mmap.Region, error) { return openOpts(name, os.O_RDWR, mmap.Options{MapSync: true}) },
		"anonymous":        func() (*mmap.Region, error) { return mmap.Anonymous(-1, nil) },
		"anonymous, huge":  func() (*mmap.Region, error) { return mmap.Anonymous(math.MaxInt64, nil) },
		"a nil file":       func() (*mmap.Region, error) { return mmap.Map(nil, nil) },
		"exclusive":        func() (*mmap.Region, error) { return mmap.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0, nil) },
		"a closed file":    func() (*mmap.Region, error) { return mmap.Map(closedFile(t, name), nil) },
		"a directory's fd": func() (*mmap.Region, error) { return mapFile(t, filepath.Dir(name), os.O_RDONLY) },
	}
	descriptors, maps := countDescriptors(t), mmap.ReadLedger().Held
	for what, open := range fails {
		for range 5 {
			r, err := open()
			if err == nil {
				t.Errorf("%s: no error", what)
				r.Close()
			}
			if r != nil && err != nil {
				t.Errorf("%s: a Region beside an error", what)
			}
		}
		if now := countDescriptors(t); now > descriptors {
			t.Errorf("%s: %d descriptors became %d", what, descriptors, now)
		}
		if now := mmap.ReadLedger().Held; now > maps {
			t.Errorf("%s: %d maps became %d", what, maps, now)
		}
	}
	checkBytes(t, name, pattern(1, 10_000))
}

// openOpts opens an existing file.
func openOpts(name string, flag int, o mmap.Options) (*mmap.Region, error) {
	return mmap.OpenFile(name, flag, 0, &o)
}

// closedFile returns a file that is closed already.
func closedFile(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return f
}

// mapFile maps a file opened with flag.
func mapFile(t *testing.T, name string, flag int) (*mmap.Region, error) {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return mmap.Map(f, nil)
}

// TestBugB20SeekForSize: the idiom for a size, and back again.
func TestBugB20SeekForSize(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		var got [3]int64
		for i, whence := range [...]int{io.SeekCurrent, io.SeekEnd, io.SeekStart} {
			at, err := r.Seek(0, whence)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = at
		}
		if d := cmp.Diff([3]int64{0, int64(len(data)), 0}, got); d != "" && !strings.Contains(t.Name(), "anonymous") && !strings.Contains(t.Name(), "private") {
			t.Errorf("where Seek(0, current, end, start) leads:\n%s", d)
		}
	}, 0, 1, 5000)
}
