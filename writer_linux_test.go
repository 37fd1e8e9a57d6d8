package mmap_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// writableFile is what os.File and Region have in common.
type writableFile interface {
	io.ReadWriteSeeker
	io.WriterAt
	io.ReaderFrom
	io.ByteWriter
	io.StringWriter
	Sync() error
	Truncate(int64) error
}

// byteFile gives an os.File a WriteByte.
type byteFile struct{ *os.File }

func (f byteFile) WriteByte(c byte) error {
	_, err := f.Write([]byte{c})
	return err
}

// tooMuch are writes that do not fit into a file of 64 KiB.
var tooMuch = map[string]func(f writableFile) (n int64, err error){
	"Write": func(f writableFile) (int64, error) { n, err := f.Write(make([]byte, 100_000)); return int64(n), err },
	"Write, large": func(f writableFile) (int64, error) {
		n, err := f.Write(make([]byte, 5<<20))
		return int64(n), err
	},
	"WriteString": func(f writableFile) (int64, error) {
		n, err := f.WriteString(strings.Repeat("x", 100_000))
		return int64(n), err
	},
	"WriteByte": func(f writableFile) (int64, error) {
		f.Seek(64<<10, io.SeekStart)
		return 0, f.WriteByte(1)
	},
	"Write, across the end": func(f writableFile) (int64, error) {
		f.Seek(60_000, io.SeekStart)
		n, err := f.Write(make([]byte, 10_000))
		return int64(n), err
	},
	"WriteAt": func(f writableFile) (int64, error) {
		n, err := f.WriteAt(make([]byte, 100_000), 10)
		return int64(n), err
	},
	"WriteAt, large": func(f writableFile) (int64, error) {
		n, err := f.WriteAt(make([]byte, 5<<20), 10)
		return int64(n), err
	},
	"ReadFrom": func(f writableFile) (int64, error) { return f.ReadFrom(io.LimitReader(zeros{}, 100_000)) },
	"io.Copy":  func(f writableFile) (int64, error) { return io.Copy(f, io.LimitReader(zeros{}, 100_000)) },
	"bufio": func(f writableFile) (int64, error) {
		w := bufio.NewWriterSize(f, 10_000)
		for range 100_000 {
			w.WriteByte(1)
		}
		return int64(w.Buffered()), w.Flush()
	},
	"again": func(f writableFile) (int64, error) {
		f.Write(make([]byte, 100_000))
		n, err := f.Write(make([]byte, 100_000))
		return int64(n), err
	},
}

// zeros gives zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestWriteCountsWhatArrived: a write that the system ends half-way returns how
// much arrived, and leaves the cursor behind it, as that of an os.File does;
// here the limit of a file's size is the end.
func TestWriteCountsWhatArrived(t *testing.T) {
	if cmd := child(t); cmd != nil {
		succeed(t, cmd)
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Skip(err)
	}
	sameWhenTooMuch(t, t.TempDir())
}

// sameWhenTooMuch plays tooMuch in dir, where there is no room for it, on
// os.Files and Regions.
func sameWhenTooMuch(t *testing.T, dir string) {
	name := func(kind string) string { return filepath.Join(dir, kind) }
	for what, write := range tooMuch {
		for _, start := range []int{0, 1, 5000} {
			outcome := func(f writableFile, name string) string {
				n, err := write(f)
				at, _ := f.Seek(0, io.SeekCurrent)
				data, _ := os.ReadFile(name)
				return fmt.Sprintf("%d, %v, cursor %d, %d bytes", n, strings.ReplaceAll(fmt.Sprint(err), name, "FILE"), at, len(data))
			}
			begin := func(kind string) {
				if err := os.WriteFile(name(kind), bytes.Repeat([]byte("x"), start), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			begin("file")
			f, err := os.OpenFile(name("file"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			want := outcome(byteFile{f}, name("file"))
			f.Close()
			os.Truncate(name("file"), 0) // it gives its room back
			for _, kind := range []string{"region", "mapped"} {
				begin(kind)
				r := openRegion(t, name(kind), os.O_RDWR, nil)
				if kind == "mapped" {
					r.Bytes()
				}
				if got := outcome(r, name(kind)); got != want {
					t.Errorf("%s, %s of %d bytes: %s; os.File: %s", what, kind, start, got, want)
				}
				if info, err := r.Stat(); err != nil || info.Size() != r.Size() {
					t.Errorf("%s, %s: the file has %d bytes, the Region %d", what, kind, info.Size(), r.Size())
				}
				r.Close()
				os.Truncate(name(kind), 0)
			}
		}
	}
}

var _ writableFile = (*mmap.Region)(nil)

// TestWritePartTooFar: a write that ends farther than an offset can tell writes
// nothing at all, as an os.File's, even where its beginning could be written.
func TestWritePartTooFar(t *testing.T) {
	const mega = 1 << 20
	f, err := sys.NewMemFile("far", 5000)
	if err != nil {
		t.Skip("no memfd: ", err)
	}
	defer f.Close()
	for _, offset := range []int64{0, 100} {
		r, err := mmap.Map(f, &mmap.Options{Offset: offset})
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 2*mega)
		for _, past := range []int64{1, 50, mega / 2} { // bytes that do not fit
			at := math.MaxInt64 - int64(len(p)) + past
			want, wantErr := f.WriteAt(p, at)
			n, err := r.WriteAt(p, at-offset)
			if n != want || errors.Unwrap(err) != errors.Unwrap(wantErr) {
				t.Errorf("Offset %d, %d too far: %d, %v; an os.File's is %d, %v", offset, past, n, err, want, wantErr)
			}
		}
		r.Close()
	}
}

// TestAppendObeysProtect: an append goes where the file ends now, and protection is
// looked for there.
func TestAppendObeysProtect(t *testing.T) {
	page := int64(os.Getpagesize())
	r := openRegion(t, newFile(t, pattern(1, int(2*page))), os.O_RDWR|os.O_APPEND, nil)
	if err := r.Protect(0, page, mmap.ProtRead); err != nil {
		t.Fatal(err)
	}
	cutFile(t, r.Name(), 100)
	if n, err := r.Write([]byte("hello")); !errors.Is(err, syscall.EACCES) {
		t.Errorf("to a page that is protected: %d, %v", n, err)
	}
	r = openRegion(t, newFile(t, pattern(1, int(2*page)+800)), os.O_RDWR|os.O_APPEND, nil)
	if err := r.Protect(2*page, 100, mmap.ProtRead); err != nil {
		t.Fatal(err)
	}
	cutFile(t, r.Name(), 5*page)
	if n, err := r.Write([]byte("hello")); err != nil {
		t.Errorf("behind the page that is protected: %d, %v", n, err)
	}
}

// TestWriteOwnBytesPastKnownEnd: bytes of the Region's own memory are written as they
// were, also where they are in the way of what others have appended.
func TestWriteOwnBytesPastKnownEnd(t *testing.T) {
	r := openRegion(t, newFile(t, pattern(1, 8192)), os.O_RDWR, nil)
	b := r.Bytes()
	cutFile(t, r.Name(), 5000)
	if _, err := r.Refresh(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(r.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(pattern(2, 3192), 5000); err != nil {
		t.Fatal(err)
	}
	p := b[4900:7000]
	want := string(p)
	if _, err := r.Seek(5000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Write(p); n != len(p) || err != nil {
		t.Fatal(n, err)
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 5000); err != nil || string(got) != want {
		t.Errorf("smeared, or %v", err)
	}
}
