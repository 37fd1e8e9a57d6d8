package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// TestAccessDescriptor: nothing is ever mapped, however much is read, written
// or asked for, and the file is the same.
func TestAccessDescriptor(t *testing.T) {
	data := pattern(1, 100_000)
	name := newFile(t, data)
	r := openRegion(t, name, os.O_RDWR, &mmap.Options{Access: mmap.AccessDescriptor})
	p := make([]byte, 70_000)
	for range 100 {
		if n, err := r.ReadAt(p, 1000); n != len(p) || err != nil || !bytes.Equal(p, data[1000:71_000]) {
			t.Fatalf("ReadAt = %d, %v", n, err)
		}
		if n, err := r.WriteAt(data[:5000], 0); n != 5000 || err != nil {
			t.Fatalf("WriteAt = %d, %v", n, err)
		}
	}
	none := func([]byte) error { t.Error("there are bytes"); return nil }
	_, sliceErr := mmap.Slice[byte](r, 0, 1)
	for what, err := range map[string]error{
		"View": r.View(0, 10, none), "Mapped": r.Mapped(), "Slice": sliceErr,
		"Lock": r.Lock(0, 10), "Advise": r.Advise(0, 10, mmap.AdviceWillNeed),
	} {
		if sys.Mappable && (!errors.Is(err, mmap.ErrNotMapped) || !strings.Contains(err.Error(), "AccessDescriptor")) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if r.Bytes() != nil {
		t.Error("Bytes is not nil")
	}
	if _, n, _ := mmap.Memory(r); n > 0 {
		t.Errorf("%d bytes are mapped", n)
	}
}

// TestAccessMemory: the file is mapped at opening, an empty one at its first
// byte, and memory serves what is read and written, from the first time on.
func TestAccessMemory(t *testing.T) {
	needsMemory(t)
	opts := &mmap.Options{Access: mmap.AccessMemory}
	if !sys.Coherent {
		r, err := mmap.OpenFile(newFile(t, []byte("text")), os.O_RDWR, 0, opts)
		refused(t, r, err, "open", "", mmap.ErrNotMapped, "AccessMemory")
		return
	}
	data := pattern(1, 3<<20)
	name := newFile(t, data)
	r := openRegion(t, name, os.O_RDWR, opts)
	if _, n, _ := mmap.Memory(r); n == 0 {
		t.Error("it is not mapped")
	}
	if err := r.Mapped(); err != nil {
		t.Error(err)
	}
	p := make([]byte, len(data))
	for _, c := range []struct{ off, n int }{{0, 1}, {5, 100}, {4090, 20}, {100, 2 << 20}, {0, len(data)}, {len(data) - 1, 1}} {
		if n, err := r.ReadAt(p[:c.n], int64(c.off)); n != c.n || err != nil || !bytes.Equal(p[:n], data[c.off:c.off+c.n]) {
			t.Errorf("ReadAt(%d, %d) = %d, %v", c.n, c.off, n, err)
		}
		copy(data[c.off:], pattern(byte(c.n), c.n))
		if n, err := r.WriteAt(data[c.off:c.off+c.n], int64(c.off)); n != c.n || err != nil {
			t.Errorf("WriteAt(%d, %d) = %d, %v", c.n, c.off, n, err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file differs at %d: %v", differ(got, data), err)
	}

	empty := openRegion(t, newFile(t, nil), os.O_RDWR, opts)
	if n, err := empty.WriteAt([]byte("first"), 0); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if err := empty.Mapped(); err != nil || string(empty.Bytes()) != "first" {
		t.Errorf("Mapped: %v; Bytes %q", err, empty.Bytes())
	}
}

// TestAccessMemoryNot: what cannot be mapped, or must not be served by memory,
// is refused with the reason.
func TestAccessMemoryNot(t *testing.T) {
	needsMemory(t)
	opts := &mmap.Options{Access: mmap.AccessMemory}
	in, out, err := os.Pipe()
	if err != nil {
		t.Skip(err)
	}
	defer in.Close()
	defer out.Close()
	r, err := mmap.Map(in, opts)
	refused(t, r, err, "map", in.Name(), mmap.ErrNotMapped, "AccessMemory with a file that cannot be sought")
}

// TestViewCopies: a Region that has no memory and cannot be written shows a
// copy; it is a copy.
func TestViewCopies(t *testing.T) {
	data := pattern(1, 50_000)
	name := newFile(t, data)
	opts := &mmap.Options{Access: mmap.AccessDescriptor}
	r := openRegion(t, name, os.O_RDONLY, opts)
	for _, c := range []struct{ off, n, want int64 }{
		{0, mmap.ToEnd, 50_000}, {0, 50_000, 50_000}, {49_999, 1, 1}, {100, 0, 0}, {50_000, mmap.ToEnd, 0}, {12_345, 10_000, 10_000},
	} {
		err := r.View(c.off, c.n, func(b []byte) error {
			if !bytes.Equal(b, data[c.off:c.off+c.want]) || cap(b) != len(b) {
				t.Errorf("View(%d, %d) shows %d bytes", c.off, c.n, len(b))
			}
			clear(b)
			return io.ErrClosedPipe
		})
		if err != io.ErrClosedPipe {
			t.Errorf("View(%d, %d): %v", c.off, c.n, err)
		}
	}
	none := func([]byte) error { t.Error("there are bytes"); return nil }
	for _, c := range []struct {
		off, n int64
		want   error
	}{{0, 50_001, io.ErrUnexpectedEOF}, {50_001, mmap.ToEnd, io.ErrUnexpectedEOF}, {-1, 1, syscall.EINVAL}, {0, -2, syscall.EINVAL}} {
		err := r.View(c.off, c.n, none)
		var named *fs.PathError
		if !errors.Is(err, c.want) || !errors.As(err, &named) || named.Op != "view" || named.Path != name {
			t.Errorf("View(%d, %d): %v", c.off, c.n, err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
		t.Error("the callback changed the file")
	}
	window := openRegion(t, name, os.O_RDONLY, &mmap.Options{Access: mmap.AccessDescriptor, Offset: 1000, Length: 500})
	if err := window.View(0, mmap.ToEnd, func(b []byte) error {
		if !bytes.Equal(b, data[1000:1500]) {
			t.Errorf("the window shows %d bytes", len(b))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// Growth and cuts by others show as they do elsewhere.
	cutFile(t, name, 10)
	if err := r.View(0, 50_000, none); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("View of what was cut off: %v", err)
	}
	huge := filepath.Join(t.TempDir(), "huge")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<40); err != nil {
		t.Skip(err)
	}
	if err := openRegion(t, huge, os.O_RDONLY, opts).View(0, mmap.ToEnd, none); !errors.Is(err, mmap.ErrNotMapped) {
		t.Errorf("View of a TiB: %v", err)
	}
}

// TestRefresh: growth and cuts by others are taken over, and nothing past the
// end is served from memory any more.
func TestRefresh(t *testing.T) {
	data := pattern(1, 100_000)
	for what, opts := range map[string]*mmap.Options{
		"whole": nil, "descriptor": {Access: mmap.AccessDescriptor}, "from an offset": {Offset: 5000}, "window": {Offset: 5000, Length: 200_000},
	} {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, data)
			r := openRegion(t, name, os.O_RDWR, opts)
			base := int64(0)
			if opts != nil {
				base = opts.Offset
			}
			_ = r.Bytes()
			for _, size := range []int64{150_000, 60_000, 5000, 0, 120_000} {
				if sys.MappingPinsSize && size < 150_000 {
					break
				}
				cutFile(t, name, size)
				want := max(size-base, 0)
				if got, err := r.Refresh(); got != want || err != nil || r.Size() != want {
					t.Fatalf("Refresh = %d, %v; Size %d; want %d", got, err, r.Size(), want)
				}
				if n, err := r.ReadAt(make([]byte, 10), want); n != 0 || err != io.EOF {
					t.Errorf("ReadAt at the end = %d, %v", n, err)
				}
			}
		})
	}
	private := openRegion(t, newFile(t, data), os.O_RDWR, &mmap.Options{Private: true})
	cutFile(t, private.Name(), 200_000)
	if n, err := private.Refresh(); n != 100_000 || err != nil {
		t.Errorf("private: %d, %v", n, err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Skip(err)
	}
	defer out.Close()
	pipe, err := mmap.Map(in, nil)
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if n, err := pipe.Refresh(); n != 0 || err != nil {
		t.Errorf("a pipe: %d, %v", n, err)
	}
}

// TestSeekEndTakesOver: who asks where the end is takes over the answer: what
// was cut off is not read any more, and what is appended there is.
func TestSeekEndTakesOver(t *testing.T) {
	needsCut(t)
	for what, ask := range map[string]func(r *mmap.Region) error{
		"Seek":    func(r *mmap.Region) error { _, err := r.Seek(0, io.SeekEnd); return err },
		"Stat":    func(r *mmap.Region) error { _, err := r.Stat(); return err },
		"Refresh": func(r *mmap.Region) error { _, err := r.Refresh(); return err },
	} {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, pattern(1, 10_000))
			r := openMapped(t, name, os.O_RDWR, nil)
			if _, err := r.ReadAt(make([]byte, 10_000), 0); err != nil {
				t.Fatal(err)
			}
			cutFile(t, name, 9000)
			if err := ask(r); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Seek(9000, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Read(make([]byte, 10)); n != 0 || err != io.EOF {
				t.Errorf("Read at the end = %d, %v", n, err)
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			f.WriteString("appended")
			p := make([]byte, 20)
			if n, err := r.Read(p); string(p[:n]) != "appended" || err != nil {
				t.Errorf("Read of what was appended = %q, %v", p[:n], err)
			}
		})
	}
}

// TestFileMethods: the small methods of os.File do what they do there.
func TestFileMethods(t *testing.T) {
	name := newFile(t, []byte("data"))
	r := openRegion(t, name, os.O_RDWR, nil)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.Chmod(0o400); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o200 != 0 {
		t.Errorf("after Chmod: %v, %v", info, err)
	}
	if err := r.Chmod(0o600); err != nil {
		t.Error(err)
	}
	if err, want := r.Chown(-1, -1), f.Chown(-1, -1); !sameError(err, want) {
		t.Errorf("Chown: %v; os: %v", err, want)
	}
	now := time.Now()
	for what, c := range map[string][2]func(time.Time) error{
		"SetDeadline":      {r.SetDeadline, f.SetDeadline},
		"SetReadDeadline":  {r.SetReadDeadline, f.SetReadDeadline},
		"SetWriteDeadline": {r.SetWriteDeadline, f.SetWriteDeadline},
	} {
		if err, want := c[0](now), c[1](now); errors.Is(err, os.ErrNoDeadline) != errors.Is(want, os.ErrNoDeadline) {
			t.Errorf("%s: %v; os: %v", what, err, want)
		}
	}
	if _, err := r.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if fd := r.Fd(); fd == ^uintptr(0) {
		t.Error("no descriptor")
	}
	p := make([]byte, 2)
	if n, err := r.Read(p); n != 2 || err != nil || string(p) != "ta" {
		t.Errorf("the cursor moved: %q, %v", p, err)
	}
	if !sys.Mappable {
		return
	}
	a, err := mmap.Anonymous(10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for what, err := range map[string]error{"Chmod": a.Chmod(0), "Chown": a.Chown(0, 0)} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s of memory: %v", what, err)
		}
	}
	if err := a.SetDeadline(now); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("SetDeadline of memory: %v", err)
	}
	if a.Fd() != ^uintptr(0) {
		t.Error("memory has a descriptor")
	}
	if a.Mapped() != nil {
		t.Error("memory is not mapped")
	}
	if n, err := a.Refresh(); n != 10 || err != nil {
		t.Errorf("Refresh of memory: %d, %v", n, err)
	}
}

// TestDeadline: a Read of a pipe ends at its deadline.
func TestDeadline(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Skip(err)
	}
	defer in.Close()
	defer out.Close()
	if in.SetReadDeadline(time.Now()) != nil {
		t.Skip("pipes have no deadlines here")
	}
	r, err := mmap.Map(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read past its deadline: %v", err)
	}
}

// TestCreateTemp: a new file each time, for reading and writing.
func TestCreateTemp(t *testing.T) {
	dir := t.TempDir()
	names := map[string]bool{}
	for range 3 {
		r, err := mmap.CreateTemp(dir, "a*z")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		base := filepath.Base(r.Name())
		if names[base] || filepath.Dir(r.Name()) != dir || !strings.HasPrefix(base, "a") || !strings.HasSuffix(base, "z") {
			t.Errorf("the name is %s", r.Name())
		}
		names[base] = true
		if n, err := r.WriteString("text"); n != 4 || err != nil {
			t.Error(n, err)
		}
		if got, err := os.ReadFile(r.Name()); string(got) != "text" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	_, err := mmap.CreateTemp(filepath.Join(dir, "missing"), "x")
	_, want := os.CreateTemp(filepath.Join(dir, "missing"), "x")
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(want, fs.ErrNotExist) {
		t.Errorf("in no directory: %v; os: %v", err, want)
	}
}

// TestWriteOnly: a file open for writing only is served by its descriptor, by
// OpenFile and by Map, and what needs memory says so.
func TestWriteOnly(t *testing.T) {
	data := pattern(1, 10_000)
	for what, open := range map[string]func(name string) *mmap.Region{
		"OpenFile": func(name string) *mmap.Region { return openRegion(t, name, os.O_WRONLY, nil) },
		"Map": func(name string) *mmap.Region {
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			r, err := mmap.Map(f, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			return r
		},
	} {
		name := newFile(t, data)
		r := open(name)
		for i := range 50 {
			if n, err := r.WriteAt([]byte{0}, int64(i)); n != 1 || err != nil {
				t.Fatalf("%s: WriteAt = %d, %v", what, n, err)
			}
		}
		if _, err := r.Seek(0, io.SeekEnd); err != nil {
			t.Error(err)
		}
		if n, err := r.WriteString("end"); n != 3 || err != nil {
			t.Errorf("%s: WriteString = %d, %v", what, n, err)
		}
		if err := r.Flush(); err != nil {
			t.Error(err)
		}
		want := append(append(make([]byte, 50), data[50:]...), "end"...)
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the file differs at %d, %v", what, differ(got, want), err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: Read: %v", what, err)
		}
		if err := r.View(0, 1, func([]byte) error { return nil }); !errors.Is(err, mmap.ErrNotMapped) || r.Bytes() != nil {
			t.Errorf("%s: View: %v", what, err)
		}
		if r.Size() != int64(len(want)) {
			t.Errorf("%s: Size is %d", what, r.Size())
		}
	}
}
