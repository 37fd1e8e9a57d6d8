package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// badOptions are options that no opening accepts, and what the error says.
var badOptions = map[string]struct {
	flag int
	opts mmap.Options
	want error
	says string
}{
	"negative offset":          {os.O_RDWR, mmap.Options{Offset: -1}, syscall.EINVAL, "Offset"},
	"most negative offset":     {os.O_RDWR, mmap.Options{Offset: math.MinInt64}, syscall.EINVAL, "Offset"},
	"negative length":          {os.O_RDWR, mmap.Options{Length: -1}, syscall.EINVAL, "Length"},
	"overflow":                 {os.O_RDWR, mmap.Options{Offset: math.MaxInt64, Length: 1}, syscall.EINVAL, "overflow"},
	"overflow of two halves":   {os.O_RDWR, mmap.Options{Offset: 1 << 62, Length: 1 << 62}, syscall.EINVAL, "overflow"},
	"unknown prot":             {os.O_RDWR, mmap.Options{Prot: 1 << 5}, syscall.EINVAL, "Prot"},
	"none and read":            {os.O_RDWR, mmap.Options{Prot: mmap.ProtNone | mmap.ProtRead}, syscall.EINVAL, "Prot"},
	"prot of a read-only file": {os.O_RDONLY, mmap.Options{Prot: mmap.ProtRead | mmap.ProtWrite}, syscall.EACCES, "ProtWrite"},
	"share":                    {os.O_RDWR, mmap.Options{Share: true}, syscall.EINVAL, "Share"},
	"unknown access":           {os.O_RDWR, mmap.Options{Access: 3}, syscall.EINVAL, "Access"},
	"write-only private":       {os.O_WRONLY, mmap.Options{Private: true}, syscall.EACCES, "Private with O_WRONLY"},
	"write-only prot":          {os.O_WRONLY, mmap.Options{Prot: mmap.ProtWrite}, syscall.EACCES, "Prot with O_WRONLY"},
	"write-only none":          {os.O_WRONLY, mmap.Options{Prot: mmap.ProtNone}, syscall.EACCES, "Prot with O_WRONLY"},
	"write-only lock":          {os.O_WRONLY, mmap.Options{Lock: true}, syscall.EACCES, "Lock with O_WRONLY"},
	"write-only sync":          {os.O_WRONLY, mmap.Options{MapSync: true}, syscall.EACCES, "MapSync with O_WRONLY"},
	"write-only memory":        {os.O_WRONLY, mmap.Options{Access: mmap.AccessMemory}, syscall.EACCES, "AccessMemory with O_WRONLY"},
	"descriptor private":       {os.O_RDWR, mmap.Options{Private: true, Access: mmap.AccessDescriptor}, syscall.EINVAL, "Private with AccessDescriptor"},
	"descriptor two":           {os.O_RDWR, mmap.Options{Lock: true, Prot: mmap.ProtRead, Access: mmap.AccessDescriptor}, syscall.EINVAL, "Prot, Lock with AccessDescriptor"},
	"memory O_SYNC":            {os.O_RDWR | os.O_SYNC, mmap.Options{Access: mmap.AccessMemory}, syscall.EINVAL, "AccessMemory with O_SYNC"},
	"private sync":             {os.O_RDWR, mmap.Options{Private: true, MapSync: true}, syscall.EINVAL, "MapSync"},
	"window appending":         {os.O_RDWR | os.O_APPEND, mmap.Options{Length: 10}, syscall.EINVAL, "O_APPEND"},
	"offset appending":         {os.O_RDWR | os.O_APPEND, mmap.Options{Offset: 10}, syscall.EINVAL, "O_APPEND"},
}

// badWindows are options that do not fit a file of 10 000 bytes.
var badWindows = map[string]struct {
	flag int
	opts mmap.Options
}{
	"past the end, read-only":       {os.O_RDONLY, mmap.Options{Length: 10_001}},
	"past the end, offset":          {os.O_RDONLY, mmap.Options{Offset: 9_999, Length: 2}},
	"far past the end":              {os.O_RDONLY, mmap.Options{Offset: 1 << 40, Length: 1}},
	"as far as can be":              {os.O_RDONLY, mmap.Options{Offset: math.MaxInt64 - 1, Length: 1}},
	"past the end, private":         {os.O_RDWR, mmap.Options{Length: 10_001, Private: true}},
	"past the end, ProtRead":        {os.O_RDWR, mmap.Options{Length: 10_001, Prot: mmap.ProtRead}},
	"past the end, private, opened": {os.O_RDONLY, mmap.Options{Length: math.MaxInt64, Private: true}},
}

// refused checks the error of an opening: it is an *fs.PathError with the
// operation, the file's name and the cause.
func refused(t *testing.T, r *mmap.Region, err error, op, name string, want error, says string) {
	t.Helper()
	if r != nil || err == nil {
		t.Errorf("it opens: %v, %v", r, err)
		if r != nil {
			r.Close()
		}
		return
	}
	var named *fs.PathError
	if !errors.As(err, &named) || named.Op != op || named.Path != name {
		t.Errorf("%#v is not a PathError of %s %s", err, op, name)
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
		t.Errorf("%q does not wrap %q, or does not say %q", err, want, says)
	}
}

// unchanged fails if the file is not what it was, or something was left open.
func unchanged(t *testing.T, before resources, name string, data []byte) {
	t.Helper()
	if lost := before.leaked(); lost != "" {
		t.Errorf("left over:\n%s", lost)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file holds %d bytes, %v; it had %d", len(got), err, len(data))
	}
}

// TestOpenBadOptions: contradictions are found before the file is created,
// truncated or opened.
func TestOpenBadOptions(t *testing.T) {
	data := pattern(1, 10_000)
	name := newFile(t, data)
	missing := filepath.Join(t.TempDir(), "missing")
	for what, c := range badOptions {
		t.Run(what, func(t *testing.T) {
			before := countResources()
			r, err := mmap.OpenFile(name, c.flag|os.O_CREATE|os.O_TRUNC, 0o666, &c.opts)
			refused(t, r, err, "open", name, c.want, c.says)
			r, err = mmap.OpenFile(missing, c.flag|os.O_CREATE|os.O_TRUNC, 0o666, &c.opts)
			refused(t, r, err, "open", missing, c.want, c.says)
			if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
				t.Error("the file was created")
			}
			unchanged(t, before, name, data)

			f, err := os.OpenFile(name, c.flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			before = countResources()
			r, err = mmap.Map(f, &c.opts)
			refused(t, r, err, "map", name, c.want, c.says)
			unchanged(t, before, name, data)
		})
	}
}

// TestOpenBadWindow: windows that the file does not have, and that no write
// could bring about.
func TestOpenBadWindow(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 10_000)
	name := newFile(t, data)
	for what, c := range badWindows {
		t.Run(what, func(t *testing.T) {
			before := countResources()
			r, err := mmap.OpenFile(name, c.flag, 0, &c.opts)
			refused(t, r, err, "open", name, io.ErrUnexpectedEOF, "10000")
			f, err := os.OpenFile(name, c.flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			r, err = mmap.Map(f, &c.opts)
			refused(t, r, err, "map", name, io.ErrUnexpectedEOF, "10000")
			f.Close()
			unchanged(t, before, name, data)
		})
	}
}

// TestOpenTruncating: a window that cannot be past the end, of a file that
// opening would make empty, is refused before the file loses its bytes.
func TestOpenTruncating(t *testing.T) {
	data := pattern(1, 10_000)
	for what, c := range map[string]struct {
		flag int
		opts mmap.Options
	}{
		"private":   {os.O_RDWR, mmap.Options{Length: 100, Private: true}},
		"ProtRead":  {os.O_RDWR, mmap.Options{Length: 100, Prot: mmap.ProtRead}},
		"read-only": {os.O_RDONLY, mmap.Options{Length: 100}},
	} {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, data)
			before := countResources()
			r, err := mmap.OpenFile(name, c.flag|os.O_TRUNC, 0, &c.opts)
			if err == nil {
				r.Close()
				t.Fatal("it opens")
			}
			unchanged(t, before, name, data)
		})
	}
}

// TestOpenAsOS: where os.OpenFile fails, OpenFile fails with the same error.
func TestOpenAsOS(t *testing.T) {
	dir := t.TempDir()
	name := newFile(t, []byte("data"))
	for what, c := range map[string]struct {
		name string
		flag int
	}{
		"missing":           {filepath.Join(dir, "missing"), os.O_RDONLY},
		"missing directory": {filepath.Join(dir, "missing", "file"), os.O_RDWR | os.O_CREATE},
		"below a file":      {filepath.Join(name, "file"), os.O_RDONLY},
		"exclusive":         {name, os.O_RDWR | os.O_CREATE | os.O_EXCL},
		"no name":           {"", os.O_RDONLY},
		"NUL":               {"a\x00b", os.O_RDONLY},
		"directory":         {dir, os.O_RDWR},
		"long":              {strings.Repeat("x", 5000), os.O_RDONLY},
	} {
		before := countResources()
		f, wantErr := os.OpenFile(c.name, c.flag, 0o666)
		if wantErr == nil {
			f.Close()
			t.Fatalf("%s: os.OpenFile succeeds", what)
		}
		r, err := mmap.OpenFile(c.name, c.flag, 0o666, nil)
		if r != nil || err == nil || err.Error() != wantErr.Error() {
			t.Errorf("%s: %v, os says %v", what, err, wantErr)
		}
		if lost := before.leaked(); lost != "" {
			t.Errorf("%s leaves over:\n%s", what, lost)
		}
	}
}

// TestOpenDirectory: a directory is refused by name, also when it is opened
// already.
func TestOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	before := countResources()
	r, err := mmap.Open(dir)
	refused(t, r, err, "open", dir, syscall.EISDIR, "directory")
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err = mmap.Map(f, nil)
	refused(t, r, err, "map", dir, syscall.EISDIR, "directory")
	f.Close()
	if lost := before.leaked(); lost != "" {
		t.Errorf("left over:\n%s", lost)
	}
}

// TestMapBadFile: no file, and a closed one.
func TestMapBadFile(t *testing.T) {
	r, err := mmap.Map(nil, nil)
	refused(t, r, err, "map", "", os.ErrInvalid, "invalid")
	name := newFile(t, []byte("data"))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	r, err = mmap.Map(f, nil)
	refused(t, r, err, "map", name, os.ErrClosed, "closed")
}

// TestAnonymousBad: sizes that are none, and options that mean nothing without
// a file.
func TestAnonymousBad(t *testing.T) {
	needsMemory(t)
	before := countResources()
	for what, c := range map[string]struct {
		size int64
		opts *mmap.Options
		want error
		says string
	}{
		"negative":      {-1, nil, syscall.EINVAL, "size"},
		"most negative": {math.MinInt64, nil, syscall.EINVAL, "size"},
		"offset":        {10, &mmap.Options{Offset: 1}, syscall.EINVAL, "Offset"},
		"length":        {10, &mmap.Options{Length: 1}, syscall.EINVAL, "Length"},
		"private":       {10, &mmap.Options{Private: true}, syscall.EINVAL, "Private"},
		"sync":          {10, &mmap.Options{MapSync: true}, syscall.EINVAL, "MapSync"},
		"prot":          {10, &mmap.Options{Prot: 1 << 6}, syscall.EINVAL, "Prot"},
		"descriptor":    {10, &mmap.Options{Access: mmap.AccessDescriptor}, syscall.EINVAL, "AccessDescriptor"},
	} {
		t.Run(what, func(t *testing.T) {
			r, err := mmap.Anonymous(c.size, c.opts)
			refused(t, r, err, "map", "anonymous", c.want, c.says)
		})
	}
	for _, size := range []int64{math.MaxInt64, math.MaxInt64 - 1<<20, 1 << 62} {
		r, err := mmap.Anonymous(size, nil)
		if err == nil {
			r.Close()
			t.Errorf("%d bytes of memory can be had", size)
			continue
		}
		cause := errors.Unwrap(err)
		if !errors.Is(cause, errors.ErrUnsupported) && !errors.Is(cause, sys.OutOfMemory) {
			t.Errorf("%d bytes: %v", size, err)
		}
		refused(t, nil, err, "map", "anonymous", cause, "")
	}
	if lost := before.leaked(); lost != "" {
		t.Errorf("left over:\n%s", lost)
	}
}

// TestAnonymous: zeroed bytes of a fixed size, without a file.
func TestAnonymous(t *testing.T) {
	needsMemory(t)
	r, err := mmap.Anonymous(10_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b := r.Bytes(); len(b) != 10_000 || cap(b) != 10_000 || bytes.ContainsFunc(b, func(c rune) bool { return c != 0 }) {
		t.Errorf("%d bytes, capacity %d, not all zero", len(b), cap(b))
	}
	if n, err := r.WriteAt([]byte("12345"), 9_997); n != 3 || err != io.ErrShortWrite {
		t.Errorf("WriteAt over the end = %d, %v", n, err)
	}
	p := make([]byte, 5)
	if n, err := r.ReadAt(p, 9_997); n != 3 || err != io.EOF || string(p[:3]) != "123" {
		t.Errorf("ReadAt over the end = %d, %v, %q", n, err, p[:n])
	}
	for what, err := range map[string]error{"Flush": r.Flush(), "Sync": r.Sync(), "Truncate": r.Truncate(1)} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	empty, err := mmap.Anonymous(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if n, err := empty.ReadAt(p, 0); n != 0 || err != io.EOF || empty.Bytes() != nil {
		t.Errorf("ReadAt of nothing = %d, %v", n, err)
	}
}

// TestOpenEmpty: an empty file is a Region without bytes, and becomes one with
// bytes when something is written.
func TestOpenEmpty(t *testing.T) {
	for what, opts := range map[string]*mmap.Options{"": nil, "options": {Populate: true, HugePages: true, NoReserve: true}} {
		name := newFile(t, nil)
		r := openRegion(t, name, os.O_RDWR, opts)
		p := make([]byte, 10)
		if n, err := r.ReadAt(p, 0); n != 0 || err != io.EOF {
			t.Errorf("%s: ReadAt = %d, %v", what, n, err)
		}
		if n, err := r.Read(p); n != 0 || err != io.EOF {
			t.Errorf("%s: Read = %d, %v", what, n, err)
		}
		if r.Len() != 0 || r.Size() != 0 || r.Bytes() != nil {
			t.Errorf("%s: Len %d, Size %d, Bytes %v", what, r.Len(), r.Size(), r.Bytes())
		}
		if err := r.View(0, 1, func([]byte) error { return nil }); sys.Mappable && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: View of a byte of nothing: %v", what, err)
		}
		if n, err := r.WriteAt([]byte("now"), 0); n != 3 || err != nil {
			t.Errorf("%s: WriteAt = %d, %v", what, n, err)
		}
		if b := r.Bytes(); sys.Mappable && string(b) != "now" {
			t.Errorf("%s: Bytes = %q", what, b)
		}
	}
}

// TestPrivateNeverReaches: whatever is done to a private Region, the file
// stays as it was.
func TestPrivateNeverReaches(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 20_000)
	for what, change := range map[string]func(r *mmap.Region){
		"WriteAt":     func(r *mmap.Region) { r.WriteAt([]byte("new"), 5) },
		"large":       func(r *mmap.Region) { r.WriteAt(make([]byte, 20_000), 0) },
		"past":        func(r *mmap.Region) { r.WriteAt([]byte("new"), 19_999) },
		"far past":    func(r *mmap.Region) { r.WriteAt([]byte("new"), 1<<30) },
		"Write":       func(r *mmap.Region) { r.Write([]byte("new")) },
		"WriteString": func(r *mmap.Region) { r.WriteString("new") },
		"WriteByte":   func(r *mmap.Region) { r.WriteByte(1) },
		"ReadFrom":    func(r *mmap.Region) { r.ReadFrom(strings.NewReader("new")) },
		"View":        func(r *mmap.Region) { r.View(0, mmap.ToEnd, func(b []byte) error { clear(b); return nil }) },
		"Bytes":       func(r *mmap.Region) { clear(r.Bytes()) },
		"Truncate":    func(r *mmap.Region) { r.Truncate(1) },
		"Allocate":    func(r *mmap.Region) { r.Allocate(0, 100_000) },
		"Discard":     func(r *mmap.Region) { r.Discard(0, mmap.ToEnd) },
		"SyscallConn": func(r *mmap.Region) { r.SyscallConn() },
		"ReadFrom file": func(r *mmap.Region) {
			if f, err := os.Open(newFile(t, []byte("new"))); err == nil {
				r.ReadFrom(f)
				f.Close()
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, data)
			r := openRegion(t, name, os.O_RDWR, &mmap.Options{Private: true})
			change(r)
			r.Flush()
			r.Sync()
			r.Close()
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("the file has %d bytes and differs at %d: %v", len(got), differ(got, data), err)
			}
		})
	}
}

// TestMapIndependent: a Region made of a file does not need it, does not move
// its offset, and is not moved by it.
func TestMapIndependent(t *testing.T) {
	data := pattern(1, 30_000)
	f, err := os.OpenFile(newFile(t, data), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(123, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.Map(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := make([]byte, 1000)
	if n, err := r.Read(p); n != 1000 || err != nil || !bytes.Equal(p, data[:1000]) {
		t.Errorf("the first Read = %d, %v; it begins at 0?", n, err)
	}
	useOffsets(t, r)
	if at, err := f.Seek(0, io.SeekCurrent); at != 123 || err != nil {
		t.Errorf("the file's offset is %d, %v; it was 123", at, err)
	}
	here, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(7, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if at, err := r.Seek(0, io.SeekCurrent); at != here || err != nil {
		t.Errorf("the Region's cursor is %d, %v; it was %d", at, err, here)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.ReadAt(p, 500); n != 1000 || err != nil || !bytes.Equal(p, data[500:1500]) {
		t.Errorf("ReadAt after the file was closed = %d, %v", n, err)
	}
	if n, err := r.WriteAt(data[:10], 40_000); n != 10 || err != nil {
		t.Errorf("WriteAt after the file was closed = %d, %v", n, err)
	}
}

// useOffsets calls what moves a cursor.
func useOffsets(t *testing.T, r *mmap.Region) {
	t.Helper()
	if _, err := r.Seek(-5, io.SeekEnd); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadByte(); err != nil {
		t.Error(err)
	}
	if _, err := r.Write([]byte("xyz")); err != nil {
		t.Error(err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if _, err := r.WriteTo(io.Discard); err != nil {
		t.Error(err)
	}
	conn, err := r.SyscallConn()
	if err != nil {
		return // a mere duplicate
	}
	if err := conn.Control(func(uintptr) {}); err != nil {
		t.Error(err)
	}
	if _, err := r.Seek(77, io.SeekStart); err != nil {
		t.Error(err)
	}
}

// logEnv lets a child process log the files that it opens, as tests do.
const logEnv = "MMAP_TEST_LOG"

// TestOpenIsLogged: go test learns which files a test opened by Open, or it
// would take a cached result for one of files that have changed since.
func TestOpenIsLogged(t *testing.T) {
	cmd := child(t, logEnv+"=1")
	if cmd == nil {
		r, err := mmap.Open(os.Getenv("MMAP_TEST_FILE"))
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		return
	}
	name, log := newFile(t, []byte("data")), filepath.Join(t.TempDir(), "log")
	cmd.Args = append(cmd.Args, "-test.testlogfile="+log)
	cmd.Env = append(cmd.Env, "MMAP_TEST_FILE="+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Skip("no child process: ", err)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "open "+name+"\n") {
		t.Errorf("the log does not say that the file was opened: %q, %v", text, err)
	}
}

// TestPrivateIgnoresAppend: private memory of a file opened with O_APPEND never
// reaches the file, by no way of writing.
func TestPrivateIgnoresAppend(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 10_000)
	name := newFile(t, data)
	r := openRegion(t, name, os.O_RDWR|os.O_APPEND, &mmap.Options{Private: true})
	if n, err := r.Write([]byte("secret")); n != 6 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	src, err := os.Open(newFile(t, []byte("from a file")))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if n, err := r.ReadFrom(src); n != 11 || err != nil {
		t.Errorf("ReadFrom = %d, %v", n, err)
	}
	got := make([]byte, 17)
	if _, err := r.ReadAt(got, 0); err != nil || string(got) != "secretfrom a file" {
		t.Errorf("ReadAt: %q, %v", got, err)
	}
	if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, data) {
		t.Errorf("the file was written to (%v)", err)
	}
}

// TestOptionEdges: a part of a file is one from the first byte on that it lacks.
func TestOptionEdges(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 100))
	for _, c := range []struct {
		flag int
		opts mmap.Options
		want error
	}{
		{os.O_RDWR | os.O_APPEND, mmap.Options{Length: 1}, syscall.EINVAL},
		{os.O_RDWR | os.O_APPEND, mmap.Options{Offset: 1}, syscall.EINVAL},
		{os.O_RDWR | os.O_TRUNC, mmap.Options{Length: 1, Private: true}, io.ErrUnexpectedEOF},
		{os.O_RDONLY, mmap.Options{Offset: 99, Length: 1}, nil},
		{os.O_RDONLY, mmap.Options{Offset: 99, Length: 2}, io.ErrUnexpectedEOF},
		{os.O_RDONLY, mmap.Options{Offset: 100, Length: 1}, io.ErrUnexpectedEOF},
		{os.O_RDONLY, mmap.Options{Offset: 101}, nil},
		{os.O_RDWR, mmap.Options{Offset: 1, Length: math.MaxInt64}, syscall.EINVAL},
		{os.O_RDWR, mmap.Options{Offset: -1}, syscall.EINVAL},
		{os.O_RDWR, mmap.Options{Length: -1}, syscall.EINVAL},
	} {
		r, err := mmap.OpenFile(name, c.flag, 0, &c.opts)
		if !errors.Is(err, c.want) {
			t.Errorf("flag %#x, %+v: %v, want %v", c.flag, c.opts, err, c.want)
		}
		if err == nil {
			r.Close()
		}
		if got, err := os.ReadFile(name); err != nil || len(got) != 100 {
			t.Fatalf("flag %#x, %+v: the file has %d bytes, %v", c.flag, c.opts, len(got), err)
		}
	}
	r, err := mmap.OpenFile(name, os.O_RDWR|os.O_TRUNC, 0, &mmap.Options{Prot: mmap.ProtRead})
	if err != nil {
		t.Fatal("all of a file cut to nothing: ", err)
	}
	r.Close()
}

// TestWindowErrorNames: the error for a window past the end names the options that
// were set, and no other.
func TestWindowErrorNames(t *testing.T) {
	name := newFile(t, pattern(1, 100))
	for want, opts := range map[string]mmap.Options{
		": Length: ":         {Length: 200},
		": Offset, Length: ": {Offset: 1, Length: 200},
	} {
		r, err := mmap.OpenFile(name, os.O_RDONLY, 0, &opts)
		if err == nil {
			r.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenFile with %+v: %v, want %q in it", opts, err, want)
		}
	}
}
