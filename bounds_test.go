package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// The tests below look at single bounds, where one byte more or less matters.
// Each was written because a library with that bound wrong passed all others.

// TestTransfer copies inside a buffer, by all distances at which something
// changes, as the builtin does, and touches nothing beside.
func TestTransfer(t *testing.T) {
	const most, edge = 1600, 700
	for _, n := range []int{0, 1, 2, 511, 512, 513, 1023, 1024, 1025, most} {
		for _, by := range []int{1, 2, 511, 512, 513, n / 2, n - 1, n, n + 1} {
			for _, d := range []int{by, -by} {
				if d < -most-1 || d > most+1 {
					continue
				}
				for _, step := range []int{1, 7, 512, mmap.MaxCopy} {
					checkTransfer(t, pattern(1, 2*edge+3*most+2), edge+most+1+d, edge+most+1, n, step)
				}
			}
		}
	}
}

// checkTransfer is one of them.
func checkTransfer(t *testing.T, b []byte, dst, src, n, step int) {
	t.Helper()
	want := bytes.Clone(b)
	copy(want[dst:dst+n], b[src:src+n])
	if got := mmap.Transfer(b, dst, src, n, step); got != n {
		t.Errorf("%d bytes by %d in steps of %d: %d arrived", n, dst-src, step, got)
	} else if !bytes.Equal(b, want) {
		t.Errorf("%d bytes by %d in steps of %d: wrong at %d", n, dst-src, step, differ(b, want)-src)
	}
	if got, backward := mmap.Guarded(b, dst, src, n), src <= dst && dst < src+n; got == backward {
		t.Errorf("%d bytes by %d at once: %v", n, dst-src, got)
	}
}

// TestCutToNothing: after a Flush nothing is owed any more, and a file that
// somebody cuts to nothing is no loss.
func TestCutToNothing(t *testing.T) {
	needsCut(t)
	name := newFile(t, pattern(1, 5000))
	r := openMapped(t, name, os.O_RDWR, nil)
	storeHot(t, r, []byte("stored"), 10)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	cutFile(t, name, 0)
	if err := r.Flush(); err != nil {
		t.Errorf("nothing was stored since: %v", err)
	}
}

// TestCursorInFileProtected: when the cursor is the descriptor's, Read and Write
// stop at the byte where a protection begins, and go up to it.
func TestCursorInFileProtected(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	data := pattern(1, int(2*page))
	name := newFile(t, data)
	r := openRegion(t, name, os.O_RDWR|os.O_APPEND, nil)
	if err := r.Protect(page, page, mmap.ProtNone); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	for _, c := range []struct {
		at   int64
		n    int
		want error
	}{{page - 2, 2, nil}, {page - 1, 1, nil}, {page, 0, syscall.EACCES}, {page - 10, 10, nil}} {
		if _, err := r.Seek(c.at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(p); n != c.n || !errors.Is(err, c.want) || !bytes.Equal(p[:n], data[c.at:int(c.at)+n]) {
			t.Errorf("Read at %d: %d, %v; want %d, %v", c.at, n, err, c.n, c.want)
		}
	}
	if n, err := r.Write(p); n != len(p) || err != nil {
		t.Errorf("Write at the end, which is not protected: %d, %v", n, err)
	}
}

// TestOffsetInPage: with an Offset inside a page, what was protected or released
// begins and ends where the file's pages do, to the byte.
func TestOffsetInPage(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	for _, private := range []bool{false, true} {
		data := pattern(1, int(4*page))
		r := openRegion(t, newFile(t, data), os.O_RDWR, &mmap.Options{Offset: 101, Private: private})
		data = data[101:]
		from, to := page-101, 2*page-101
		if err := r.Protect(from, page, mmap.ProtNone); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 10)
		for _, c := range []struct {
			at int64
			n  int
		}{{from - 10, 10}, {from - 9, 9}, {from - 1, 1}, {from, 0}, {to - 1, 0}, {to, 10}} {
			n, err := r.ReadAt(p, c.at)
			if n != c.n || (err == nil) != (n == len(p)) || !bytes.Equal(p[:n], data[c.at:int(c.at)+n]) {
				t.Errorf("ReadAt(%d) = %d, %v; want %d bytes", c.at, n, err, c.n)
			}
			n, err = r.WriteAt(data[c.at:c.at+10], c.at)
			if n != c.n || (err == nil) != (n == len(p)) {
				t.Errorf("WriteAt(%d) = %d, %v; want %d bytes", c.at, n, err, c.n)
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

// TestFaultInOtherMapping: a fault in a mapping newer or older than the one that
// View began with is reported where it was, with an Offset inside a page too.
func TestFaultInOtherMapping(t *testing.T) {
	needsCut(t)
	page := mmap.PageSize()
	for _, offset := range []int64{0, 100} {
		for _, at := range []int{int(5*page + 7), 0} {
			name := newFile(t, pattern(1, int(8*page)))
			r := openRegion(t, name, os.O_RDWR, &mmap.Options{Offset: offset})
			old := r.Bytes()
			fault := func(b func() []byte) {
				t.Helper()
				err := r.View(0, 1, func([]byte) error {
					b := b()
					cutFile(t, name, int64(at)/page*page)
					keep(uint64(b[at]))
					return nil
				})
				var f *mmap.FaultError
				if !errors.As(err, &f) || f.Off != int64(at) || f.Err != io.ErrUnexpectedEOF {
					t.Errorf("Offset %d: %v, want a fault at %d", offset, err, at)
				}
			}
			fault(func() []byte { growAnew(t, r); return r.Bytes() })
			if err := r.Truncate(8 * page); err != nil {
				t.Fatal(err)
			}
			if n := mmap.Past(r); n == 0 {
				t.Error("there is no older mapping")
			}
			fault(func() []byte { return old })
		}
	}
}

// TestSyscallConnPart: a descriptor does not stand for a part of its file, even
// if only one byte is missing or there.
func TestSyscallConnPart(t *testing.T) {
	name := newFile(t, pattern(1, 5000))
	for _, opts := range []mmap.Options{{Offset: 1}, {Length: 1}} {
		if !sys.Mappable && opts.Length > 0 {
			continue // no windows there
		}
		r := openRegion(t, name, os.O_RDWR, &opts)
		if _, err := r.SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

// TestRoomWithOffset: a file that grows by one byte more than its mapping has
// room for is mapped anew, with an Offset inside a page too.
func TestRoomWithOffset(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 5000)), os.O_RDWR, &mmap.Options{Offset: 100})
	if r.Bytes() == nil {
		t.Fatal("not mapped")
	}
	_, n, hold := mmap.Memory(r)
	for _, size := range []int64{int64(n) - 101, int64(n) - 100, int64(n) - 99, int64(n) + 1} {
		if err := r.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := r.View(size-1, 1, func(b []byte) error { b[0]++; return nil }); err != nil {
			t.Errorf("the last of %d bytes: %v", size, err)
		}
	}
	runtime.KeepAlive(hold)
}

// TestWriteToSocket: what a socket gets from memory and what it gets by the
// descriptor, after others appended or cut, is counted together.
func TestWriteToSocket(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	for _, c := range []struct {
		size, at, then int64
	}{{5000, 0, 8000}, {5000, 1000, 5000}, {5000, 4999, 5000}, {5000, 5000, 5001}, {2 * page, page, page}, {2 * page, page + 1, page}} {
		data := pattern(1, int(max(c.size, c.then)))
		name := newFile(t, data)
		cutFile(t, name, c.size)
		r := openMapped(t, name, os.O_RDONLY, nil)
		if _, err := r.Seek(c.at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if c.then > c.size {
			appendFile(t, name, data[c.size:])
		} else if c.then < c.size {
			needsCut(t)
			cutFile(t, name, c.then)
		}
		w, arrived := socketPair(t)
		n, err := r.WriteTo(w)
		w.Close()
		want := data[min(c.at, c.then):c.then]
		if n != int64(len(want)) || err != nil {
			t.Errorf("%+v: WriteTo = %d, %v", c, n, err)
		}
		if got := arrived(); !bytes.Equal(got, want) {
			t.Errorf("%+v: %d bytes arrived", c, len(got))
		}
	}
}

// appendFile makes a file longer as somebody else would.
func appendFile(t *testing.T, name string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// socketPair returns a TCP connection, and what the other end gets from it.
func socketPair(t *testing.T) (w net.Conn, arrived func() []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no sockets: ", err)
	}
	defer l.Close()
	if w, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return w, func() []byte {
		defer c.Close()
		got, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		return got
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

// TestAllocateFarthest: the last byte that an offset can name may be too far for
// the file system, and is not for the call.
func TestAllocateFarthest(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems say it otherwise")
	}
	for _, offset := range []int64{0, 100} {
		r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, &mmap.Options{Offset: offset})
		if err := r.Allocate(math.MaxInt64-1-offset, 1); errors.Is(err, syscall.EINVAL) {
			t.Errorf("Offset %d: %v", offset, err)
		}
		if err := r.Allocate(math.MaxInt64-offset, 1); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("Offset %d, a byte farther: %v", offset, err)
		}
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

// TestToEndGrown: a range to the end that begins past the known one reaches to
// where the file ends now.
func TestToEndGrown(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDONLY, nil)
	if r.Size() != 100 {
		t.Fatal("not opened")
	}
	appendFile(t, name, pattern(1, 9000)[100:])
	if err := r.View(101, mmap.ToEnd, func(b []byte) error {
		if !bytes.Equal(b, pattern(1, 9000)[101:]) {
			t.Errorf("it has %d bytes, or others", len(b))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestOptionEdges: a part of a file is one from the first byte on that it lacks.
func TestOptionEdges(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 100))
	for _, c := range []struct {
		flag int
		opts mmap.Options
		want error
	}{
		{os.O_RDWR | os.O_APPEND, mmap.Options{Length: 1}, syscall.EINVAL},
		{os.O_RDWR | os.O_APPEND, mmap.Options{Offset: 1}, syscall.EINVAL},
		{os.O_RDWR | os.O_TRUNC, mmap.Options{Length: 1, Private: true}, io.ErrUnexpectedEOF},
		{os.O_RDONLY, mmap.Options{Offset: 99, Length: 1}, nil},
		{os.O_RDONLY, mmap.Options{Offset: 99, Length: 2}, io.ErrUnexpectedEOF},
		{os.O_RDONLY, mmap.Options{Offset: 100, Length: 1}, io.ErrUnexpectedEOF},
		{os.O_RDONLY, mmap.Options{Offset: 101}, nil},
		{os.O_RDWR, mmap.Options{Offset: 1, Length: math.MaxInt64}, syscall.EINVAL},
		{os.O_RDWR, mmap.Options{Offset: -1}, syscall.EINVAL},
		{os.O_RDWR, mmap.Options{Length: -1}, syscall.EINVAL},
	} {
		r, err := mmap.OpenFile(name, c.flag, 0, &c.opts)
		if !errors.Is(err, c.want) {
			t.Errorf("flag %#x, %+v: %v, want %v", c.flag, c.opts, err, c.want)
		}
		if err == nil {
			r.Close()
		}
		if got, err := os.ReadFile(name); err != nil || len(got) != 100 {
			t.Fatalf("flag %#x, %+v: the file has %d bytes, %v", c.flag, c.opts, len(got), err)
		}
	}
	r, err := mmap.OpenFile(name, os.O_RDWR|os.O_TRUNC, 0, &mmap.Options{Prot: mmap.ProtRead})
	if err != nil {
		t.Fatal("all of a file cut to nothing: ", err)
	}
	r.Close()
}

// TestSliceTooLong: what no memory could hold is past the end, or cannot be
// counted in bytes.
func TestSliceTooLong(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, nil)
	if b, err := mmap.Slice[byte](r, 0, math.MaxInt); !errors.Is(err, io.ErrUnexpectedEOF) || b != nil {
		t.Errorf("%d bytes: %v", math.MaxInt, err)
	}
	if b, err := mmap.Slice[byte](r, 1, math.MaxInt); math.MaxInt == math.MaxInt64 && !errors.Is(err, syscall.EINVAL) || b != nil {
		t.Errorf("%d bytes at 1: %v", math.MaxInt, err)
	}
	if b, err := mmap.Slice[uint64](r, 0, math.MaxInt/8+1); math.MaxInt == math.MaxInt64 && !errors.Is(err, syscall.EINVAL) || b != nil {
		t.Errorf("%d words: %v", math.MaxInt/8+1, err)
	}
}

// TestAllocateWindow: all of a window can be allocated, and no byte more.
func TestAllocateWindow(t *testing.T) {
	needsMemory(t)
	for _, window := range []int64{1, 200} {
		r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, &mmap.Options{Offset: 10, Length: window})
		for _, c := range []struct {
			off, n int64
			want   error
		}{{0, window + 1, io.ErrUnexpectedEOF}, {window, 1, io.ErrUnexpectedEOF}, {0, window, nil}, {window - 1, 1, nil}} {
			if err := r.Allocate(c.off, c.n); !errors.Is(err, c.want) && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Allocate(%d, %d) in a window of %d: %v, want %v", c.off, c.n, window, err, c.want)
			}
		}
	}
}

// TestStoreEnds: Flush misses the last byte that was stored, and no byte more,
// when somebody cut the file, whether the Region noticed before or not.
func TestStoreEnds(t *testing.T) {
	needsCut(t)
	for _, c := range []struct {
		cut  int64
		want error
	}{{109, io.ErrUnexpectedEOF}, {101, io.ErrUnexpectedEOF}, {110, nil}} {
		for i := range 4 {
			noticed, known := i%2 > 0, i/2 > 0
			name := newFile(t, pattern(1, 5000))
			r := openMapped(t, name, os.O_RDWR, nil)
			if known { // the page is, before the first write
				storeHot(t, r, make([]byte, 10), 0)
			}
			for range 2 { // the second goes to memory
				if n, err := r.WriteAt(make([]byte, 10), 100); n != 10 || err != nil {
					t.Fatal(n, err)
				}
			}
			cutFile(t, name, c.cut)
			if noticed {
				if n, err := r.ReadAt(make([]byte, 5000), 0); n != int(c.cut) || err != io.EOF {
					t.Errorf("cut to %d: ReadAt = %d, %v", c.cut, n, err)
				}
			}
			if err := r.FlushRange(0, 0); err != nil {
				t.Errorf("FlushRange of nothing: %v", err)
			}
			if err := r.FlushRange(90, 20); !noticed && !errors.Is(err, c.want) {
				t.Errorf("FlushRange to byte 110, cut to %d: %v, want %v", c.cut, err, c.want)
			}
			if err := r.Flush(); !errors.Is(err, c.want) {
				t.Errorf("Flush of 110 bytes, cut to %d: %v, want %v", c.cut, err, c.want)
			}
		}
	}
}

// storeHot writes often enough that the write goes to memory, and that others to
// the same page do too.
func storeHot(t *testing.T, r *mmap.Region, p []byte, off int64) {
	t.Helper()
	for range 3 {
		if n, err := r.WriteAt(p, off); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
}

// TestViewStoreEnds: what View shows counts as stored to its last byte, for a
// Flush inside, for one afterwards, and for both.
func TestViewStoreEnds(t *testing.T) {
	needsCut(t)
	for _, when := range []string{"inside", "afterwards", "after one inside"} {
		name := newFile(t, pattern(1, 5000))
		r := openRegion(t, name, os.O_RDWR, nil)
		cutAndFlush := func() error { cutFile(t, name, 109); return r.Flush() }
		var got error
		if err := r.View(100, 10, func(b []byte) error {
			switch when {
			case "inside":
				got = cutAndFlush()
			case "after one inside":
				return r.Flush()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if when != "inside" {
			got = cutAndFlush()
		}
		if !errors.Is(got, io.ErrUnexpectedEOF) {
			t.Errorf("Flush %s, of a file cut below the last byte: %v", when, got)
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

// TestProtectNothing: a protection to the end holds from the first byte on that
// a file without bytes gets, with an Offset inside a page too.
func TestProtectNothing(t *testing.T) {
	needsMemory(t)
	for _, offset := range []int64{0, 100} {
		for _, flag := range []int{os.O_RDWR, os.O_RDONLY} { // mapped for what comes, or not at all
			name := newFile(t, pattern(1, int(offset)))
			r := openRegion(t, name, flag, &mmap.Options{Offset: offset})
			if err := r.Protect(0, mmap.ToEnd, mmap.ProtNone); err != nil {
				t.Fatal(err)
			}
			cutFile(t, name, 9000)
			if n, err := r.ReadAt(make([]byte, 1), 0); n != 0 || !errors.Is(err, syscall.EACCES) {
				t.Errorf("Offset %d: ReadAt = %d, %v", offset, n, err)
			}
		}
	}
}

// TestNoticesSize: a read past the known end notices what others appended, and
// one that comes to the end what they cut off.
func TestNoticesSize(t *testing.T) {
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDONLY, nil)
	for _, c := range []struct {
		size, off int64
		n         int
	}{{200, 100, 50}, {300, 200, 1}, {400, 300, 100}, {350, 340, 20}, {349, 349, 1}} {
		cutFile(t, name, c.size)
		if n, err := r.ReadAt(make([]byte, c.n), c.off); n != int(min(int64(c.n), c.size-c.off)) || (err == io.EOF) != (n < c.n) {
			t.Errorf("ReadAt(%d, %d) of %d bytes = %d, %v", c.n, c.off, c.size, n, err)
		}
		if n := r.Size(); n != c.size {
			t.Errorf("Size is %d, not %d", n, c.size)
		}
	}
}

// TestAllocateBehindEnd: from behind the end to the end there is nothing.
func TestAllocateBehindEnd(t *testing.T) {
	r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, nil)
	for _, off := range []int64{99, 100, 101, 5000} {
		if err := r.Allocate(off, mmap.ToEnd); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Allocate(%d, ToEnd): %v", off, err)
		}
		if n := fileSize(t, r.Name()); n != 100 || r.Size() != 100 {
			t.Fatalf("after Allocate(%d, ToEnd) the file has %d bytes", off, n)
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
