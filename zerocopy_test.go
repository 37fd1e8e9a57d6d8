package mmap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
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
