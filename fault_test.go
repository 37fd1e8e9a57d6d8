package mmap_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// How a Region is cut in these tests: it is open and mapped, then somebody
// else truncates the file, and the Region's next call meets a fault.

// cut is a file that was mapped and then truncated, and its twin, which is
// what an *os.File sees of such a file.
type cut struct {
	r    *mmap.Region
	f    *os.File
	name string
	twin string
	data []byte
}

// newCut maps a file of size bytes and cuts it to left bytes. The twin has the
// same bytes and length.
func newCut(t *testing.T, size, left int) *cut {
	t.Helper()
	c := &cut{data: pattern(1, size)}
	c.name, c.twin = newFile(t, c.data), newFile(t, c.data)
	c.r = openMapped(t, c.name, os.O_RDWR, nil)
	cutFile(t, c.name, int64(left))
	cutFile(t, c.twin, int64(left))
	f, err := os.OpenFile(c.twin, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	c.f = f
	return c
}

// sameFiles fails unless both files hold the same bytes.
func (c *cut) sameFiles(t *testing.T, what string) {
	t.Helper()
	got, err1 := os.ReadFile(c.name)
	want, err2 := os.ReadFile(c.twin)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: the file has %d bytes, an os.File's %d; they differ first at %d", what, len(got), len(want), differ(got, want))
	}
}

// differ returns the first index at which a and b differ.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// sameError reports whether two errors say the same, but for the file's name.
func sameError(a, b error) bool {
	var pa, pb *fs.PathError
	if errors.As(a, &pa) && errors.As(b, &pb) {
		return pa.Op == pb.Op && pa.Err == pb.Err
	}
	return a == b
}

// cutSizes are the lengths of files, in pages, of these tests. Copies above
// mmap.Piece bytes go in parts.
func cutSizes() (small, large int) {
	page := os.Getpagesize()
	return 8 * page, 2*mmap.MaxCopy + 5*page
}

// TestCutReadAt: reads over the new end of the file return what os.File
// returns, to the byte.
func TestCutReadAt(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	small, large := cutSizes()
	for _, c := range []struct{ size, left, off, n int }{
		{small, 0, 0, small}, {small, 0, 0, 1}, {small, 0, small - 1, 1},
		{small, page, 0, small}, {small, page, page, 1}, {small, page, page - 1, 2},
		{small, page, 2*page + 7, 100}, {small, 3 * page, 17, 3*page - 17}, {small, 3 * page, 17, 3*page - 16},
		{small, page + 5, page + 3, page}, {small, 1, 0, page + 1}, {small, 3*page - 1, 3*page - 2, page},
		{large, 0, 0, large}, {large, mmap.MaxCopy, 0, large}, {large, mmap.MaxCopy + page, 5, large - 5},
		{large, 2 * mmap.MaxCopy, page, large - page}, {large, 2*mmap.MaxCopy + page + 9, 0, large},
		// The new end is in the last page of a part: the fault comes after it.
		{large, mmap.MaxCopy - 10, 0, large}, {large, mmap.MaxCopy - page + 1, 0, large}, {large, 2*mmap.MaxCopy - 1, 0, large},
		{large, mmap.MaxCopy + 90, 100, large - 100},
	} {
		t.Run(fmt.Sprintf("size=%d/left=%d/off=%d/n=%d", c.size, c.left, c.off, c.n), func(t *testing.T) {
			k := newCut(t, c.size, c.left)
			got, want := make([]byte, c.n), make([]byte, c.n)
			n, err := k.r.ReadAt(got, int64(c.off))
			wantN, wantErr := k.f.ReadAt(want, int64(c.off))
			if n != wantN || !sameError(err, wantErr) {
				t.Fatalf("ReadAt = %d, %v; os.File: %d, %v", n, err, wantN, wantErr)
			}
			if !bytes.Equal(got[:n], want[:n]) {
				t.Fatalf("wrong byte at %d", differ(got[:n], want[:n]))
			}
			if err != nil && k.r.Size() != int64(c.left) {
				t.Fatalf("Size = %d, the file has %d bytes", k.r.Size(), c.left)
			}
		})
	}
}

// TestCutWriteAt: writes over the new end extend the file as os.File does.
func TestCutWriteAt(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	small, large := cutSizes()
	for _, c := range []struct{ size, left, off, n int }{
		{small, 0, 0, small}, {small, 0, 0, 1}, {small, 0, small - 1, 1}, {small, page, 0, small},
		{small, page, page, 1}, {small, page, page - 1, 2}, {small, page, 2*page + 7, 100},
		{small, 3 * page, 17, 3*page - 17}, {small, 3 * page, 17, 3*page - 16}, {small, page + 5, page + 3, page},
		{small, page, small, 10}, {small, page, small - 5, 10},
		{large, 0, 0, large}, {large, mmap.MaxCopy, 0, large}, {large, mmap.MaxCopy + page, 5, large - 5},
		{large, 2 * mmap.MaxCopy, page, large - page},
		{large, mmap.MaxCopy - 10, 0, large}, {large, mmap.MaxCopy - page + 1, 0, large}, {large, 2*mmap.MaxCopy - 1, 0, large},
		{large, mmap.MaxCopy + 90, 100, large - 100},
	} {
		t.Run(fmt.Sprintf("size=%d/left=%d/off=%d/n=%d", c.size, c.left, c.off, c.n), func(t *testing.T) {
			k := newCut(t, c.size, c.left)
			p := pattern(4, c.n)
			n, err := k.r.WriteAt(p, int64(c.off))
			wantN, wantErr := k.f.WriteAt(p, int64(c.off))
			if n != wantN || !sameError(err, wantErr) {
				t.Fatalf("WriteAt = %d, %v; os.File: %d, %v", n, err, wantN, wantErr)
			}
			k.sameFiles(t, "after WriteAt")
			if err := k.r.Flush(); err != nil {
				t.Fatalf("Flush after the file was extended again: %v", err)
			}
		})
	}
}

// TestCutCursor: Read, ReadByte and Write over the new end, beside os.File.
func TestCutCursor(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	for _, left := range []int{0, page, 2 * page} {
		k := newCut(t, 4*page, left)
		p, q := make([]byte, 3*page/2), make([]byte, 3*page/2)
		for step := range 4 {
			n, err := k.r.Read(p)
			wantN, wantErr := k.f.Read(q)
			if n != wantN || !sameError(err, wantErr) || !bytes.Equal(p[:n], q[:n]) {
				t.Fatalf("left=%d, Read %d = %d, %v; os.File: %d, %v", left, step, n, err, wantN, wantErr)
			}
		}
		n, err := k.r.Write(p[:100])
		wantN, wantErr := k.f.Write(p[:100])
		if n != wantN || !sameError(err, wantErr) {
			t.Fatalf("left=%d, Write = %d, %v; os.File: %d, %v", left, n, err, wantN, wantErr)
		}
		k.sameFiles(t, "after Write")
	}
	k := newCut(t, 4*page, page)
	if _, err := k.r.Seek(int64(page)-1, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if b, err := k.r.ReadByte(); b != k.data[page-1] || err != nil {
		t.Fatalf("ReadByte before the new end = %d, %v", b, err)
	}
	if _, err := k.r.ReadByte(); err != io.EOF {
		t.Fatalf("ReadByte past the new end: %v, not io.EOF", err)
	}
}

// TestCutAt: At panics with a *FaultError that names the byte and the cause,
// and an index out of range panics as a slice does.
func TestCutAt(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	k := newCut(t, 4*page, page)
	v := panicOf(func() { k.r.At(2*page + 3) })
	fault, ok := v.(*mmap.FaultError)
	if !ok {
		t.Fatalf("At past the new end panics with %T %v", v, v)
	}
	want := mmap.FaultError{Op: "at", Path: k.name, Off: int64(2*page + 3), Err: io.ErrUnexpectedEOF}
	if *fault != want {
		t.Fatalf("At panics with %+v, not %+v", *fault, want)
	}
	if b := k.r.At(page - 1); b != k.data[page-1] {
		t.Fatalf("At before the new end = %d", b)
	}
	for _, i := range []int{-1, k.r.Len(), 4*page - 1, 4 * page} {
		v := panicOf(func() { k.r.At(i) })
		if e, ok := v.(runtime.Error); !ok || !strings.Contains(e.Error(), "index out of range") {
			t.Errorf("At(%d) of %d bytes panics with %T %v", i, k.r.Len(), v, v)
		}
	}
}

// panicOf returns what fn panics with, or nil.
func panicOf(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}

// sum makes sink something, so that loads are not optimized away.
var sink struct {
	sync.Mutex
	n    uint64
	text string
}

// words shows b as what a program with typed data would: 8 bytes each.
func words(b []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
}

// touches are the ways in which a callback may touch the bytes of a View.
var touches = map[string]func(b []byte){
	"load":  func(b []byte) { keep(uint64(b[len(b)-1])) },
	"store": func(b []byte) { b[len(b)-1] = 7 },
	"typed": func(b []byte) { w := words(b); w[len(w)-1]++ },
	"range": func(b []byte) {
		s := uint64(0)
		for _, w := range words(b) {
			s += w
		}
		keep(s)
	},
	"copy":    func(b []byte) { p := make([]byte, len(b)); keep(uint64(copy(p, b))) },
	"copy in": func(b []byte) { keep(uint64(copy(b, make([]byte, len(b))))) },
	"hash":    func(b []byte) { s := sha256.Sum256(b); keep(uint64(s[0])) },
	"index":   func(b []byte) { keep(uint64(bytes.IndexByte(b, 0))) },
	"clear":   func(b []byte) { clear(b) },
	"string":  func(b []byte) { sink.text = string(b) },
}

// keep uses n.
func keep(n uint64) { sink.Lock(); sink.n += n; sink.Unlock() }

// TestCutView: whatever touches the bytes that are gone, View returns a
// *FaultError, and the process goes on.
func TestCutView(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	for name, touch := range touches {
		t.Run(name, func(t *testing.T) {
			for _, when := range []string{"before", "inside"} {
				fresh := newFile(t, pattern(1, 6*page))
				r := openMapped(t, fresh, os.O_RDWR, nil)
				if when == "before" {
					cutFile(t, fresh, int64(2*page))
				}
				after := false
				err := r.View(int64(page), int64(3*page), func(b []byte) error {
					cutFile(t, fresh, int64(2*page))
					touch(b)
					after = true
					return nil
				})
				checkFault(t, err, r, int64(2*page), int64(4*page), io.ErrUnexpectedEOF)
				if after {
					t.Error("the callback went on after the fault")
				}
			}
		})
	}
}

// checkFault fails unless err is a *FaultError of View in [lo, hi).
func checkFault(t *testing.T, err error, r *mmap.Region, lo, hi int64, cause error) {
	t.Helper()
	if runtime.GOARCH == "s390x" {
		lo = mmap.AlignDown(lo) // the processor tells the page alone
	}
	fault, ok := err.(*mmap.FaultError)
	if !ok {
		t.Fatalf("View = %T %v, not a *FaultError", err, err)
	}
	if fault.Op != "view" || fault.Path != r.Name() || fault.Err != cause || fault.Off < lo || fault.Off >= hi {
		t.Fatalf("the fault is %+v; want view, %s, byte %d to %d, %v", *fault, r.Name(), lo, hi-1, cause)
	}
	if !errors.Is(err, cause) {
		t.Fatalf("errors.Is(%v, %v) is false", err, cause)
	}
	for _, part := range []string{"view", r.Name(), cause.Error(), fmt.Sprint(fault.Off)} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// TestFaultOffset: a load of one byte is reported at this very byte.
func TestFaultOffset(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	k := newCut(t, 6*page, page)
	err := k.r.View(100, int64(4*page), func(b []byte) error {
		keep(uint64(b[3*page+11]))
		return nil
	})
	if _, ok := err.(*mmap.FaultError); !ok && errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal("View asked the descriptor before calling the callback")
	}
	off := int64(100 + 3*page + 11)
	checkFault(t, err, k.r, mmap.AlignDown(off), off+1, io.ErrUnexpectedEOF)
}

// pipeSink collects what is written to a pipe. Cut runs once, after the first
// bytes have arrived.
func pipeSink(t *testing.T, cut func()) (w *os.File, got func() []byte) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w, collectAll(r, cut)
}

// tcpSink is pipeSink with a TCP connection.
func tcpSink(t *testing.T, cut func()) (w net.Conn, got func() []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no TCP: ", err)
	}
	defer l.Close()
	w, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w, collectAll(r, cut)
}

// collectAll reads r to its end on another goroutine. Got waits for that.
func collectAll(r io.Reader, cut func()) (got func() []byte) {
	done := make(chan []byte)
	go func() {
		first := make([]byte, 1)
		n, _ := io.ReadFull(r, first)
		cut()
		rest, _ := io.ReadAll(r)
		done <- append(first[:n], rest...)
	}()
	return func() []byte { return <-done }
}

// cuttingWriter cuts at the first Write.
type cuttingWriter struct {
	w   io.Writer
	cut func()
}

func (c *cuttingWriter) Write(p []byte) (int, error) {
	c.cut()
	return c.w.Write(p)
}

// recorder is a hash that also keeps what it was given.
type recorder struct {
	hash.Hash
	got bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.got.Write(p)
	return r.Hash.Write(p)
}

// writeToSinks are the destinations of WriteTo. Each returns a writer, how to
// end it, and what arrived. Cut is called while bytes are under way.
var writeToSinks = map[string]func(t *testing.T, cut func()) (w io.Writer, got func() []byte){
	"buffer": func(_ *testing.T, cut func()) (io.Writer, func() []byte) {
		var b bytes.Buffer
		return &cuttingWriter{&b, cut}, b.Bytes
	},
	"readerfrom": func(_ *testing.T, cut func()) (io.Writer, func() []byte) {
		cut()
		var b bytes.Buffer
		return &b, b.Bytes
	},
	"hash": func(_ *testing.T, cut func()) (io.Writer, func() []byte) {
		h := &recorder{Hash: sha256.New()}
		return &cuttingWriter{h, cut}, h.got.Bytes
	},
	"pipe": func(t *testing.T, cut func()) (io.Writer, func() []byte) {
		w, got := pipeSink(t, cut)
		return w, func() []byte { w.Close(); return got() }
	},
	"tcp": func(t *testing.T, cut func()) (io.Writer, func() []byte) {
		w, got := tcpSink(t, cut)
		return w, func() []byte { w.Close(); return got() }
	},
	"file": func(t *testing.T, cut func()) (io.Writer, func() []byte) {
		cut()
		f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
		if err != nil {
			t.Fatal(err)
		}
		return f, func() []byte {
			f.Close()
			b, _ := os.ReadFile(f.Name())
			return b
		}
	},
}

// TestCutWriteTo: a file cut before or during WriteTo ends it early. What
// arrived is what was counted, and is the file's beginning.
func TestCutWriteTo(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	for name, sink := range writeToSinks {
		for _, left := range []int{0, 3 * page, 64*page + 100} {
			t.Run(fmt.Sprintf("%s/left=%d/before", name, left), func(t *testing.T) {
				k := newCut(t, 1024*page, left)
				n, got := writeTo(t, k.r, sink, func() {})
				checkSent(t, k.data, got, n, left, left)
			})
			t.Run(fmt.Sprintf("%s/left=%d/during", name, left), func(t *testing.T) {
				data := pattern(1, 1024*page)
				file := newFile(t, data)
				r := openMapped(t, file, os.O_RDONLY, nil)
				var once sync.Once
				n, got := writeTo(t, r, sink, func() { once.Do(func() { cutFile(t, file, int64(left)) }) })
				checkSent(t, data, got, n, left, len(data))
			})
		}
	}
}

// writeTo calls WriteTo, and returns the count and what arrived.
func writeTo(t *testing.T, r *mmap.Region, sink func(*testing.T, func()) (io.Writer, func() []byte), cut func()) (int64, []byte) {
	t.Helper()
	w, got := sink(t, cut)
	n, err := r.WriteTo(w)
	if err != nil {
		t.Errorf("WriteTo: %v", err)
	}
	if at, err := r.Seek(0, io.SeekCurrent); at != n || err != nil {
		t.Errorf("the cursor is at %d, %v after %d bytes", at, err, n)
	}
	return n, got()
}

// checkSent compares what arrived with the file as it was. Zeros between the
// new end and the end of its page are what a page cut inside shows.
func checkSent(t *testing.T, data, got []byte, n int64, least, most int) {
	t.Helper()
	most = int(mmap.AlignDown(int64(most) + mmap.PageSize() - 1))
	if int64(len(got)) != n || len(got) < min(least, len(data)) || len(got) > most {
		t.Fatalf("WriteTo counts %d, %d bytes arrived; want %d to %d", n, len(got), least, most)
	}
	end := differ(got, data)
	if end < least {
		t.Fatalf("wrong byte at %d, before the new end", end)
	}
	for i := end; i < len(got); i++ {
		if got[i] != 0 && got[i] != data[i] {
			t.Fatalf("foreign byte %d at %d", got[i], i)
		}
	}
}

// TestCutBeside: one goroutine cuts and restores the file while others use the
// Region by every path. What arrives is the file's bytes or zeros, and nothing
// ends the process.
func TestCutBeside(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	data := pattern(1, 64*page)
	name := newFile(t, data)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := openMapped(t, name, os.O_RDWR, nil)
	var workers []func()
	for i := range 4 {
		workers = append(workers, func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range 3000 {
				useCut(t, r, data, rng)
			}
		})
	}
	workers = append(workers, func() {
		for i := range 600 {
			if err := f.Truncate(int64(i * 977 % len(data))); err != nil {
				t.Error(err)
			}
			if _, err := f.WriteAt(data, 0); err != nil {
				t.Error(err)
			}
		}
	})
	parallel(workers...)
}

// useCut makes one call on a Region whose file is being cut.
func useCut(t *testing.T, r *mmap.Region, data []byte, rng *rand.Rand) {
	off := rng.IntN(len(data))
	p := make([]byte, rng.IntN(len(data)-off)+1)
	n := 0
	var err error
	call := rng.IntN(6)
	switch call {
	case 0, 1:
		n, err = r.ReadAt(p, int64(off))
	case 2:
		_, err = r.WriteAt(data[off:off+len(p)], int64(off))
	case 3:
		err = r.View(int64(off), int64(len(p)), func(b []byte) error { copy(p, b); n = len(b); return nil })
	case 4:
		var b bytes.Buffer
		_, err = io.Copy(&b, io.NewSectionReader(r, int64(off), int64(len(p))))
		n = copy(p, b.Bytes())
	case 5:
		v := panicOf(func() { p[0] = r.At(off); n = 1 })
		if _, ok := v.(error); v != nil && !ok {
			t.Errorf("At panics with %v", v)
		}
	}
	// What was cut and restored before anybody asked is EFAULT.
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, sys.Fault) {
		t.Errorf("unexpected error: %v", err)
	}
	if bytes.Equal(p[:n], data[off:off+n]) {
		return
	}
	for i, b := range p[:n] {
		if b != 0 && b != data[off+i] {
			t.Errorf("call %d for %d bytes at %d: %d came, %v; foreign at %d: %d, then %v; it should be %v", call, len(p), off, n, err,
				off+i, b, p[i+1:min(i+20, n)], data[off+i:min(off+i+20, len(data))])
			return
		}
	}
}

// TestReadOnlyStore: a store to memory that may only be read is EACCES,
// whatever the reason it may only be read.
func TestReadOnlyStore(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 3*os.Getpagesize()))
	for what, r := range map[string]*mmap.Region{
		"opened for reading": openRegion(t, name, os.O_RDONLY, nil),
		"ProtRead":           openRegion(t, name, os.O_RDWR, &mmap.Options{Prot: mmap.ProtRead}),
		"private ProtRead":   openRegion(t, name, os.O_RDWR, &mmap.Options{Prot: mmap.ProtRead, Private: true}),
	} {
		t.Run(what, func(t *testing.T) {
			err := r.View(5, 10, func(b []byte) error { b[3] = 1; return nil })
			checkFault(t, err, r, 0, 9, syscall.EACCES)
		})
	}
}

// tag is a panic value that can be told from every other.
type tag struct{ n int }

// exits are the ways in which a callback of View may end.
var exits = map[string]struct {
	fn   func(b []byte) error
	want func(err error, panicked any) bool
}{
	"return": {
		func([]byte) error { return nil },
		func(err error, v any) bool { return err == nil && v == nil },
	},
	"error": {
		func([]byte) error { return errOfCallback },
		func(err error, v any) bool { return err == errOfCallback && v == nil },
	},
	"panic": {
		func([]byte) error { panic(tag{7}) },
		func(_ error, v any) bool { return v == tag{7} },
	},
	"panic error": {
		func([]byte) error { panic(errOfCallback) },
		func(_ error, v any) bool { return v == errOfCallback },
	},
	"nil pointer": {
		func([]byte) error { var p *int; *p = 1; return nil },
		func(_ error, v any) bool {
			e, ok := v.(runtime.Error)
			return ok && strings.Contains(e.Error(), "nil pointer")
		},
	},
	"index": {
		func(b []byte) error { b[len(b)+len(os.Args)] = 1; return nil },
		func(_ error, v any) bool {
			e, ok := v.(runtime.Error)
			return ok && strings.Contains(e.Error(), "index out of range")
		},
	},
	"goexit": {
		func([]byte) error { runtime.Goexit(); return nil },
		func(err error, v any) bool { return err == errNotReturned && v == nil },
	},
}

var (
	errOfCallback  = errors.New("the callback's own")
	errNotReturned = errors.New("the View did not return")
)

// TestViewExits: however a callback ends, View passes it on as it is, and the
// goroutine's SetPanicOnFault is what it was.
func TestViewExits(t *testing.T) {
	needsMemory(t)
	r := openMapped(t, newFile(t, pattern(1, 5000)), os.O_RDWR, nil)
	for name, c := range exits {
		for _, setting := range []bool{false, true} {
			v, left, err := viewOnGoroutine(r, setting, c.fn)
			if !c.want(err, v) {
				t.Errorf("%s: View = %v, panic %v", name, err, v)
			}
			if left != setting {
				t.Errorf("%s: SetPanicOnFault was %v and is %v", name, setting, left)
			}
		}
	}
}

// viewOnGoroutine calls View on a goroutine of its own with that setting of
// SetPanicOnFault, and returns the setting that it left behind.
func viewOnGoroutine(r *mmap.Region, setting bool, fn func([]byte) error) (panicked any, left bool, err error) {
	done := make(chan struct{})
	err = errNotReturned
	go func() {
		defer close(done)
		defer func() {
			panicked = recover()
			left = debug.SetPanicOnFault(false)
		}()
		debug.SetPanicOnFault(setting)
		err = r.View(0, mmap.ToEnd, fn)
	}()
	<-done
	return panicked, left, err
}

// TestFaultRestoresSetting: after a fault, too, SetPanicOnFault is what it was,
// in View and in the methods that never show a fault.
func TestFaultRestoresSetting(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	calls := map[string]func(r *mmap.Region){
		"View":     func(r *mmap.Region) { _ = r.View(0, int64(3*page), func(b []byte) error { b[2*page]++; return nil }) },
		"ReadAt":   func(r *mmap.Region) { _, _ = r.ReadAt(make([]byte, 3*page), 0) },
		"WriteAt":  func(r *mmap.Region) { _, _ = r.WriteAt(make([]byte, 3*page), 0) },
		"At":       func(r *mmap.Region) { panicOf(func() { r.At(2 * page) }) },
		"ReadByte": func(r *mmap.Region) { _, _ = r.ReadByte() },
		"WriteTo":  func(r *mmap.Region) { _, _ = r.WriteTo(&cuttingWriter{io.Discard, func() {}}) },
	}
	for name, call := range calls {
		for _, setting := range []bool{false, true} {
			k := newCut(t, 4*page, 0)
			old := debug.SetPanicOnFault(setting)
			call(k.r)
			if left := debug.SetPanicOnFault(old); left != setting {
				t.Errorf("%s: SetPanicOnFault was %v and is %v", name, setting, left)
			}
		}
	}
}

// TestForeignFault: a fault in memory that is not this Region's passes through
// View as the panic it is.
func TestForeignFault(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	a, b := newCut(t, 2*page, 2*page), newCut(t, 2*page, 2*page)
	stale := a.r.Bytes()
	cutFile(t, a.name, 0)
	v := panicOf(func() {
		_ = b.r.View(0, 1, func([]byte) error { keep(uint64(stale[page])); return nil })
	})
	e, ok := v.(interface{ Addr() uintptr })
	if !ok || e.Addr() != uintptr(unsafe.Pointer(&stale[page])) {
		t.Fatalf("View of another Region made %T %v of the fault", v, v)
	}
}

// TestNestedViews: Views of the same and of other Regions, one inside the
// other. Each fault belongs to the View of the Region in which it happened, or
// to the inner one of two of the same Region.
func TestNestedViews(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	outer, inner := newCut(t, 4*page, 4*page), newCut(t, 4*page, 4*page)
	load := func(b []byte, i int) error { keep(uint64(b[i])); return nil }

	t.Run("no fault", func(t *testing.T) {
		err := outer.r.View(0, mmap.ToEnd, func(a []byte) error {
			return inner.r.View(1, mmap.ToEnd, func(b []byte) error {
				return outer.r.View(2, 1, func(c []byte) error {
					if a[2] != c[0] || a[1] != b[0] {
						t.Error("nested Views show other bytes")
					}
					return errOfCallback
				})
			})
		})
		if err != errOfCallback {
			t.Fatal(err)
		}
	})
	cutFile(t, outer.name, int64(page))
	t.Run("outer slice inside inner View", func(t *testing.T) {
		innerEnded := false
		err := outer.r.View(0, int64(page), func(a []byte) error {
			a = a[:page:page]
			past := unsafe.Slice(&a[0], 2*page)
			err := inner.r.View(0, mmap.ToEnd, func([]byte) error { return load(past, page+9) })
			innerEnded = true
			return err
		})
		checkFault(t, err, outer.r, int64(page), int64(page)+10, io.ErrUnexpectedEOF)
		if innerEnded {
			t.Error("the inner View returned")
		}
	})
	cutFile(t, inner.name, int64(page))
	t.Run("inner slice", func(t *testing.T) {
		outerWentOn := false
		err := outer.r.View(0, 1, func([]byte) error {
			err := inner.r.View(0, int64(page), func(b []byte) error {
				return load(unsafe.Slice(&b[0], 2*page), page+9)
			})
			checkFault(t, err, inner.r, int64(page), int64(page)+10, io.ErrUnexpectedEOF)
			outerWentOn = true
			return nil
		})
		if err != nil || !outerWentOn {
			t.Fatalf("View = %v, went on: %v", err, outerWentOn)
		}
	})
	t.Run("same Region", func(t *testing.T) {
		err := outer.r.View(0, 1, func(a []byte) error {
			err := outer.r.View(0, 1, func([]byte) error { return load(unsafe.Slice(&a[0], 2*page), page+9) })
			checkFault(t, err, outer.r, int64(page), int64(page)+10, io.ErrUnexpectedEOF)
			return errOfCallback
		})
		if err != errOfCallback {
			t.Fatal(err)
		}
	})
}

// TestStaleMapping: growth made a new mapping, and a slice of an old one
// faults. It is still this Region's.
func TestStaleMapping(t *testing.T) {
	needsCut(t)
	for _, what := range []string{"view", "bytes"} {
		t.Run(what, func(t *testing.T) { staleMapping(t, what) })
	}
}

// staleMapping is TestStaleMapping with a slice that View lent, or Bytes handed
// out.
func staleMapping(t *testing.T, what string) {
	page := os.Getpagesize()
	name := newFile(t, pattern(1, 4*page))
	r := openMapped(t, name, os.O_RDWR, nil)
	raw := r.Bytes()
	var inner error
	err := r.View(0, mmap.ToEnd, func(old []byte) error {
		growAnew(t, r)
		r.Size() // looks at the growth now, before the file is cut
		cutFile(t, name, 0)
		b := old
		if what == "bytes" {
			b = raw
		}
		inner = r.View(0, 1, func([]byte) error { keep(uint64(b[2*page])); return nil })
		keep(uint64(old[3*page]))
		return nil
	})
	checkFault(t, err, r, int64(3*page), int64(3*page+1), io.ErrUnexpectedEOF)
	if errors.Is(inner, io.ErrUnexpectedEOF) && !isFault(inner) {
		t.Skip("the clock fired, and View asked the descriptor first: ", inner)
	}
	checkFault(t, inner, r, int64(2*page), int64(2*page+1), io.ErrUnexpectedEOF)
}

// isFault reports whether err is a *FaultError itself.
func isFault(err error) bool { return reflect.TypeOf(err) == reflect.TypeFor[*mmap.FaultError]() }

// growAnew extends the file until the Region has mapped it anew, further than
// any addresses set aside before.
func growAnew(t *testing.T, r *mmap.Region) {
	t.Helper()
	first, _, hold := mmap.Memory(r)
	for range 20 {
		if _, err := r.WriteAt([]byte{1}, 2*r.Size()+4<<20); err != nil {
			t.Fatal(err)
		}
		if now, _, _ := mmap.Memory(r); now != first {
			runtime.KeepAlive(hold)
			return
		}
	}
	t.Fatal("growth never made a new mapping")
}

// TestPrivateCut: a private mapping is no shield against truncation. Its bytes
// end where the file ends.
func TestPrivateCut(t *testing.T) {
	needsCut(t)
	page := os.Getpagesize()
	data := pattern(1, 4*page)
	name := newFile(t, data)
	r := openRegion(t, name, os.O_RDWR, &mmap.Options{Private: true})
	if _, err := r.WriteAt([]byte("changed"), int64(3*page)); err != nil {
		t.Fatal(err)
	}
	cutFile(t, name, int64(2*page))
	p := make([]byte, 4*page)
	n, err := r.ReadAt(p, 10)
	if n != 2*page-10 || err != io.EOF || !bytes.Equal(p[:n], data[10:2*page]) {
		t.Fatalf("ReadAt = %d, %v", n, err)
	}
	if n, err := r.WriteAt(p, 10); n != 2*page-10 || err != io.ErrShortWrite {
		t.Fatalf("WriteAt = %d, %v", n, err)
	}
	err = r.View(0, mmap.ToEnd, func(b []byte) error { keep(uint64(b[3*page])); return nil })
	checkFault(t, err, r, int64(3*page), int64(3*page+1), io.ErrUnexpectedEOF)
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data[:2*page]) {
		t.Fatal("the file changed: ", err)
	}
}

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
