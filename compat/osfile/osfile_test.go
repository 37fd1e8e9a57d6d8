package osfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap/compat/osfile"
)

// TestMethods: a File has every method of an os.File that other projects' code
// calls, with the same types.
func TestMethods(t *testing.T) {
	have, want := reflect.TypeFor[*osfile.File](), reflect.TypeFor[*os.File]()
	unused := map[string]bool{"SetReadDeadline": true, "SetWriteDeadline": true}
	for i := range want.NumMethod() {
		m := want.Method(i)
		got, ok := have.MethodByName(m.Name)
		if !ok {
			if !unused[m.Name] {
				t.Errorf("there is no method %s", m.Name)
			}
			continue
		}
		for j := 1; j < m.Type.NumIn(); j++ {
			if got.Type.NumIn() != m.Type.NumIn() || got.Type.In(j) != m.Type.In(j) {
				t.Errorf("%s is %v, not %v", m.Name, got.Type, m.Type)
				break
			}
		}
	}
}

// TestFile: what is written is read, the descriptor is there, and a directory
// can be listed.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	f, err := osfile.Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if f.Fd() == ^uintptr(0) {
		t.Error("there is no descriptor")
	}
	b := make([]byte, 5)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := f.ReadDir(-1); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("ReadDir of a file: %v", err)
	}
	if err := f.Chmod(0o600); err != nil {
		t.Error(err)
	}
	d, err := osfile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if names, err := d.Readdirnames(-1); err != nil || len(names) != 1 {
		t.Errorf("the directory has %q, %v", names, err)
	}
}

// TestErrors: what fails fails as in package os.
func TestErrors(t *testing.T) {
	name := filepath.Join(t.TempDir(), "missing")
	if _, err := osfile.Open(name); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := osfile.OpenFile(name, os.O_WRONLY, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	f, err := osfile.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := f.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a file for writing only was read: %v", err)
	}
}

// TestWrap: a file that was opened in another way is a Region, a directory is
// itself, an error passes.
func TestWrap(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, filepath.Join(dir, "a")} {
		f, err := osfile.Wrap(os.Open(name))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil || info.IsDir() != (name == dir) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := osfile.Wrap(nil, io.EOF); err != io.EOF {
		t.Error(err)
	}
}
