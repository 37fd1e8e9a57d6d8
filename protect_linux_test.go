package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestProtectMaps protects ranges that begin and end inside pages, and looks
// at the protection that the kernel then has for each page.
func TestProtectMaps(t *testing.T) {
	page := mmap.PageSize()
	const none, r, rw, rx = mmap.ProtNone, mmap.ProtRead, mmap.ProtRead | mmap.ProtWrite, mmap.ProtRead | mmap.ProtExec
	for kind, region := range ctlKinds(t, 5*page) {
		if kind == "window" {
			continue // its pages begin elsewhere
		}
		for _, c := range []struct {
			off, n int64
			p      mmap.Prot
			want   string
		}{
			{page, page, r, "rw r- rw rw rw"}, {2*page - 1, 2, none, "rw -- -- rw rw"}, {0, 0, none, "rw -- -- rw rw"},
			{4*page + 1, mmap.ToEnd, r, "rw -- -- rw r-"}, {2 * page, mmap.ToEnd, rw, "rw -- rw rw rw"},
			{5 * page, 0, none, "rw -- rw rw rw"}, {0, mmap.ToEnd, rw, "rw rw rw rw rw"},
		} {
			if err := region.Protect(c.off, c.n, c.p); err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range int64(5) {
				got = append(got, ctlMapOf(t, region, i*page).perms[:2])
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: Protect %d bytes at %d: %v, want %v", kind, c.n, c.off, got, c.want)
			}
		}
		if n := ctlCount(t, region); n > 1 && kind != "private" && kind != "anonymous" {
			t.Errorf("%s: %d maps when all is as it was", kind, n)
		}
	}
	anon := ctlAnonymous(t, page, nil)
	if err := anon.Protect(0, 1, rx); err != nil {
		t.Skip("no executable memory here: ", err)
	}
	if m := ctlMapOf(t, anon, 0); m.perms[:3] != "r-x" {
		t.Errorf("executable memory is %s", m.perms)
	}
}

// ctlGuarded opens a file of six pages, of which page 2 can then only be read
// and page 4 cannot be touched.
func ctlGuarded(t *testing.T, open func(name string) *mmap.Region) (*mmap.Region, string, []byte) {
	t.Helper()
	page := mmap.PageSize()
	data := pattern(1, int(6*page))
	name := newFile(t, data)
	r := open(name)
	for range 3 { // so that the Region knows its pages, and goes by memory
		if n, err := r.WriteAt(data, 0); n < len(data) {
			t.Fatal(n, err)
		}
	}
	if err := errors.Join(r.Protect(2*page, page, mmap.ProtRead), r.Protect(4*page+1, 5, mmap.ProtNone)); err != nil {
		t.Fatal(err)
	}
	return r, name, data
}

// ctlOpeners are ways to open a file by which reads and writes go different
// ways: by memory, by the descriptor, by memory of the Region's own.
func ctlOpeners(t *testing.T) map[string]func(name string) *mmap.Region {
	with := func(flag int, opts *mmap.Options) func(name string) *mmap.Region {
		return func(name string) *mmap.Region { return openRegion(t, name, flag, opts) }
	}
	return map[string]func(name string) *mmap.Region{
		"memory":  func(name string) *mmap.Region { return openMapped(t, name, os.O_RDWR, nil) },
		"cold":    with(os.O_RDWR, nil),
		"sync":    with(os.O_RDWR|os.O_SYNC, nil),
		"window":  with(os.O_RDWR, &mmap.Options{Length: 6 * mmap.PageSize()}),
		"private": with(os.O_RDONLY, &mmap.Options{Private: true}),
		"chosen":  with(os.O_RDWR, &mmap.Options{Prot: mmap.ProtRead | mmap.ProtWrite}),
	}
}

// TestProtectReads reads across the page that cannot be touched, by every
// method that reads: each gives what lies before, and EACCES.
func TestProtectReads(t *testing.T) {
	page := mmap.PageSize()
	for kind, open := range ctlOpeners(t) {
		r, _, data := ctlGuarded(t, open)
		p := make([]byte, 6*page)
		for _, c := range []struct{ off, n, want int64 }{
			{0, 6 * page, 4 * page}, {4*page - 10, 20, 10}, {4 * page, 1, 0}, {5*page - 1, 2, 0}, {4*page + 500, page, 0},
		} {
			n, err := r.ReadAt(p[:c.n], c.off)
			if int64(n) != c.want || !errors.Is(err, syscall.EACCES) || !bytes.Equal(p[:n], data[c.off:c.off+int64(n)]) {
				t.Errorf("%s: ReadAt %d bytes at %d: %d, %v", kind, c.n, c.off, n, err)
			}
		}
		ctlSame(t, kind+", what is left", ctlRead(t, r, p[:page], 5*page), data[5*page:])
		ctlSame(t, kind+", what can be read", ctlRead(t, r, p[:4*page], 0), data[:4*page])
		ctlCursorReads(t, kind, r, data)
	}
}

// ctlCursorReads is TestProtectReads for the methods that use the cursor.
func ctlCursorReads(t *testing.T, kind string, r *mmap.Region, data []byte) {
	t.Helper()
	page := mmap.PageSize()
	file, err := os.Create(newFile(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var buf, plain bytes.Buffer
	for name, w := range map[string]io.Writer{"a file": file, "a buffer": &buf, "a writer": struct{ io.Writer }{&plain}} {
		ctlSeek(t, r, page)
		if n, err := r.WriteTo(w); n != 3*page || !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s: WriteTo %s: %d, %v; want three pages and EACCES", kind, name, n, err)
		}
	}
	if got, _ := os.ReadFile(file.Name()); !bytes.Equal(got, data[page:4*page]) || !bytes.Equal(buf.Bytes(), got) || !bytes.Equal(plain.Bytes(), got) {
		t.Errorf("%s: WriteTo wrote something else", kind)
	}
	ctlSeek(t, r, 4*page)
	if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, syscall.EACCES) {
		t.Errorf("%s: Read: %d, %v", kind, n, err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, syscall.EACCES) {
		t.Errorf("%s: ReadByte: %v", kind, err)
	}
	var fault *mmap.FaultError
	err = r.View(0, mmap.ToEnd, func(b []byte) error { ctlSink.Store(uint32(b[4*page+7])); return nil })
	if !errors.As(err, &fault) || !errors.Is(err, syscall.EACCES) || fault.Off/page != 4 {
		t.Errorf("%s: View: %v", kind, err)
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s: At: %v", kind, err)
		}
	}()
	r.At(int(4 * page))
}

// ctlSeek sets the cursor.
func ctlSeek(t *testing.T, r *mmap.Region, off int64) {
	t.Helper()
	if _, err := r.Seek(off, io.SeekStart); err != nil {
		t.Fatal(err)
	}
}

// TestProtectWrites writes across protected pages, by every method that
// writes: what lies before is written, and not one byte of the page or after.
func TestProtectWrites(t *testing.T) {
	page := mmap.PageSize()
	for kind, open := range ctlOpeners(t) {
		for _, c := range []struct{ off, n, want int64 }{
			{0, 6 * page, 2 * page}, {2*page - 10, 20, 10}, {2 * page, 1, 0}, {3*page - 1, 2, 0}, {2*page + 5, page, 0},
			{4 * page, 1, 0}, {3 * page, 2 * page, page}, {5*page - 300, 600, 0}, {5*page - 1, 3000, 0}, {3*page - 64, 100, 0},
			{3*page - 1, 17, 0}, {3*page - 100, 256, 0}, {3*page - 100, 300, 0}, {3*page - 9, 2040, 0},
		} {
			for how, write := range map[string]func(r *mmap.Region, p []byte) (int64, error){
				"WriteAt": func(r *mmap.Region, p []byte) (int64, error) { n, err := r.WriteAt(p, c.off); return int64(n), err },
				"Write":   func(r *mmap.Region, p []byte) (int64, error) { n, err := r.Write(p); return int64(n), err },
				"ReadFrom": func(r *mmap.Region, p []byte) (int64, error) {
					return r.ReadFrom(struct{ io.Reader }{bytes.NewReader(p)})
				},
				"ReadFrom a file": func(r *mmap.Region, p []byte) (int64, error) {
					f, err := os.Open(newFile(t, p))
					if err != nil {
						return 0, err
					}
					defer f.Close()
					return r.ReadFrom(f)
				},
			} {
				r, name, data := ctlGuarded(t, open)
				ctlSeek(t, r, c.off)
				p := bytes.Repeat([]byte{255}, int(c.n))
				n, err := write(r, p)
				if n != c.want || !errors.Is(err, syscall.EACCES) {
					t.Errorf("%s: %s of %d bytes at %d: %d, %v; want %d, EACCES", kind, how, c.n, c.off, n, err, c.want)
				}
				copy(data[c.off:c.off+c.want], p)
				if err := r.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite); err != nil {
					t.Fatal(err)
				}
				what := kind + ": " + how
				ctlSame(t, what, ctlRead(t, r, make([]byte, 6*page), 0), data)
				if got, _ := os.ReadFile(name); kind != "private" {
					ctlSame(t, what+", the file", string(got), data)
				}
				r.Close()
			}
		}
	}
}

// TestProtectAppend checks that appending does not get round a protection to
// the end.
func TestProtectAppend(t *testing.T) {
	page := mmap.PageSize()
	for _, size := range []int64{0, 100, page} {
		for _, flag := range []int{os.O_RDWR, os.O_RDWR | os.O_APPEND} {
			name := newFile(t, pattern(0, int(size)))
			r := openRegion(t, name, flag, nil)
			if err := r.Protect(0, mmap.ToEnd, mmap.ProtRead); err != nil {
				t.Fatal(err)
			}
			ctlSeek(t, r, size)
			if n, err := r.Write([]byte("more")); n != 0 || !errors.Is(err, syscall.EACCES) {
				t.Errorf("%d bytes protected to the end, flags %#x: Write %d, %v", size, flag, n, err)
			}
		}
	}
}

// TestProtectPartly checks protections that the processor cannot keep: most
// let what can be written or executed be read. ReadAt obeys all the same,
// and so it does when it reads a second time.
func TestProtectPartly(t *testing.T) {
	page := mmap.PageSize()
	for _, p := range []mmap.Prot{mmap.ProtWrite, mmap.ProtExec, mmap.ProtWrite | mmap.ProtExec} {
		r := openMapped(t, newFile(t, pattern(0, int(3*page))), os.O_RDWR, nil)
		if err := r.Protect(page, page, p); err != nil {
			t.Log("not here: ", err)
			continue
		}
		for i := range 10 {
			if n, err := r.ReadAt(make([]byte, 10), page-5); n != 5 || !errors.Is(err, syscall.EACCES) {
				t.Errorf("protection %d, reading again %d times: %d, %v", p, i, n, err)
				break
			}
		}
	}
}

// TestProtectGrants checks what a file allows and what not: writing to shared
// memory needs a file open for writing, and what Options.Prot left out can be
// given back.
func TestProtectGrants(t *testing.T) {
	name := newFile(t, pattern(0, 100))
	both := mmap.ProtRead | mmap.ProtWrite
	if err := openRegion(t, name, os.O_RDONLY, nil).Protect(0, mmap.ToEnd, both); !errors.Is(err, syscall.EACCES) {
		t.Errorf("a file open for reading: %v", err)
	}
	for kind, r := range map[string]*mmap.Region{
		"shared":    openRegion(t, name, os.O_RDWR, &mmap.Options{Prot: mmap.ProtRead}),
		"private":   openRegion(t, name, os.O_RDONLY, &mmap.Options{Prot: mmap.ProtRead, Private: true}),
		"anonymous": ctlAnonymous(t, 100, &mmap.Options{Prot: mmap.ProtNone}),
	} {
		if n, err := r.WriteAt([]byte("new"), 5); n != 0 || !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s: before: %d, %v", kind, n, err)
		}
		if err := r.Protect(0, mmap.ToEnd, both); err != nil {
			t.Fatal(err)
		}
		if n, err := r.WriteAt([]byte("new"), 5); n != 3 || err != nil {
			t.Errorf("%s: after: %d, %v", kind, n, err)
		}
		if got := ctlRead(t, r, make([]byte, 3), 5); got != "new" {
			t.Errorf("%s: %q was read", kind, got)
		}
		if err := r.View(5, 3, func(b []byte) error { b[0] = 'N'; return nil }); err != nil {
			t.Errorf("%s: View: %v", kind, err)
		}
		if got := ctlRead(t, r, make([]byte, 3), 5); got != "New" {
			t.Errorf("%s: %q was read after View", kind, got)
		}
	}
}

// TestProtectOldSlices checks that a protection holds for the memory that was
// handed out before the file outgrew it: the bytes are the same.
func TestProtectOldSlices(t *testing.T) {
	page := mmap.PageSize()
	r := openMapped(t, newFile(t, pattern(0, int(2*page))), os.O_RDWR, nil)
	b := r.Bytes()
	addr, n, _ := mmap.Memory(r)
	if err := r.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	if err := r.Protect(0, mmap.ToEnd, mmap.ProtRead); err != nil {
		t.Fatal(err)
	}
	if maps := ctlMaps(t, addr, n); len(maps) != 1 || maps[0].perms != "r--s" {
		t.Errorf("%d bytes handed out before growth are still %s", len(b), maps[0].perms)
	}
}

// TestLockFollowsGrowth: Options.Lock pins the file's pages, those that it grows
// by too, and none of the room that is kept for growth.
func TestLockFollowsGrowth(t *testing.T) {
	if cmd := child(t); cmd != nil {
		succeed(t, cmd)
		return
	}
	page := mmap.PageSize()
	name := newFile(t, pattern(1, int(page+1)))
	before := lockedMemory(t)
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Lock: true})
	if err != nil {
		t.Skip("nothing can be locked: ", err)
	}
	defer r.Close()
	for _, size := range []int64{page + 1, 3 * page, 3*page + 1, 3 << 20} { // the last needs a new mapping
		if err := r.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if !settle(func(l mmap.Ledger) bool { return l.Held == 1 }) {
			t.Fatal("the former mapping stays")
		}
		want, err := mmap.AlignUp(size)
		if got := lockedMemory(t) - before; err != nil || got != want {
			t.Errorf("at %d bytes %d are locked, want %d, %v", size, got, want, err)
		}
	}
}

// lockedMemory returns how many bytes this process has pinned.
func lockedMemory(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("not told: ", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmLck:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Skip("the kernel does not tell what is locked")
	return 0
}

// TestReleaseOlderMapping: Release takes the pages out of an earlier mapping too,
// and no others.
func TestReleaseOlderMapping(t *testing.T) {
	page := mmap.PageSize()
	r := openRegion(t, newFile(t, pattern(1, int(4*page))), os.O_RDWR, nil)
	old := r.Bytes()
	growAnew(t, r)
	if err := r.Release(page, page); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at    int64
		there bool
	}{{page - 1, true}, {page, false}, {2*page - 1, false}, {2 * page, true}, {4*page - 1, true}} {
		err := r.View(0, 1, func([]byte) error { keep(uint64(old[c.at])); return nil })
		if (err == nil) != c.there {
			t.Errorf("byte %d of the slice: %v", c.at, err)
		}
	}
}

// TestLockFlags locks and unlocks pages and looks at their maps.
func TestLockFlags(t *testing.T) {
	page := mmap.PageSize()
	r := ctlAnonymous(t, 5*page, nil)
	locked := func() (pages []int64) {
		for i := range int64(5) {
			if slices.Contains(ctlMapOf(t, r, i*page).flags, "lo") {
				pages = append(pages, i)
			}
		}
		return pages
	}
	for _, c := range []struct {
		do     func(off, n int64) error
		off, n int64
		want   []int64
	}{
		{r.Lock, page - 1, 2, []int64{0, 1}}, {r.Lock, 3*page + 1, 1, []int64{0, 1, 3}}, {r.Lock, 0, 0, []int64{0, 1, 3}},
		{r.Unlock, page + 5, 1, []int64{0, 3}}, {r.Lock, page, mmap.ToEnd, []int64{0, 1, 2, 3, 4}},
		{r.Unlock, 2*page - 1, 2, []int64{0, 3, 4}}, {r.Unlock, 0, mmap.ToEnd, nil},
	} {
		if err := c.do(c.off, c.n); err != nil {
			t.Skip("this process may not lock: ", err)
		}
		if got := locked(); !slices.Equal(got, c.want) {
			t.Errorf("after locking or unlocking %d bytes at %d pages %v are locked, want %v", c.n, c.off, got, c.want)
		}
	}
	if in := ctlResident(t, r, 0, mmap.ToEnd); slices.Contains(in, false) {
		t.Errorf("locking brought in %v", in)
	}
}

// TestLockToEnd checks that a lock to the end is one of what is there: it does
// not follow growth, as that of Options does.
func TestLockToEnd(t *testing.T) {
	page := mmap.PageSize()
	for _, follows := range []bool{false, true} {
		for _, to := range []int64{10 * page, 3 << 20} {
			r := openMapped(t, newFile(t, pattern(0, int(2*page))), os.O_RDWR, &mmap.Options{Lock: follows})
			if err := r.Lock(0, mmap.ToEnd); err != nil {
				t.Skip("this process may not lock: ", err)
			}
			if err := r.Truncate(to); err != nil {
				t.Fatal(err)
			}
			for off, want := range map[int64]bool{0: true, page: true, to - page: follows} {
				if m := ctlMapOf(t, r, off); slices.Contains(m.flags, "lo") != want {
					t.Errorf("Options.Lock %v, grown to %d: at %d the flags are %v", follows, to, off, m.flags)
				}
			}
		}
	}
}

// TestLockLimit locks more than a lowered limit allows, without the privilege
// to do so.
func TestLockLimit(t *testing.T) {
	if cmd := child(t); cmd != nil {
		succeed(t, cmd)
		return
	}
	page := mmap.PageSize()
	const memlock = 8 // RLIMIT_MEMLOCK
	limit := syscall.Rlimit{Cur: uint64(4 * page), Max: uint64(4 * page)}
	if err := syscall.Setrlimit(memlock, &limit); err != nil {
		t.Skip("cannot lower the limit: ", err)
	}
	ctlNobody(t)
	r := ctlAnonymous(t, 8*page, nil)
	if err := r.Lock(0, 4*page); err != nil {
		t.Fatal("up to the limit: ", err)
	}
	err := r.Lock(4*page, 1)
	if !errors.Is(err, syscall.ENOMEM) || !strings.Contains(err.Error(), fmt.Sprintf("RLIMIT_MEMLOCK is %d bytes", limit.Cur)) {
		t.Errorf("past the limit: %v", err)
	}
	if m := ctlMapOf(t, r, 4*page); slices.Contains(m.flags, "lo") {
		t.Error("what could not be locked is marked as locked")
	}
	if err := errors.Join(r.Unlock(0, page), r.Lock(7*page, 1)); err != nil {
		t.Error("one page for another: ", err)
	}
	if _, err := mmap.Anonymous(8*page, &mmap.Options{Lock: true}); err == nil || !strings.Contains(err.Error(), "Lock") {
		t.Errorf("Options.Lock past the limit: %v", err)
	}
}

// TestLockFailed locks pages that are not there: the file was cut, or they are
// protected. The kernel marks them all the same; none may stay marked, or the
// maps would grow by two with every failure.
func TestLockFailed(t *testing.T) {
	page := mmap.PageSize()
	name := newFile(t, pattern(0, int(64*page)))
	cut := openMapped(t, name, os.O_RDWR, nil)
	cutFile(t, name, 0)
	none := ctlAnonymous(t, 64*page, nil)
	if err := none.Protect(0, mmap.ToEnd, mmap.ProtNone); err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]*mmap.Region{"a cut file": cut, "memory without access": none} {
		before := ctlCount(t, r)
		for i := int64(0); i < 64; i += 2 {
			if err := r.Lock(i*page, page); err == nil {
				t.Fatalf("%s: locking worked", what)
			}
		}
		if after := ctlCount(t, r); after != before {
			t.Errorf("%s: %d maps, before locking that failed: %d", what, after, before)
		}
	}
}

// TestReleaseMaps checks that released memory is no longer the file's.
func TestReleaseMaps(t *testing.T) {
	page := mmap.PageSize()
	r := openMapped(t, newFile(t, pattern(0, int(5*page))), os.O_RDONLY, nil)
	if err := r.Release(page-1, 2*page+1); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"r--s", "---p", "---p", "r--s", "r--s"} {
		if m := ctlMapOf(t, r, int64(i)*page); m.perms != want {
			t.Errorf("page %d: %s, want %s", i, m.perms, want)
		}
	}
}
