package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"
	"text/template"
	"time"

	"github.com/seed-93fed273/mmap"
)

// ctlTree makes a directory with files of several sizes, and returns it and
// the names of the files.
func ctlTree(t *testing.T) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	files := map[string][]byte{
		"empty": nil, "small.txt": []byte("a few words"), "page": pattern(0, int(mmap.PageSize())),
		"sub/large.bin": pattern(1, 300<<10+7), "sub/deep/x.html": []byte("<p>{{.}}</p>"), "index.tmpl": []byte("Hello {{.}}"),
	}
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, data, 0o666), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return dir, names
}

// ctlRoot returns the file system that DirFS is compared with.
func ctlRoot(t *testing.T, dir string) fs.FS {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root.FS()
}

// ctlDirFS returns DirFS, and sees to it that its directory is closed, which
// the collector does, before the run counts what is open.
func ctlDirFS(t *testing.T, dir string) fs.FS {
	t.Helper()
	t.Cleanup(func() {
		for range 3 {
			runtime.GC()
		}
	})
	return mmap.DirFS(dir)
}

// TestDirFS runs the standard library's test of file systems.
func TestDirFS(t *testing.T) {
	dir, names := ctlTree(t)
	if err := fstest.TestFS(ctlDirFS(t, dir), names...); err != nil {
		t.Error(err)
	}
}

// TestDirFSFiles checks that regular files are Regions with the interfaces
// promised, that directories can be listed, and what Name and Stat say.
func TestDirFSFiles(t *testing.T) {
	dir, names := ctlTree(t)
	ours, theirs := ctlDirFS(t, dir), ctlRoot(t, dir)
	for _, name := range names {
		f, err := ours.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		g, err := theirs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := f.(*mmap.Region)
		if !ok {
			t.Errorf("%s is a %T", name, f)
			continue
		}
		got, err1 := io.ReadAll(r)
		want, err2 := io.ReadAll(g)
		if err1 != nil || err2 != nil || !bytes.Equal(got, want) || r.Name() != g.(*os.File).Name() {
			t.Errorf("%s: %d bytes of %q, want %d of %q (%v, %v)", name, len(got), r.Name(), len(want), g.(*os.File).Name(), err1, err2)
		}
		if _, err := r.WriteAt([]byte("x"), 0); err == nil {
			t.Errorf("%s can be written", name)
		}
		if err := errors.Join(f.Close(), g.Close()); err != nil {
			t.Error(err)
		}
	}
	d, err := ours.Open("sub")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, ok := d.(fs.ReadDirFile); !ok {
		t.Errorf("a directory is a %T", d)
	}
}

// TestDirFSInterfaces checks that DirFS has every interface of package fs that
// os.Root's file system has.
func TestDirFSInterfaces(t *testing.T) {
	ours, theirs := reflect.TypeOf(ctlDirFS(t, t.TempDir())), reflect.TypeOf(ctlRoot(t, t.TempDir()))
	for i := range theirs.NumMethod() {
		if name := theirs.Method(i).Name; !ctlHas(ours, name) {
			t.Errorf("os.Root's file system has %s", name)
		}
	}
}

// ctlHas reports whether a type has the method.
func ctlHas(t reflect.Type, name string) bool { _, ok := t.MethodByName(name); return ok }

// TestDirFSErrors compares the errors for what is not there, is no valid path,
// or leads out of the directory, by every call.
func TestDirFSErrors(t *testing.T) {
	dir, _ := ctlTree(t)
	outside := newFile(t, []byte("secret"))
	names := []string{"none", "sub/none", "small.txt/x", "", "/", "/etc/passwd", "../x", "sub/../small.txt", "..", "./small.txt",
		"sub/", "sub//large.bin", "a\x00b"}
	for name, target := range map[string]string{"out": outside, "up": "../../file", "loop": "loop", "in": "small.txt",
		"outdir": filepath.Dir(outside), "sub/back": "../small.txt"} {
		if err := os.Symlink(target, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Log("without symbolic links: ", err)
			continue
		}
		names = append(names, name)
	}
	names = append(names, "outdir/file", "sub")
	ours, theirs := ctlDirFS(t, dir), ctlRoot(t, dir)
	for _, name := range names {
		for call, do := range map[string]func(fsys fs.FS) (any, error){
			"Open": func(fsys fs.FS) (any, error) {
				f, err := fsys.Open(name)
				if err != nil {
					return f == nil, err
				}
				defer f.Close()
				return io.ReadAll(f)
			},
			"ReadFile": func(fsys fs.FS) (any, error) { return fs.ReadFile(fsys, name) },
			"Stat":     func(fsys fs.FS) (any, error) { info, err := fs.Stat(fsys, name); return info == nil, err },
			"ReadDir":  func(fsys fs.FS) (any, error) { list, err := fs.ReadDir(fsys, name); return len(list), err },
		} {
			got, err1 := do(ours)
			want, err2 := do(theirs)
			if !reflect.DeepEqual(got, want) || fmt.Sprint(err1) != fmt.Sprint(err2) || reflect.TypeOf(err1) != reflect.TypeOf(err2) {
				t.Errorf("%s %q: %v, %v; want %v, %v", call, name, got, err1, want, err2)
			}
		}
	}
	if b, err := fs.ReadFile(ours, "out"); err == nil {
		t.Errorf("got out to %q", b)
	}
}

// TestDirFSLater checks that the directory may come after DirFS, and is what it
// was at the first use even when it has got another name.
func TestDirFSLater(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "later")
	fsys := ctlDirFS(t, dir)
	if _, err := fsys.Open("file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is there: %v", err)
	}
	if err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o666)); err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(fsys, "file"); string(b) != "x" || err != nil {
		t.Errorf("when it is there: %q, %v", b, err)
	}
	if err := os.Rename(dir, filepath.Join(top, "other")); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" { // there it is opened for each use
		if _, err := fsys.Open("file"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("under another name: %v", err)
		}
		return
	}
	if b, err := fs.ReadFile(fsys, "file"); string(b) != "x" || err != nil {
		t.Errorf("under another name: %q, %v", b, err)
	}
}

// TestDirFSUsers walks and parses templates.
func TestDirFSUsers(t *testing.T) {
	dir, names := ctlTree(t)
	fsys := ctlDirFS(t, dir)
	var found []string
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil || !slices.Equal(found, names) {
		t.Errorf("walked over %v, want %v (%v)", found, names, err)
	}
	tmpl, err := template.ParseFS(fsys, "*.tmpl", "sub/deep/*.html")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := tmpl.ExecuteTemplate(&out, "x.html", "you"); err != nil || out.String() != "<p>you</p>" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestDirFSServer asks two servers the same, one over DirFS and one over
// os.Root's file system, and compares status, header and body.
func TestDirFSServer(t *testing.T) {
	dir, _ := ctlTree(t)
	serve := func(fsys fs.FS) string {
		s := httptest.NewServer(http.FileServerFS(fsys))
		t.Cleanup(s.Close)
		return s.URL
	}
	ours, theirs := serve(ctlDirFS(t, dir)), serve(ctlRoot(t, dir))
	modified := "Thu, 02 Jan 2020 03:04:05 GMT"
	headers := []http.Header{{}, {"Range": {"bytes=0-0"}}, {"Range": {"bytes=5-"}}, {"Range": {"bytes=-3"}}, {"Range": {"bytes=2-5,8-9"}},
		{"Range": {"bytes=100000-200000"}}, {"Range": {"bytes=999999-"}}, {"Range": {"lines=1"}}, {"Range": {"bytes=0-4,3-"}},
		{"Range": {"bytes=1-3"}, "If-Range": {modified}}, {"Range": {"bytes=1-3"}, "If-Range": {`"other"`}},
		{"If-Modified-Since": {modified}}, {"If-Unmodified-Since": {"Thu, 02 Jan 2010 03:04:05 GMT"}}}
	for _, path := range []string{"/", "/empty", "/small.txt", "/page", "/sub/large.bin", "/sub/deep/x.html", "/sub", "/sub/", "/none", "/../x"} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for _, h := range headers {
				got, want := ctlAsk(t, method, ours+path, h), ctlAsk(t, method, theirs+path, h)
				if got != want {
					t.Errorf("%s %s %v:\n%.300q\nwant\n%.300q", method, path, h, got, want)
				}
			}
		}
	}
}

// ctlAsk makes a request and returns all of the answer but the date, and the
// boundary between several ranges, which is random.
func ctlAsk(t *testing.T, method, url string, h http.Header) string {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h.Clone()
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := noRedirect.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Del("Date")
	kind := res.Header.Get("Content-Type")
	if _, boundary, ok := bytes.Cut([]byte(kind), []byte("boundary=")); ok {
		body = bytes.ReplaceAll(body, boundary, []byte("boundary"))
		res.Header.Set("Content-Type", string(bytes.Replace([]byte(kind), boundary, []byte("boundary"), 1)))
	}
	return fmt.Sprint(res.Status, res.ContentLength, res.TransferEncoding, res.Header, string(body))
}
