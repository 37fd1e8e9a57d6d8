package mmap_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestCopyRegions: a Region copied to another is what io.Copy between files makes
// of it: contents, count, both cursors, whatever the kinds.
func TestCopyRegions(t *testing.T) {
	const size = 300_000
	data := pattern(3, size)
	sources := map[string]func() *mmap.Region{
		"file":   func() *mmap.Region { return openRegion(t, newFile(t, data), os.O_RDONLY, nil) },
		"mapped": func() *mmap.Region { return openMapped(t, newFile(t, data), os.O_RDONLY, nil) },
		"offset": func() *mmap.Region {
			return openRegion(t, newFile(t, append(make([]byte, 77), data...)), os.O_RDONLY, &mmap.Options{Offset: 77})
		},
		"window": func() *mmap.Region {
			return openRegion(t, newFile(t, append(slices.Clone(data), "more"...)), os.O_RDONLY, &mmap.Options{Length: size})
		},
		"private": func() *mmap.Region { return openRegion(t, newFile(t, data), os.O_RDONLY, &mmap.Options{Private: true}) },
	}
	ways := map[string]func(dst, src *mmap.Region) (int64, error){
		"WriteTo":  func(dst, src *mmap.Region) (int64, error) { return src.WriteTo(dst) },
		"ReadFrom": func(dst, src *mmap.Region) (int64, error) { return dst.ReadFrom(src) },
		"io.Copy":  func(dst, src *mmap.Region) (int64, error) { return io.Copy(dst, src) },
		"limited": func(dst, src *mmap.Region) (int64, error) {
			part := &io.LimitedReader{R: src, N: 123_456}
			n, err := io.Copy(dst, part)
			if part.N != 123_456-n {
				t.Errorf("the LimitedReader has %d bytes left after %d", part.N, n)
			}
			return n, err
		},
		"cursor in the descriptor": func(dst, src *mmap.Region) (int64, error) {
			for _, r := range []*mmap.Region{dst, src} {
				if c, err := r.SyscallConn(); err == nil {
					c.Control(func(uintptr) {})
				}
			}
			return io.Copy(dst, src)
		},
	}
	for kind, open := range sources {
		for way, copyTo := range ways {
			src, dst := open(), openRegion(t, newFile(t, pattern(9, 1000)), os.O_RDWR, nil)
			want := data[1000:]
			if way == "limited" {
				want = want[:123_456]
			}
			moveTo(t, src, 1000)
			moveTo(t, dst, 500)
			n, err := copyTo(dst, src)
			if n != int64(len(want)) || err != nil {
				t.Errorf("%s by %s: %d, %v; want %d", kind, way, n, err, len(want))
			}
			if got, _ := os.ReadFile(dst.Name()); !bytes.Equal(got, append(pattern(9, 500), want...)) {
				t.Errorf("%s by %s: wrong from byte %d on", kind, way, differ(got, append(pattern(9, 500), want...)))
			}
			if a, b := tell(t, src), tell(t, dst); a != 1000+n || b != 500+n || dst.Size() != 500+n {
				t.Errorf("%s by %s: the cursors are at %d and %d, the size is %d", kind, way, a, b, dst.Size())
			}
		}
	}
}

// moveTo sets a cursor.
func moveTo(t *testing.T, s io.Seeker, off int64) {
	t.Helper()
	if _, err := s.Seek(off, io.SeekStart); err != nil {
		t.Fatal(err)
	}
}

// tell returns where a cursor is.
func tell(t *testing.T, s io.Seeker) int64 {
	t.Helper()
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestCopyRegionItself: as with an os.File, a Region that is copied to itself
// finds its own end behind what it writes.
func TestCopyRegionItself(t *testing.T) {
	r := openRegion(t, newFile(t, pattern(1, 1000)), os.O_RDWR, nil)
	moveTo(t, r, 900)
	n, err := io.Copy(r, io.LimitReader(r, 40))
	if got, _ := os.ReadFile(r.Name()); n != 40 || err != nil || len(got) != 1000 || tell(t, r) != 980 || !bytes.Equal(got[940:980], pattern(1, 1000)[900:940]) {
		t.Errorf("%d, %v; %d bytes, cursor %d", n, err, len(got), tell(t, r))
	}
}

// connections returns two ends of each kind of stream that the kernel can move
// bytes from.
func connections(t *testing.T) map[string][2]net.Conn {
	pairs := map[string][2]net.Conn{}
	for kind, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "socket")} {
		l, err := net.Listen(kind, address)
		if err != nil {
			t.Log(err)
			continue
		}
		t.Cleanup(func() { l.Close() })
		var pair [2]net.Conn
		parallel(
			func() { pair[0], _ = net.Dial(kind, l.Addr().String()) },
			func() { pair[1], _ = l.Accept() },
		)
		if pair[0] == nil || pair[1] == nil {
			t.Fatal("no connection of kind ", kind)
		}
		t.Cleanup(func() { pair[0].Close(); pair[1].Close() })
		pairs[kind] = pair
	}
	return pairs
}

// TestReadFromConn: what a connection brings arrives at the cursor, by every way
// that io.Copy has.
func TestReadFromConn(t *testing.T) {
	data := pattern(5, 3_000_000)
	for way, receive := range map[string]func(r *mmap.Region, c net.Conn) (int64, error){
		"io.Copy":  func(r *mmap.Region, c net.Conn) (int64, error) { return io.Copy(r, c) },
		"ReadFrom": func(r *mmap.Region, c net.Conn) (int64, error) { return r.ReadFrom(c) },
		"io.CopyN": func(r *mmap.Region, c net.Conn) (int64, error) { return io.CopyN(r, c, int64(len(data))) },
	} {
		for kind, c := range connections(t) {
			r := openRegion(t, newFile(t, pattern(9, 1000)), os.O_RDWR, nil)
			moveTo(t, r, 500)
			parallel(
				func() {
					c[0].Write(data)
					if way != "io.CopyN" {
						c[0].Close()
					}
				},
				func() {
					if n, err := receive(r, c[1]); n != int64(len(data)) || err != nil {
						t.Errorf("%s, %s: %d, %v", way, kind, n, err)
					}
				},
			)
			if got, _ := os.ReadFile(r.Name()); !bytes.Equal(got, append(pattern(9, 500), data...)) {
				t.Errorf("%s, %s: wrong from byte %d on", way, kind, differ(got, append(pattern(9, 500), data...)))
			}
			if at := tell(t, r); at != 500+int64(len(data)) || r.Size() != at {
				t.Errorf("%s, %s: cursor %d, size %d", way, kind, at, r.Size())
			}
		}
	}
}

// TestReadFromConnLocksNothing: while a connection has nothing to say, the cursor
// can be asked and moved, as that of an os.File.
func TestReadFromConnLocksNothing(t *testing.T) {
	for kind, c := range connections(t) {
		r := openRegion(t, newFile(t, nil), os.O_RDWR, nil)
		done := make(chan error, 1)
		go func() { _, err := r.ReadFrom(c[1]); done <- err }()
		if _, err := c[0].Write([]byte("first")); err != nil {
			t.Fatal(err)
		}
		for tell(t, r) != 5 { // it would hang here
		}
		c[0].Close()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestWriteToGivesEachByteOnce: of several who read at the cursor at the same
// time, by WriteTo or Read, each byte goes to one.
func TestWriteToGivesEachByteOnce(t *testing.T) {
	const words = 2 << 20
	data := make([]byte, 0, 8*words)
	for i := range uint64(words) {
		data = binary.LittleEndian.AppendUint64(data, i)
	}
	r := openMapped(t, newFile(t, data), os.O_RDONLY, nil)
	conns := connections(t)
	got := make([]bytes.Buffer, len(conns)+2)
	i := 0
	var tasks []func()
	for _, c := range conns {
		i++
		b := &got[i-1]
		tasks = append(tasks,
			func() { r.WriteTo(c[0]); c[0].Close() },
			func() { io.Copy(b, c[1]) })
	}
	tasks = append(tasks,
		func() { io.CopyBuffer(&got[i], plain{r}, make([]byte, 4096)) },
		func() { io.CopyBuffer(&got[i+1], plain{r}, make([]byte, 8*1111)) })
	parallel(tasks...)
	var all []uint64
	for i := range got {
		for b := got[i].Bytes(); len(b) >= 8; b = b[8:] {
			all = append(all, binary.LittleEndian.Uint64(b))
		}
	}
	slices.Sort(all)
	for i, w := range all {
		if w != uint64(i) {
			t.Fatalf("word %d comes twice, or is missing", i)
		}
	}
	if len(all) != words {
		t.Fatalf("%d words of %d", len(all), words)
	}
}

// TestWriteToFailing: the cursor after a WriteTo whose writer failed is behind
// what it took, where the writer is given memory.
func TestWriteToFailing(t *testing.T) {
	for kind, c := range connections(t) {
		r := openMapped(t, newFile(t, pattern(1, 32<<20)), os.O_RDONLY, nil)
		var n int64
		var err error
		parallel(
			func() { n, err = r.WriteTo(c[0]) },
			func() { io.ReadFull(c[1], make([]byte, 1<<20)); c[1].Close() },
		)
		if err == nil || n < 1<<20 || n == 32<<20 {
			t.Errorf("%s: %d, %v", kind, n, err)
		}
		if at := tell(t, r); at != n {
			t.Errorf("%s: %d bytes went out, and the cursor is at %d", kind, n, at)
		}
	}
}

// TestWriteToAfterCut: a WriteTo sees where the file ends, and then so does
// everybody.
func TestWriteToAfterCut(t *testing.T) {
	needsCut(t)
	for what, to := range map[string]func() io.Writer{
		"file": func() io.Writer {
			f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		},
		"Region": func() io.Writer { return openRegion(t, newFile(t, nil), os.O_RDWR, nil) },
	} {
		r := openMapped(t, newFile(t, pattern(1, 10_000)), os.O_RDWR, nil)
		if _, err := r.ReadAt(make([]byte, 10_000), 0); err != nil {
			t.Fatal(err)
		}
		cutFile(t, r.Name(), 9_000)
		if n, err := r.WriteTo(to()); n != 9_000 || err != nil {
			t.Errorf("%s: %d, %v", what, n, err)
		}
		if n, err := r.ReadAt(make([]byte, 100), 9_000); n != 0 || err != io.EOF {
			t.Errorf("%s: a read past the end gives %d bytes, %v", what, n, err)
		}
	}
}

// TestReadFromClosed: nothing is taken from a source when the Region is closed.
func TestReadFromClosed(t *testing.T) {
	src := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDONLY, nil)
	dst := openRegion(t, newFile(t, nil), os.O_RDWR, nil)
	dst.Close()
	if _, err := dst.ReadFrom(src); !errors.Is(err, os.ErrClosed) {
		t.Errorf("ReadFrom: %v", err)
	}
	if n, err := src.WriteTo(dst); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
}

// seeker is a file whose Read uses the Region that reads from it.
type seeker struct {
	*os.File
	r *mmap.Region
}

func (s seeker) Read(p []byte) (int, error) {
	if _, err := s.r.Seek(0, io.SeekCurrent); err != nil {
		return 0, err
	}
	return s.File.Read(p)
}

// TestReadFromWrapper: no lock is held while a stranger reads.
func TestReadFromWrapper(t *testing.T) {
	f, err := os.Open(newFile(t, pattern(1, 10_000)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := openRegion(t, newFile(t, nil), os.O_RDWR, nil)
	if n, err := r.ReadFrom(seeker{f, r}); n != 10_000 || err != nil {
		t.Errorf("ReadFrom = %d, %v", n, err)
	}
}

// TestWriteToRespectsProt: what may not be read is not sent either.
func TestWriteToRespectsProt(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDWR, &mmap.Options{Prot: mmap.ProtWrite})
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	n, err := r.WriteTo(out)
	out.Close()
	got, _ := io.ReadAll(in)
	if n != 0 || len(got) > 0 || !errors.Is(err, syscall.EACCES) {
		t.Errorf("WriteTo = %d, %v; %d bytes came", n, err, len(got))
	}
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

// failingWriter takes n bytes and then fails.
type failingWriter struct {
	n   int
	got []byte
}

// Write implements io.Writer.
func (w *failingWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.n)
	w.n -= n
	w.got = append(w.got, p[:n]...)
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

var errFull = errors.New("full")

// TestWriteToLikeFile: WriteTo to writers of all kinds, among them those that
// fail in the middle.
func TestWriteToLikeFile(t *testing.T) {
	calls := map[string]func(f file) outcome{
		"Buffer": func(f file) outcome {
			w := new(bytes.Buffer)
			n, err := f.WriteTo(w)
			return result(n, err, w.Bytes())
		},
		"Buffer after Seek": func(f file) outcome {
			w := new(bytes.Buffer)
			_, _ = f.Seek(-5000, io.SeekEnd)
			n, err := f.WriteTo(w)
			return result(n, err, w.Bytes())
		},
		"Buffer at the end": func(f file) outcome {
			w := new(bytes.Buffer)
			_, _ = f.Seek(0, io.SeekEnd)
			n, err := f.WriteTo(w)
			return result(n, err, w.Bytes())
		},
		"io.Copy": func(f file) outcome {
			w := new(bytes.Buffer)
			n, err := io.Copy(w, f)
			return result(n, err, w.Bytes())
		},
		"io.CopyN": func(f file) outcome {
			w := new(bytes.Buffer)
			n, err := io.CopyN(w, f, 4097)
			return result(n, err, w.Bytes())
		},
		"file": func(f file) outcome { return toFile(t, f, os.O_RDWR) },
		"file for reading alone": func(f file) outcome {
			return toFile(t, f, os.O_RDONLY)
		},
	}
	for _, n := range []int{0, 1, 4096, 32 << 10, 32<<10 + 1, 100_000} {
		calls["failing after "+strconv.Itoa(n)] = func(f file) outcome {
			w := &failingWriter{n: n}
			n, err := f.WriteTo(w)
			return result(n, err, w.got)
		}
	}
	sameAsFile(t, os.O_RDWR, pattern(3, 100_000), calls)
}

// toFile copies to a file and returns what that holds then.
func toFile(t *testing.T, f file, flag int) outcome {
	t.Helper()
	name := newFile(t, pattern(4, 10))
	w, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	n, err := f.WriteTo(w)
	return result(n, err, []byte(contents(t, name).Data))
}

// TestWriteToConnection: every shape goes out whole over TCP, through a pipe
// of the system and through one of package io.
func TestWriteToConnection(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		for _, pair := range []func(testing.TB) (io.Reader, io.WriteCloser){tcpPair, osPipe, ioPipe} {
			if _, err := r.Seek(1, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			from, to := pair(t)
			var got []byte
			parallel(func() { got, _ = io.ReadAll(from) }, func() {
				defer to.Close()
				if n, err := io.Copy(to, r); n != int64(len(data)-1) || err != nil {
					t.Errorf("%T: io.Copy: %d, %v", to, n, err)
				}
			})
			if !bytes.Equal(got, data[1:]) {
				t.Errorf("%T: got %d bytes, not the %d that were sent", to, len(got), len(data)-1)
			}
		}
	}, 1, 300_000)
}

// tcpPair returns the two ends of a connection.
func tcpPair(t testing.TB) (io.Reader, io.WriteCloser) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no TCP: ", err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Skip("no TCP: ", err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return in, out
}

// osPipe returns the two ends of a pipe of the system.
func osPipe(t testing.TB) (io.Reader, io.WriteCloser) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Skip("no pipes: ", err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return in, out
}

// ioPipe returns the two ends of a pipe of package io.
func ioPipe(testing.TB) (io.Reader, io.WriteCloser) { return io.Pipe() }
