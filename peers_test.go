package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seed-93fed273/mmap"
)

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

// second returns the error of a call that returns a count as well.
func second[T any](_ T, err error) error { return err }

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
