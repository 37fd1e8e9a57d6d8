package sys

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The tests play the contract of sys.go on whatever system runs them. What a
// system does not have must say errors.ErrUnsupported, and is skipped then.

// scratch returns a file of n bytes, no two neighbouring pages of them alike,
// opened anew with flag.
func scratch(t *testing.T, n, flag int) (*os.File, []byte) {
	t.Helper()
	// Not t.TempDir: to remove a file may fail where another program looks
	// at it, and says nothing about this package.
	dir, err := os.MkdirTemp("", "sys")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(i%251) + 1
	}
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, text, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, text
}

// mapped returns memory that is unmapped at the end of the test.
func mapped(t *testing.T, f *os.File, off int64, n int, p Prot, kind Flag) []byte {
	t.Helper()
	if !Mappable {
		t.Skip("this system maps no files")
	}
	fd := ^uintptr(0)
	if f != nil {
		fd = f.Fd()
	}
	n = (n + PageSize() - 1) / PageSize() * PageSize()
	b, err := Map(fd, off, n, p, kind, 0)
	if err != nil {
		t.Fatalf("Map: %v", err)
	}
	if len(b) != n || cap(b) != n {
		t.Fatalf("Map: len %d, cap %d, want %d", len(b), cap(b), n)
	}
	t.Cleanup(func() {
		if err := Unmap(b); err != nil {
			t.Errorf("Unmap: %v", err)
		}
	})
	return b
}

// must fails the test, or skips it where the system has no such call.
func must(t *testing.T, err error, what string) {
	t.Helper()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("%s: %v", what, err)
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// sink keeps loads alive.
var sink byte

// loads reports whether b[i] can be read; a fault must name its address.
func loads(t *testing.T, b []byte, i int) bool {
	t.Helper()
	return touch(t, b, i, func() { sink = b[i] })
}

// stores reports whether b[i] can be written.
func stores(t *testing.T, b []byte, i int) bool {
	t.Helper()
	return touch(t, b, i, func() { b[i]++ })
}

// touch reports whether fn runs without a fault at b[i].
func touch(t *testing.T, b []byte, i int, fn func()) (fine bool) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface{ Addr() uintptr })
		if !ok {
			panic(r)
		}
		want := reflect.ValueOf(b).Pointer() + uintptr(i)
		if runtime.GOARCH == "s390x" {
			want &^= uintptr(PageSize() - 1) // the processor tells the page alone
		}
		if fault.Addr() != want {
			t.Errorf("fault at %#x, want %#x", fault.Addr(), want)
		}
	}()
	fn()
	return true
}

// contents returns what the descriptor reads.
func contents(t *testing.T, f *os.File) []byte {
	t.Helper()
	info, err := Stat(f.Fd())
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, info.Size)
	if _, err := f.ReadAt(text, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return text
}

func TestSizes(t *testing.T) {
	page, grain := PageSize(), Granularity()
	if page < 512 || page&(page-1) != 0 {
		t.Errorf("PageSize() = %d", page)
	}
	if grain < page || grain%page != 0 {
		t.Errorf("Granularity() = %d, PageSize() = %d", grain, page)
	}
	if Mappable && (MaxMaps() < 100 || AddressSpace() < 1<<28) {
		t.Errorf("MaxMaps() = %d, AddressSpace() = %d", MaxMaps(), AddressSpace())
	}
	if AddressSpace() > 1<<60 { // no processor has so many
		t.Errorf("AddressSpace() = %d", AddressSpace())
	}
}

func TestMapUnsupported(t *testing.T) {
	if Mappable {
		t.Skip("this system maps files")
	}
	if _, err := Map(0, 0, PageSize(), Read, Anonymous, 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Map: %v, want errors.ErrUnsupported", err)
	}
}

func TestMapShared(t *testing.T) {
	f, text := scratch(t, 2*Granularity()+123, os.O_RDWR)
	b := mapped(t, f, 0, len(text), Read|Write, 0)
	if !bytes.Equal(b[:len(text)], text) {
		t.Error("memory and file differ")
	}
	for i, c := range b[len(text):] {
		if c != 0 {
			t.Fatalf("byte %d past the end is %d", i, c)
		}
	}
	b[7], b[len(text)-1] = 'x', 'y'
	if !Coherent {
		must(t, Sync(f.Fd(), b), "Sync")
	}
	text[7], text[len(text)-1] = 'x', 'y'
	if !bytes.Equal(contents(t, f), text) {
		t.Error("the file lacks the stores, or has another size")
	}
	if _, err := f.WriteAt([]byte("z"), 8); err != nil {
		t.Fatal(err)
	}
	if Coherent && b[8] != 'z' {
		t.Error("the memory lacks what was written to the file")
	}
}

func TestMapOffset(t *testing.T) {
	f, text := scratch(t, 2*Granularity()+5, os.O_RDONLY)
	text = text[Granularity():]
	b := mapped(t, f, int64(Granularity()), len(text), Read, 0)
	if !bytes.Equal(b[:len(text)], text) {
		t.Error("memory and file differ")
	}
	if stores(t, b, 0) {
		t.Error("a store to read-only memory passes")
	}
}

func TestMapHint(t *testing.T) {
	f, text := scratch(t, 100, os.O_RDONLY)
	b := mapped(t, f, 0, len(text), Read, 0)
	taken := reflect.ValueOf(b).Pointer()
	for _, kind := range []Flag{0, Anonymous} {
		again, err := Map(f.Fd(), 0, len(b), Read, kind, taken)
		if err != nil {
			t.Fatalf("hint in use: %v", err)
		}
		if reflect.ValueOf(again).Pointer() == taken {
			t.Error("the mapping stands on another")
		}
		if err := Unmap(again); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(b[:len(text)], text) {
		t.Error("memory and file differ")
	}
}

func TestMapPrivate(t *testing.T) {
	for _, flag := range []int{os.O_RDONLY, os.O_RDWR} {
		f, text := scratch(t, PageSize()+1, flag)
		b := mapped(t, f, 0, len(text), Read|Write, Private)
		b[0], b[PageSize()] = 'x', 'y'
		if !bytes.Equal(contents(t, f), text) {
			t.Error("a private store reached the file")
		}
		if b[0] != 'x' || b[PageSize()] != 'y' || !bytes.Equal(b[1:PageSize()], text[1:PageSize()]) {
			t.Error("memory lacks the stores, or more changed")
		}
	}
}

func TestMapAnonymous(t *testing.T) {
	b := mapped(t, nil, 0, 4*PageSize(), Read|Write, Anonymous|NoReserve)
	for i := range b {
		if b[i] != 0 {
			t.Fatalf("byte %d is %d", i, b[i])
		}
		b[i] = 'x'
	}
}

func TestMapDenied(t *testing.T) {
	if !Mappable {
		t.Skip("this system maps no files")
	}
	f, _ := scratch(t, 100, os.O_RDONLY)
	if _, err := Map(f.Fd(), 0, PageSize(), Read|Write, 0, 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("writable memory of a read-only file: %v", err)
	}
	if _, err := Map(f.Fd(), 0, PageSize(), Read, SyncMap, 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("durable memory of an ordinary file: %v", err)
	}
}

// kinds runs a test on memory of each kind.
func kinds(t *testing.T, n int, test func(t *testing.T, f *os.File, b []byte)) {
	for name, kind := range map[string]Flag{"shared": 0, "private": Private, "anonymous": Anonymous} {
		t.Run(name, func(t *testing.T) {
			f, _ := scratch(t, n, os.O_RDWR)
			test(t, f, mapped(t, f, 0, n, Read|Write, kind))
		})
	}
}

func TestRevoke(t *testing.T) {
	kinds(t, 3*PageSize()-1, func(t *testing.T, f *os.File, b []byte) {
		b[0]++
		if err := Revoke(b); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(b); i += PageSize() {
			if loads(t, b, i) || stores(t, b, i) {
				t.Errorf("page %d can be touched", i/PageSize())
			}
		}
	})
}

func TestRevokeKeepsStores(t *testing.T) {
	f, text := scratch(t, PageSize()+1, os.O_RDWR)
	b := mapped(t, f, 0, len(text), Read|Write, 0)
	b[0], text[0] = 'x', 'x'
	if !Coherent {
		must(t, Sync(f.Fd(), b), "Sync")
	}
	if err := Revoke(b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, f), text) {
		t.Error("the file lacks the store")
	}
}

// TestRevokeInOneStep reads a mapping while it is revoked and others are made:
// no reader may ever see anything but its own file.
func TestRevokeInOneStep(t *testing.T) {
	n := 2 * Granularity()
	f, text := scratch(t, n, os.O_RDONLY)
	other, _ := scratch(t, n, os.O_RDWR)
	if _, err := other.WriteAt(make([]byte, n), 0); err != nil {
		t.Fatal(err)
	}
	mapped(t, other, 0, n, Read, 0) // or skips
	for range 50 {
		b, err := Map(f.Fd(), 0, n, Read, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		started, done := make(chan bool), make(chan bool)
		go func() {
			defer close(done)
			for i := 0; loads(t, b, i); i = (i + 4099) % n {
				if sink != text[i] {
					t.Errorf("byte %d is %d, want %d", i, sink, text[i])
				}
				if i == 0 {
					once.Do(func() { close(started) })
				}
			}
		}()
		<-started
		if err := Revoke(b); err != nil {
			t.Fatal(err)
		}
		again, err := Map(other.Fd(), 0, n, Read, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		<-done
		if err := errors.Join(Unmap(again), Unmap(b)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRevokePart(t *testing.T) {
	kinds(t, 3*PageSize(), func(t *testing.T, _ *os.File, b []byte) {
		page := PageSize()
		must(t, RevokePart(b[page:2*page]), "Release")
		if loads(t, b, page) || stores(t, b, 2*page-1) {
			t.Error("a released page can be touched")
		}
		if !stores(t, b, page-1) || !stores(t, b, 2*page) {
			t.Error("a neighbour of a released page faults")
		}
	})
}

func TestProtect(t *testing.T) {
	kinds(t, 2*PageSize(), func(t *testing.T, f *os.File, b []byte) {
		before, page := contents(t, f), b[:PageSize()]
		for _, p := range []Prot{Read, Read | Write, 0, Read | Write} {
			if err := Protect(page, p); err != nil {
				t.Fatalf("Protect(%b): %v", p, err)
			}
			if got := loads(t, b, 0); got != (p&Read != 0) {
				t.Errorf("Protect(%b): load is %v", p, got)
			}
			if got := stores(t, b, 0); got != (p&Write != 0) {
				t.Errorf("Protect(%b): store is %v", p, got)
			}
			if !stores(t, b, PageSize()) {
				t.Error("the next page is protected too")
			}
		}
		if t.Name() == "TestProtect/private" && !bytes.Equal(contents(t, f), before) {
			t.Error("a private store reached the file")
		}
	})
}

func TestProtectRaises(t *testing.T) {
	for _, kind := range []Flag{0, Private, Anonymous} {
		f, _ := scratch(t, 100, os.O_RDWR)
		b := mapped(t, f, 0, 100, Read, kind)
		if err := Protect(b, Read|Write); err != nil || !stores(t, b, 0) {
			t.Errorf("kind %b: memory mapped to read cannot be made writable: %v", kind, err)
		}
	}
	f, _ := scratch(t, 100, os.O_RDONLY)
	b := mapped(t, f, 0, 100, Read, 0)
	if err := Protect(b, Read|Write); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("memory of a read-only file made writable: %v", err)
	}
}

func TestMapNone(t *testing.T) {
	f, _ := scratch(t, 100, os.O_RDONLY)
	b := mapped(t, f, 0, 100, 0, 0)
	if loads(t, b, 0) {
		t.Error("memory without rights can be read")
	}
	if err := Protect(b, Read); err != nil || !loads(t, b, 0) {
		t.Errorf("Protect: %v", err)
	}
}

func TestHoldsSize(t *testing.T) {
	f, _ := scratch(t, 2*PageSize(), os.O_RDWR)
	b := mapped(t, f, 0, 2*PageSize(), Read, 0)
	if err := f.Truncate(1); (err != nil) != MappingPinsSize {
		t.Errorf("Truncate below a mapping: %v, MappingPinsSize = %v", err, MappingPinsSize)
	}
	if MappingPinsSize {
		if info, err := Stat(f.Fd()); info.Size != int64(len(b)) || err != nil {
			t.Errorf("the size is %d, %v", info.Size, err)
		}
	}
}

func TestPopulate(t *testing.T) {
	kinds(t, 3*PageSize(), func(t *testing.T, f *os.File, b []byte) {
		before := bytes.Clone(b)
		for _, write := range []bool{false, true} {
			must(t, Populate(b, write), "Populate")
		}
		if !bytes.Equal(b, before) {
			t.Error("Populate changed the bytes")
		}
	})
}

func TestLock(t *testing.T) {
	b := mapped(t, nil, 0, 3*PageSize(), Read|Write, Anonymous)
	if err := Lock(b[:PageSize()]); err != nil {
		t.Skipf("Lock: %v", err)
	}
	if err := Unlock(b); err != nil {
		t.Errorf("Unlock: %v", err)
	}
	if err := Unlock(b); err != nil {
		t.Errorf("Unlock of memory that is not locked: %v", err)
	}
}

func TestSync(t *testing.T) {
	f, text := scratch(t, PageSize()+10, os.O_RDWR)
	b := mapped(t, f, 0, len(text), Read|Write, 0)
	b[0]++
	for name, err := range map[string]error{
		"StartWriteback":             StartWriteback(f.Fd(), 0, int64(len(b)), b),
		"StartWriteback, not mapped": StartWriteback(f.Fd(), 0, int64(len(b)), nil),
		"Sync":                       Sync(f.Fd(), b),
		"Sync of a part":             Sync(f.Fd(), b[PageSize():]),
		"SyncFile":                   SyncFile(f.Fd()),
	} {
		if err != nil {
			t.Logf("%s: %v", name, err)
			t.Fail()
		}
	}
}

func TestSyncReadOnly(t *testing.T) {
	f, text := scratch(t, 10, os.O_RDONLY)
	b := mapped(t, f, 0, len(text), Read, 0)
	if err := Sync(f.Fd(), b); err != nil {
		t.Errorf("Sync through a read-only descriptor: %v", err)
	}
}

func TestFull(t *testing.T) {
	if f, _ := scratch(t, 10, os.O_RDWR); DiskFull(f.Fd()) {
		t.Error("the file system is full, although a file was just written")
	}
}

func TestResident(t *testing.T) {
	kinds(t, 600*PageSize(), func(t *testing.T, _ *os.File, b []byte) {
		for i := 0; i < len(b); i += PageSize() {
			sink = b[i]
			b[i] = 1
		}
		in := make([]bool, 600)
		must(t, Resident(b, in), "Resident")
		n := 0
		for _, r := range in {
			if r {
				n++
			}
		}
		if n == 0 {
			t.Error("no page is resident, all were just touched")
		}
	})
}

func TestStat(t *testing.T) {
	f, text := scratch(t, 12345, os.O_RDONLY)
	info, err := Stat(f.Fd())
	info.Changed = 0
	if err != nil || info != (Info{Size: int64(len(text)), Regular: true}) {
		t.Errorf("a file: %+v, %v", info, err)
	}
	dir, err := os.Open(filepath.Dir(f.Name()))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if info, err := Stat(dir.Fd()); err != nil || !info.Dir || info.Regular {
		t.Errorf("a directory: %+v, %v", info, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Skip(err)
	}
	defer w.Close()
	defer r.Close()
	if info, err := Stat(r.Fd()); err != nil || info.Dir || info.Regular {
		t.Errorf("a pipe: %+v, %v", info, err)
	}
}

func TestReopen(t *testing.T) {
	for _, want := range []int{
		os.O_RDONLY, os.O_WRONLY, os.O_RDWR,
		os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_SYNC,
	} {
		if want&os.O_SYNC != 0 && runtime.GOOS == "js" {
			continue // cannot be opened so
		}
		f, text := scratch(t, 100, want)
		if _, err := f.Seek(10, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		own, flag, alone, err := Reopen(f)
		must(t, err, "Reopen")
		if flag != want {
			t.Errorf("flag is %#x, want %#x", flag, want)
		}
		if own.Name() != f.Name() {
			t.Errorf("name is %q, want %q", own.Name(), f.Name())
		}
		at, err := own.Seek(0, io.SeekCurrent)
		if err != nil || (at == 0) != alone {
			t.Errorf("%#x: offset is %d, %v; alone is %v", want, at, err, alone)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if want&os.O_WRONLY == 0 && !bytes.Equal(contents(t, own), text) {
			t.Errorf("%#x: the new descriptor reads something else", want)
		}
		if err := own.Close(); err != nil {
			t.Error(err)
		}
		if _, _, _, err := Reopen(f); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Reopen of a closed file: %v", err)
		}
	}
}

func TestReopenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	own, _, alone, err := Reopen(w)
	must(t, err, "Reopen")
	if alone {
		t.Error("a pipe was opened anew")
	}
	w.Close()
	go func() {
		own.WriteString("text")
		own.Close()
	}()
	if text, err := io.ReadAll(r); string(text) != "text" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestAllocate(t *testing.T) {
	f, text := scratch(t, 100, os.O_RDWR)
	must(t, Allocate(f.Fd(), 0, 50), "Allocate")
	if !bytes.Equal(contents(t, f), text) {
		t.Error("Allocate inside the file changed it")
	}
	must(t, Allocate(f.Fd(), 50, 1<<16), "Allocate")
	want := append(text, make([]byte, 50+1<<16-100)...)
	if got := contents(t, f); !bytes.Equal(got, want) {
		t.Errorf("the file has %d bytes, want %d, or they differ", len(got), len(want))
	}
}

func TestReserve(t *testing.T) {
	f, text := scratch(t, 100, os.O_RDWR)
	for _, off := range []int64{0, 1 << 20} {
		must(t, Reserve(f.Fd(), off, 1), "Reserve")
		if !bytes.Equal(contents(t, f), text) {
			t.Errorf("Reserve at %d changed the file", off)
		}
	}
}

func TestPunch(t *testing.T) {
	f, text := scratch(t, 4*Granularity()+1, os.O_RDWR)
	page := PageSize()
	must(t, PunchHole(f.Fd(), int64(page), int64(2*page)), "Punch")
	clear(text[page : 3*page])
	if !bytes.Equal(contents(t, f), text) {
		t.Error("not the punched bytes, and they alone, are zero")
	}
}

func TestDrop(t *testing.T) {
	kinds(t, 4*PageSize(), func(t *testing.T, f *os.File, b []byte) {
		if t.Name() == "TestDrop/shared" {
			t.Skip("for private and anonymous memory")
		}
		page := PageSize()
		want := bytes.Clone(b)
		for i := range b {
			b[i] = 'x'
		}
		if err := Protect(b[2*page:], Read); err != nil {
			t.Fatal(err)
		}
		anonymous := strings.HasSuffix(t.Name(), "anonymous")
		must(t, DiscardPages(b[page:2*page], Read|Write, anonymous), "Drop")
		must(t, DiscardPages(b[2*page:], Read, anonymous), "Drop")
		if !bytes.Equal(b[page:], want[page:]) || b[page-1] != 'x' {
			t.Error("not the dropped bytes, and they alone, are as at first")
		}
		if !stores(t, b, page) || stores(t, b, 2*page) {
			t.Error("the protection changed")
		}
	})
}

func TestAdvise(t *testing.T) {
	f, text := scratch(t, 4*PageSize(), os.O_RDWR)
	b := mapped(t, f, 0, len(text), Read|Write, 0)
	for a := Normal; a <= Unmergeable; a++ {
		err := Advise(b, a)
		if !HasAdvice(a) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("advice %d, not known: %v", a, err)
		}
		if HasAdvice(a) && a <= WillNeed && err != nil {
			t.Errorf("advice %d: %v", a, err)
		}
	}
	if !bytes.Equal(b, text) {
		t.Error("advice changed the bytes")
	}
}

func TestCacheStat(t *testing.T) {
	f, _ := scratch(t, PageSize(), os.O_RDWR)
	_, err := CacheStat(f.Fd(), 0, int64(PageSize()))
	must(t, err, "CacheStat")
}

func TestMemory(t *testing.T) {
	f, err := NewMemFile("name", 5)
	must(t, err, "Memory")
	defer f.Close()
	if f.Name() != "name" {
		t.Errorf("name is %q", f.Name())
	}
	if got := contents(t, f); !bytes.Equal(got, make([]byte, 5)) {
		t.Errorf("contents are %q", got)
	}
	if _, err := f.WriteAt([]byte("text"), 3); err != nil {
		t.Error(err)
	}
	own, flag, _, err := Reopen(f)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if flag != os.O_RDWR || string(contents(t, own)) != "\x00\x00\x00text" {
		t.Errorf("opened anew: flag %#x, contents %q", flag, contents(t, own))
	}
	must(t, Seal(f.Fd(), SealShrink), "Seal")
	if f.Truncate(0) == nil {
		t.Error("a sealed file shrank")
	}
}

// TestPresent: what was touched is mapped, and what was not, or was given back, is
// not.
func TestPresent(t *testing.T) {
	if !Mappable {
		t.Skip("this system does not map files")
	}
	const pages = 1000
	b, err := Map(0, 0, pages*PageSize(), Read|Write, Anonymous, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer Unmap(b)
	_ = Advise(b, NoHugePage)
	in := make([]bool, pages)
	touched := []int{0, 1, 511, 512, 700, pages - 1}
	for _, i := range touched {
		b[i*PageSize()] = 1
	}
	if err := Present(b, in); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	for i, is := range in {
		if is != slices.Contains(touched, i) {
			t.Errorf("page %d: %v", i, is)
		}
	}
}
