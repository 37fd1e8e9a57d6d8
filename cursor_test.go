package mmap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// cursorUser is what the tests of the cursor use of a Region and of an os.File.
type cursorUser interface {
	io.ReadWriteSeeker
	io.WriterTo
	io.ReaderFrom
}

// cursorUsers are ways to a file whose cursor several goroutines share. The
// first is the oracle: what is asked of a Region must hold for it.
var cursorUsers = map[string]func(t *testing.T, name string) cursorUser{
	"os.File": func(t *testing.T, name string) cursorUser {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	},
	"fresh": func(t *testing.T, name string) cursorUser { return openRegion(t, name, os.O_RDWR, nil) },
	"mapped": func(t *testing.T, name string) cursorUser {
		r := openRegion(t, name, os.O_RDWR, nil)
		_ = r.Bytes()
		return r
	},
	"memory": func(t *testing.T, name string) cursorUser {
		if !sys.Mappable || !sys.Coherent {
			return openRegion(t, name, os.O_RDWR, nil)
		}
		return openRegion(t, name, os.O_RDWR, &mmap.Options{Access: mmap.AccessMemory})
	},
	"descriptor": func(t *testing.T, name string) cursorUser {
		return openRegion(t, name, os.O_RDWR, &mmap.Options{Access: mmap.AccessDescriptor})
	},
	"cursor in the descriptor": func(t *testing.T, name string) cursorUser {
		r := openRegion(t, name, os.O_RDWR, nil)
		conn, err := r.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Control(func(uintptr) {}); err != nil {
			t.Fatal(err)
		}
		return r
	},
	"window": func(t *testing.T, name string) cursorUser {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return openRegion(t, name, os.O_RDWR, &mmap.Options{Length: max(info.Size(), 1<<20)})
	},
}

// counters returns n bytes of big-endian counters: eight of them in a row tell
// where they are.
func counters(n int) []byte { return bytes.Clone(allCounters[:n]) }

// allCounters is more than any test needs.
var allCounters = func() []byte {
	b := make([]byte, 4<<20)
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], uint32(i/4)+1)
	}
	return b
}()

// placeOf returns where in counters p was, or -1 for less than eight bytes.
func placeOf(p []byte) int {
	if len(p) < 8 {
		return -1
	}
	for lead := range 4 {
		at := int64(binary.BigEndian.Uint32(p[lead:])-1)*4 - int64(lead)
		if at >= 0 && at+int64(len(p)) <= int64(len(allCounters)) && bytes.Equal(allCounters[at:][:len(p)], p) {
			return int(at)
		}
	}
	return -2
}

// handedOut counts which bytes of a file came out of the cursor.
type handedOut struct {
	mu     sync.Mutex
	seen   []bool
	counts [256]int // by value
	bad    string
}

// add notes one read.
func (h *handedOut) add(p []byte) {
	h.count(p)
	at := placeOf(p)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case at == -1:
		return
	case at < 0 || at+len(p) > len(h.seen):
		h.bad = fmt.Sprintf("%d bytes that are not in the file in one piece", len(p))
		return
	}
	for i := range p {
		if h.seen[at+i] {
			h.bad = fmt.Sprintf("byte %d came twice", at+i)
		}
		h.seen[at+i] = true
	}
}

// count notes bytes of several reads.
func (h *handedOut) count(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range p {
		h.counts[c]++
	}
}

// Write notes what a WriteTo gives, as a read.
func (h *handedOut) Write(p []byte) (int, error) {
	h.add(p)
	return len(p), nil
}

// check fails unless every byte came once.
func (h *handedOut) check(t *testing.T) {
	t.Helper()
	if h.bad != "" {
		t.Error(h.bad)
	}
	var want [256]int
	total := 0
	for _, c := range allCounters[:len(h.seen)] {
		want[c]++
	}
	for _, n := range h.counts {
		total += n
	}
	if h.counts != want {
		t.Errorf("%d bytes came, and not each once; the file has %d", total, len(h.seen))
	}
}

// readers are ways to read by the cursor to the end.
var readers = map[string]func(h *handedOut, r cursorUser) error{
	"Read": func(h *handedOut, r cursorUser) error {
		buf := make([]byte, 20_000)
		for {
			n, err := r.Read(buf[:1+rand.IntN(len(buf))])
			h.add(buf[:n])
			if err != nil {
				return noEOF(err)
			}
		}
	},
	"ReadByte": func(h *handedOut, r cursorUser) error {
		b, ok := r.(io.ByteReader)
		if !ok {
			return nil
		}
		for range 2000 {
			c, err := b.ReadByte()
			if err != nil {
				return noEOF(err)
			}
			h.add([]byte{c})
		}
		return nil
	},
	"WriteTo a writer": func(h *handedOut, r cursorUser) error {
		_, err := r.WriteTo(h)
		return err
	},
	"WriteTo a file": func(h *handedOut, r cursorUser) error {
		f, err := os.CreateTemp("", "")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		_, err = r.WriteTo(f)
		text, _ := os.ReadFile(f.Name())
		h.count(text) // others may have had what is between two parts of it
		return err
	},
	"WriteTo a pipe": func(h *handedOut, r cursorUser) (err error) {
		in, out, err := os.Pipe()
		if err != nil {
			return err
		}
		var text []byte
		parallel(
			func() { text, _ = io.ReadAll(in) },
			func() { _, err = r.WriteTo(out); out.Close() },
		)
		in.Close()
		h.count(text)
		return err
	},
}

// noEOF returns err unless it is the end.
func noEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// TestCursorSharedReaders: several goroutines that read by one cursor, in any
// way, get every byte once, as those of an os.File do.
func TestCursorSharedReaders(t *testing.T) {
	const size = 600_000
	sets := [][]string{
		{"Read", "Read", "Read"},
		{"Read", "WriteTo a pipe"},
		{"WriteTo a pipe", "WriteTo a pipe", "Read"},
		{"WriteTo a writer", "Read", "ReadByte"},
		{"WriteTo a file", "Read"},
		{"WriteTo a file", "WriteTo a pipe", "WriteTo a writer", "Read", "ReadByte"},
	}
	for what, open := range cursorUsers {
		t.Run(what, func(t *testing.T) {
			for i := range sets {
				r := open(t, newFile(t, counters(size)))
				h := &handedOut{seen: make([]bool, size)}
				var fns []func()
				for _, how := range sets[i] {
					fns = append(fns, func() {
						if err := readers[how](h, r); err != nil {
							t.Errorf("%s: %v", how, err)
						}
					})
				}
				parallel(fns...)
				if h.check(t); t.Failed() {
					t.Fatalf("this was %q", sets[i])
				}
			}
		})
	}
}

// TestCursorSharedWriters: what several goroutines write by one cursor is all
// there, each in one piece.
func TestCursorSharedWriters(t *testing.T) {
	const writers, records, length = 4, 100, 700
	for what, open := range cursorUsers {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, nil)
			r := open(t, name)
			var fns []func()
			for w := range writers {
				fns = append(fns, func() {
					for i := range records {
						record := bytes.Repeat([]byte{byte(w + 1), byte(i + 1)}, length/2)
						var n int
						var err error
						if i%2 == 0 {
							n, err = r.Write(record)
						} else {
							var m int64
							m, err = r.ReadFrom(bytes.NewReader(record))
							n = int(m)
						}
						if n != length || err != nil {
							t.Errorf("%d, %v", n, err)
						}
					}
				})
			}
			parallel(fns...)
			text, err := os.ReadFile(name)
			if err != nil || len(text) != writers*records*length {
				t.Fatalf("the file has %d bytes, %v; want %d", len(text), err, writers*records*length)
			}
			seen := map[[2]byte]bool{}
			for ; len(text) > 0; text = text[length:] {
				key := [2]byte(text)
				if seen[key] || !bytes.Equal(text[:length], bytes.Repeat(key[:], length/2)) {
					t.Fatalf("record %v is torn, or there twice", key)
				}
				seen[key] = true
			}
		})
	}
}

// TestCursorLent: while a WriteTo waits for its writer, a Read waits and a Seek
// does not, as with an os.File.
func TestCursorLent(t *testing.T) {
	needsMemory(t)
	const size = 1 << 20 // more than a pipe takes
	r := openRegion(t, newFile(t, counters(size)), os.O_RDWR, nil)
	_ = r.Bytes()
	in, out, err := os.Pipe()
	if err != nil {
		t.Skip(err)
	}
	defer in.Close()
	begun := make(chan struct{})
	var text []byte
	var n int
	parallel(
		func() {
			if _, err := r.WriteTo(out); err != nil {
				t.Error(err)
			}
			out.Close()
		},
		func() {
			first := make([]byte, 1)
			if _, err := io.ReadFull(in, first); err != nil { // the pipe fills up
				t.Error(err)
			}
			close(begun)
			if _, err := r.Seek(0, io.SeekCurrent); err != nil {
				t.Error(err)
			}
			if _, err := r.WriteAt([]byte{0}, 0); err != nil {
				t.Error(err)
			}
			rest, _ := io.ReadAll(in)
			text = append(first, rest...)
		},
		func() {
			<-begun
			n, err = r.Read(make([]byte, 100))
		},
	)
	if len(text)+n != size || err != nil && err != io.EOF {
		t.Errorf("WriteTo gave %d bytes, Read %d, %v; the file has %d", len(text), n, err, size)
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

// TestUnreadByte: it undoes a ReadByte, and moves back after anything else.
func TestUnreadByte(t *testing.T) {
	forShapes(t, func(t *testing.T, r *mmap.Region, data []byte) {
		if err := r.UnreadByte(); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("UnreadByte at the beginning: %v", err)
		}
		for range 3 {
			b, err := r.ReadByte()
			if b != data[0] || err != nil {
				t.Fatalf("ReadByte: %d, %v", b, err)
			}
			if err := r.UnreadByte(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Seek(0, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		if b, err := r.ReadByte(); b != 0 && err == nil || err != io.EOF {
			t.Errorf("ReadByte at the end: %d, %v", b, err)
		}
		if err := r.UnreadByte(); err != nil {
			t.Fatal(err)
		}
		if b, err := r.ReadByte(); b != data[len(data)-1] || err != nil {
			t.Errorf("the last byte: %d, %v", b, err)
		}
	}, 1, 5000)
}
