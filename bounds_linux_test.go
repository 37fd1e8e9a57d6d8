package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"unsafe"

	"golang.org/x/sys/unix"

	"os"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// TestTruncateToKnownSize: a Truncate to the size that the Region knows makes a
// file longer that somebody cut, and what was stored past its end is zero then.
func TestTruncateToKnownSize(t *testing.T) {
	r, f := inMemory(t, 100)
	b := r.Bytes()
	if err := r.Truncate(50); err != nil { // the Region learns what its file keeps
		t.Fatal(err)
	}
	if err := f.Truncate(40); err != nil {
		t.Fatal(err)
	}
	copy(b[40:60], bytes.Repeat([]byte{9}, 20))
	if err := r.Truncate(50); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 10)
	if n, err := f.ReadAt(got, 40); n != 10 || !bytes.Equal(got, make([]byte, 10)) {
		t.Errorf("%d, %v: old bytes are back: %v", n, err, got)
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

// TestViewPastRoom: what grew beyond a mapping that cannot be made anew has no
// bytes to show, from the first byte on that the mapping has no room for.
func TestViewPastRoom(t *testing.T) {
	if cmd := child(t); cmd != nil {
		succeed(t, cmd)
		return
	}
	name := newFile(t, pattern(1, 5000))
	r := openMapped(t, name, os.O_RDWR, nil)
	_, n, hold := mmap.Memory(r)
	if err := setAddressLimit(&syscall.Rlimit{Cur: addressesUsed(t) + 512<<20}); err != nil {
		t.Skip("RLIMIT_AS cannot be set: ", err)
	}
	cutFile(t, name, 1<<30)
	room := int64(n)
	if _, err := r.ReadAt(make([]byte, 1), 1<<30-1); err != nil { // learns the size
		t.Fatal(err)
	}
	for _, c := range []struct {
		off, n int64
		there  bool
	}{{0, room, true}, {room - 1, 1, true}, {room - 1, 2, false}, {room, 1, false}, {1<<30 - 1, 1, false}, {0, room + 1, false}} {
		err := r.View(c.off, c.n, func(b []byte) error { keep(uint64(b[len(b)-1])); return nil })
		if (err == nil) != c.there {
			t.Errorf("View(%d, %d): %v", c.off, c.n, err)
		}
	}
	runtime.KeepAlive(hold)
}

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

// TestSealOneByte: a single writable byte that was handed out is in the way of
// SealWrite.
func TestSealOneByte(t *testing.T) {
	r := ctlAnonymous(t, 1, &mmap.Options{Share: true})
	if len(r.Bytes()) != 1 {
		t.Fatal("no bytes")
	}
	if err := r.Seal(mmap.SealWrite); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("SealWrite: %v", err)
	}
}

// TestFaultBeside: a fault at the first byte behind a Region, or the last before
// it, is not the Region's: View passes it on.
func TestFaultBeside(t *testing.T) {
	page := int(mmap.PageSize())
	room, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	base := unsafe.Pointer(unsafe.SliceData(room))
	if _, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(base)+uintptr(page), uintptr(page), 0); errno != 0 {
		t.Fatal(errno)
	}
	r := ctlAnonymous(t, int64(page), &mmap.Options{Addr: uintptr(base) + uintptr(page)})
	if at, n, _ := mmap.Memory(r); at != uintptr(base)+uintptr(page) || n != page {
		t.Skip("the system placed it elsewhere")
	}
	for _, at := range []int{page - 1, 2 * page} {
		v := panicOf(func() {
			err := r.View(0, 1, func([]byte) error { keep(uint64(*(*byte)(unsafe.Add(base, at)))); return nil })
			t.Errorf("a fault at byte %d of the Region: View returned %v", at-page, err)
		})
		if _, ok := v.(runtime.Error); !ok {
			t.Errorf("a fault at byte %d of the Region: panic of %v", at-page, v)
		}
	}
	for _, part := range []int{0, 2} {
		if _, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(base)+uintptr(part*page), uintptr(page), 0); errno != 0 {
			t.Error(errno)
		}
	}
}

// TestFlushPastRoom: Flush writes what lies beyond a mapping that cannot be made
// anew, too.
func TestFlushPastRoom(t *testing.T) {
	if cmd := child(t); cmd != nil {
		succeed(t, cmd)
		return
	}
	const far = 1 << 30
	name := newFile(t, pattern(1, 5000))
	r := openMapped(t, name, os.O_RDWR, nil)
	if err := setAddressLimit(&syscall.Rlimit{Cur: addressesUsed(t) + 512<<20}); err != nil {
		t.Skip("RLIMIT_AS cannot be set: ", err)
	}
	for range 3 {
		if _, err := r.WriteAt(pattern(1, 5000), far); err != nil {
			t.Fatal(err)
		}
		if before, err := r.CacheStat(far, 5000); err != nil || before.Dirty == 0 {
			t.Skipf("not told what is dirty: %+v, %v", before, err)
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		if after, err := r.CacheStat(far, 5000); err != nil || after.Dirty > 0 {
			t.Errorf("after Flush: %+v, %v", after, err)
		}
	}
}

// TestTruncateRefused: after a Truncate that the system refused, Flush still
// misses what was stored, or could have been, if somebody cuts the file.
func TestTruncateRefused(t *testing.T) {
	if os.Getenv("MMAP_TEST_EMULATED") != "" {
		t.Skip("emulators pass the flags of a file on in another width")
	}
	for what, use := range map[string]func(r *mmap.Region){
		"stored":     func(r *mmap.Region) { storeHot(t, r, make([]byte, 10), 4000) },
		"handed out": func(r *mmap.Region) { keep(uint64(len(r.Bytes()))) },
	} {
		name := newFile(t, pattern(1, 5000))
		r := openMapped(t, name, os.O_RDWR, nil)
		use(r)
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err == nil {
			const appendOnly = 0x20 // FS_APPEND_FL
			err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|appendOnly)
		}
		if err != nil {
			t.Skip("a file cannot be made one for appending: ", err)
		}
		refused := r.Truncate(100)
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(refused, syscall.EPERM) {
			t.Fatalf("%s: Truncate of such a file: %v", what, refused)
		}
		cutFile(t, name, 4000)
		if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: Flush: %v", what, err)
		}
	}
}

// TestBehindTail: when a file that was cut grows again, by a write behind its end
// or by Allocate, it shows zeros, whatever was stored behind the end.
func TestBehindTail(t *testing.T) {
	for _, off := range []int64{50, 51, 55, 90} {
		for what, grow := range map[string]func(r *mmap.Region) error{
			"WriteAt":  func(r *mmap.Region) error { _, err := r.WriteAt(make([]byte, 10), off); return err },
			"Allocate": func(r *mmap.Region) error { return r.Allocate(off, 10) },
		} {
			r, f := inMemory(t, 100)
			b := r.Bytes()
			if err := r.Truncate(50); err != nil {
				t.Fatal(err)
			}
			copy(b[50:], bytes.Repeat([]byte{9}, 50))
			if err := grow(r); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, off+10-50)
			if n, err := f.ReadAt(got, 50); n != len(got) || err != nil || !bytes.Equal(got, make([]byte, n)) {
				t.Errorf("%s at %d: %v, %v", what, off, got[:n], err)
			}
		}
	}
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
