package sys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestOpenFile: what opens, and what does not, is what os says.
func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	have := filepath.Join(dir, "have")
	if err := os.WriteFile(have, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		name string
		flag int
	}{
		"read":      {have, os.O_RDONLY},
		"write":     {have, os.O_WRONLY},
		"append":    {have, os.O_RDWR | os.O_APPEND},
		"missing":   {filepath.Join(dir, "missing"), os.O_RDONLY},
		"exclusive": {have, os.O_RDWR | os.O_CREATE | os.O_EXCL},
		"no name":   {"", os.O_RDONLY},
		"NUL":       {"a\x00b", os.O_RDONLY},
		"directory": {dir, os.O_RDONLY},
	} {
		want, wantErr := os.OpenFile(c.name, c.flag, 0o600)
		got, info, err := OpenFile(c.name, c.flag, 0o600)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Errorf("%s: %v; os says %v", what, err, wantErr)
		}
		if err == nil {
			if fi, err := want.Stat(); err != nil || fi.Mode().IsRegular() != info.Regular || fi.IsDir() != info.Dir || info.Regular && fi.Size() != info.Size {
				t.Errorf("%s: %+v; os says %v", what, info, fi)
			}
			_, err1 := got.WriteAt([]byte("x"), 0)
			_, err2 := want.WriteAt([]byte("x"), 0)
			if (err1 == nil) != (err2 == nil) || err1 != nil && err1.Error() != err2.Error() {
				t.Errorf("%s: WriteAt: %v; os says %v", what, err1, err2)
			}
		}
		got.Close()
		want.Close()
	}
}

// TestOpenFileMode: a new file gets the permissions that os would give it.
func TestOpenFileMode(t *testing.T) {
	dir := t.TempDir()
	for _, perm := range []fs.FileMode{0o600, 0o644, 0o400, 0o777 | fs.ModeSetuid, 0o755 | fs.ModeSetgid | fs.ModeSticky} {
		var modes [2]fs.FileMode
		for i := range modes {
			name := filepath.Join(dir, perm.String()+string(rune('0'+i)))
			var f *os.File
			var err error
			if i == 0 {
				f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, perm)
			} else {
				f, _, err = OpenFile(name, os.O_RDWR|os.O_CREATE, perm)
			}
			if err != nil {
				t.Fatal(err)
			}
			fi, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			modes[i] = fi.Mode()
			f.Close()
		}
		if modes[0] != modes[1] {
			t.Errorf("%v: os makes %v, OpenFile %v", perm, modes[0], modes[1])
		}
	}
}

// TestOpenFlags opens nothing and tells what Reopen does.
func TestOpenFlags(t *testing.T) {
	for _, want := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND} {
		f, _ := scratch(t, 100, want)
		if flag, err := OpenFlags(f); err != nil || flag != want {
			t.Errorf("flag is %#x, %v; want %#x", flag, err, want)
		}
		f.Close()
		if _, err := OpenFlags(f); !errors.Is(err, os.ErrClosed) {
			t.Errorf("of a closed file: %v", err)
		}
	}
}

// TestSeekable: a file has an offset, a pipe has none, and asking moves nothing.
func TestSeekable(t *testing.T) {
	f, _ := scratch(t, 100, os.O_RDWR)
	if _, err := f.Seek(7, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if !Seekable(f.Fd()) {
		t.Error("a file is not seekable")
	}
	if at, err := f.Seek(0, io.SeekCurrent); at != 7 || err != nil {
		t.Errorf("asking moved the offset to %d, %v", at, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	defer w.Close()
	if Seekable(r.Fd()) {
		t.Error("a pipe is seekable")
	}
}

// TestPread reads once: what there is, and nothing at the end.
func TestPread(t *testing.T) {
	f, text := scratch(t, 100, os.O_RDWR)
	p := make([]byte, 60)
	for _, c := range []struct {
		off  int64
		want int
	}{{0, 60}, {70, 30}, {100, 0}, {1 << 40, 0}} {
		n, err := Pread(f.Fd(), p, c.off)
		if !HasPread {
			must(t, err, "Pread")
		}
		if n != c.want || err != nil || string(p[:n]) != string(text[min(c.off, 100):min(c.off, 100)+int64(n)]) {
			t.Errorf("at %d: %d, %v; want %d", c.off, n, err, c.want)
		}
	}
}
