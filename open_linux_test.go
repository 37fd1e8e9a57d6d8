package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
	"golang.org/x/sys/unix"
)

// prompt makes OpenFile map at once, which otherwise waits for a use.
const prompt = mmap.ProtRead | mmap.ProtWrite

// optionMap opens a file of 10 pages with opts and returns what the kernel
// tells about its map.
func optionMap(t *testing.T, opts mmap.Options) (*mmap.Region, map[string]string) {
	t.Helper()
	r := openRegion(t, newFile(t, pattern(1, 10*os.Getpagesize())), os.O_RDWR, &opts)
	addr, n, _ := mmap.Memory(r)
	if n == 0 {
		t.Fatal("it is not mapped")
	}
	return r, smaps(t, addr)
}

// flags reports whether the kernel names all of these flags of a map.
func flags(fields map[string]string, want ...string) bool {
	have := " " + fields["VmFlags"] + " "
	for _, w := range want {
		if !strings.Contains(have, " "+w+" ") {
			return false
		}
	}
	return true
}

// perms returns the protection of a map, as in rw-s.
func perms(fields map[string]string) string { return strings.Fields(fields["map"])[0] }

// TestOptionProt: the kernel has the protection that was asked for.
func TestOptionProt(t *testing.T) {
	for _, c := range []struct {
		opts mmap.Options
		want string
	}{
		{mmap.Options{Prot: mmap.ProtRead}, "r--s"},
		{mmap.Options{Prot: mmap.ProtRead | mmap.ProtWrite}, "rw-s"},
		{mmap.Options{Prot: mmap.ProtRead | mmap.ProtExec}, "r-xs"},
		{mmap.Options{Prot: mmap.ProtNone}, "---s"},
		{mmap.Options{Private: true}, "rw-p"},
		{mmap.Options{Private: true, Prot: mmap.ProtRead}, "r--p"},
		{mmap.Options{Populate: true}, "rw-s"},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, fields := optionMap(t, c.opts)
			if got := perms(fields); got != c.want {
				t.Errorf("%+v maps %s, not %s", c.opts, got, c.want)
			}
		})
	}
	r, err := mmap.OpenFile(newFile(t, pattern(1, 10)), os.O_RDONLY, 0, &mmap.Options{Private: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	addr, _, _ := mmap.Memory(r)
	if got := perms(smaps(t, addr)); got != "rw-p" {
		t.Errorf("private memory of a read-only file is %s", got)
	}
}

// TestOptionPlace: Offset and Length are the bytes that are shown, and Addr is
// where they lie.
func TestOptionPlace(t *testing.T) {
	page := os.Getpagesize()
	data := pattern(1, 10*page)
	name := newFile(t, data)
	free := freeAddress(t, 16*page)
	for _, c := range []struct{ off, n int }{{0, 0}, {0, 1}, {1, 0}, {page, page}, {3*page + 7, 2*page + 9}, {page - 1, 2}, {10*page - 1, 1}} {
		r := openRegion(t, name, os.O_RDWR, &mmap.Options{Offset: int64(c.off), Length: int64(c.n), Addr: free, Prot: prompt})
		want := data[c.off:]
		if c.n > 0 {
			want = want[:c.n]
		}
		if got := r.Bytes(); !bytes.Equal(got, want) || cap(got) != len(want) {
			t.Errorf("%+v shows %d bytes, capacity %d; want %d", c, len(got), cap(got), len(want))
		}
		addr, _, _ := mmap.Memory(r)
		if addr != free {
			t.Errorf("%+v lies at %#x, not at %#x", c, addr, free)
		}
		fields := strings.Fields(smaps(t, addr)["map"])
		if at, err := strconv.ParseUint(fields[1], 16, 64); err != nil || at != uint64(c.off&^(page-1)) {
			t.Errorf("%+v is mapped from byte %s of the file on", c, fields[1])
		}
		free += 1 << 24
	}
}

// freeAddress returns an address at which nothing lies, nor for some way
// after it.
func freeAddress(t *testing.T, n int) uintptr {
	t.Helper()
	for _, addr := range []uint64{1 << 44, 1 << 43, 0x50000000, 0x60000000} {
		if uint64(uintptr(addr)) == addr && len(protections(t, uintptr(addr), n+1<<28)) == 0 {
			return uintptr(addr)
		}
	}
	t.Skip("no free address is known")
	return 0
}

// TestOptionPopulate: the pages are there before the first touch, and are not
// without it.
func TestOptionPopulate(t *testing.T) {
	for _, populate := range []bool{false, true} {
		_, fields := optionMap(t, mmap.Options{Populate: populate, Prot: prompt})
		rss, want := fields["Rss"], "0 kB"
		if populate {
			want = fmt.Sprintf("%d kB", 10*os.Getpagesize()/1024)
		}
		if rss != want {
			t.Errorf("Populate %v: %s of the file are in memory, not %s", populate, rss, want)
		}
	}
	r, err := mmap.Anonymous(64<<10, &mmap.Options{Populate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, err := r.Resident(0, mmap.ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	for i, there := range in {
		if !there {
			t.Errorf("page %d of anonymous memory is not there", i)
		}
	}
}

// TestOptionLock: the pages are pinned, those of growth too, or opening fails
// and names the option.
func TestOptionLock(t *testing.T) {
	page := int64(os.Getpagesize())
	name := newFile(t, pattern(1, 10*int(page)))
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Lock: true})
	if err != nil {
		t.Skip("no memory can be locked: ", err)
	}
	defer r.Close()
	addr, _, _ := mmap.Memory(r)
	if fields := smaps(t, addr); !flags(fields, "lo") || fields["Locked"] == "0 kB" {
		t.Errorf("the pages are not locked: %s, %s", fields["VmFlags"], fields["Locked"])
	}
	if _, err := r.WriteAt([]byte{1}, 15*page); err != nil {
		t.Fatal(err)
	}
	addr, _, _ = mmap.Memory(r)
	if !flags(smaps(t, addr+uintptr(15*page)), "lo") {
		t.Error("what the file grew by is not locked")
	}
}

// TestOptionLockRefused: a lock that cannot be had is an error that names the
// option. In a user namespace of its own, root too is held to the limit.
func TestOptionLockRefused(t *testing.T) {
	if cmd := child(t); cmd != nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
		inUserNamespace(cmd.SysProcAttr)
		succeed(t, cmd)
		return
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, new(unix.Rlimit)); err != nil {
		t.Skip("the limit cannot be set: ", err)
	}
	name := newFile(t, pattern(1, 10_000))
	before := countResources()
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Lock: true})
	refused(t, r, err, "open", name, err, "Lock")
	if !errors.Is(err, syscall.ENOMEM) && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("%v", err)
	}
	if lost := before.leaked(); lost != "" {
		t.Errorf("left over:\n%s", lost)
	}
}

// TestOptionLockGrows: a file whose pages are pinned grows past the limit; what
// is past it is not pinned.
func TestOptionLockGrows(t *testing.T) {
	if cmd := child(t); cmd != nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
		inUserNamespace(cmd.SysProcAttr)
		succeed(t, cmd)
		return
	}
	page := int(mmap.PageSize())
	limit := unix.Rlimit{Cur: uint64(2 * page), Max: uint64(2 * page)}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Skip("the limit cannot be set: ", err)
	}
	want := pattern(1, 16*page) // a mapping reaches that far past the end
	name := newFile(t, want[:2*page])
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Lock: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := r.WriteAt(want[2*page:], int64(2*page)); n != 14*page || err != nil {
		t.Fatalf("growing past the limit: %d, %v", n, err)
	}
	got := make([]byte, len(want))
	if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("other bytes were read (%v)", err)
	}
	addr, _, _ := mmap.Memory(r)
	if flags(smaps(t, addr+uintptr(15*page)), "lo") {
		t.Error("more is pinned than the limit allows")
	}
	if !flags(smaps(t, addr), "lo") && strconv.IntSize == 64 { // with fewer addresses it takes a new mapping
		t.Error("what was pinned is so no longer")
	}
}

// TestOptionHints: HugePages and NoReserve reach the kernel.
func TestOptionHints(t *testing.T) {
	r, err := mmap.Anonymous(4<<20, &mmap.Options{HugePages: true, NoReserve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	addr, _, _ := mmap.Memory(r)
	fields := smaps(t, addr)
	mode, _ := os.ReadFile("/proc/sys/vm/overcommit_memory")
	if !flags(fields, "nr") && !bytes.HasPrefix(mode, []byte("2")) { // then the kernel always reserves
		t.Errorf("NoReserve: the flags are %s", fields["VmFlags"])
	}
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this kernel has no transparent huge pages")
	}
	if !flags(fields, "hg") {
		t.Errorf("HugePages: the flags are %s", fields["VmFlags"])
	}
	plain, err := mmap.Anonymous(4<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	addr, _, _ = mmap.Memory(plain)
	if fields := smaps(t, addr); flags(fields, "hg") || flags(fields, "nr") || flags(fields, "lo") {
		t.Errorf("no options: the flags are %s", fields["VmFlags"])
	}
}

// TestOptionMapSync: an error that names the option, except on persistent
// memory.
func TestOptionMapSync(t *testing.T) {
	name := newFile(t, pattern(1, 10_000))
	before := countResources()
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{MapSync: true})
	if err == nil {
		defer r.Close()
		addr, _, _ := mmap.Memory(r)
		if !flags(smaps(t, addr), "sf") {
			t.Error("it opens, and the kernel knows nothing of MAP_SYNC")
		}
		return // persistent memory
	}
	refused(t, r, err, "open", name, errors.ErrUnsupported, "MapSync")
	if lost := before.leaked(); lost != "" {
		t.Errorf("left over:\n%s", lost)
	}
}

// TestMapLocks: a lock on the file is not the Region's, nor the other way
// round.
func TestMapLocks(t *testing.T) {
	f, err := os.OpenFile(newFile(t, pattern(1, 100)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Skip("no flock: ", err)
	}
	r, err := mmap.Map(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Control(func(fd uintptr) {
		if err := syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EWOULDBLOCK {
			t.Errorf("the Region holds the file's lock: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	other := openRegion(t, f.Name(), os.O_RDWR, nil)
	conn, err = other.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Control(func(fd uintptr) {
		if err := syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EWOULDBLOCK {
			t.Errorf("the Region's Close took the file's lock away: %v", err)
		}
	})
}

// TestMapNameless: files that no name leads to any more, or ever did.
func TestMapNameless(t *testing.T) {
	data := pattern(1, 20_000)
	deleted, err := os.OpenFile(newFile(t, data), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer deleted.Close()
	if err := os.Remove(deleted.Name()); err != nil {
		t.Fatal(err)
	}
	// Another file under the old name is not ours.
	if err := os.WriteFile(deleted.Name(), []byte("another"), 0o666); err != nil {
		t.Fatal(err)
	}
	memory, err := sys.NewMemFile("nameless", 20_000)
	if err != nil {
		t.Skip("no memfd: ", err)
	}
	defer memory.Close()
	if _, err := memory.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{deleted, memory} {
		r, err := mmap.Map(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.Bytes(), data) {
			t.Errorf("%s shows other bytes", f.Name())
		}
		if n, err := r.WriteAt([]byte("grown"), 30_000); n != 5 || err != nil {
			t.Errorf("%s: WriteAt = %d, %v", f.Name(), n, err)
		}
		if info, err := f.Stat(); err != nil || info.Size() != 30_005 {
			t.Errorf("%s: %v, %v", f.Name(), info, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// unmappable checks a Region that is served by its descriptor alone.
func unmappable(t *testing.T, r *mmap.Region) {
	t.Helper()
	if b := r.Bytes(); b != nil {
		t.Errorf("Bytes has %d bytes", len(b))
	}
	err := r.View(0, 1, func([]byte) error { t.Error("View has bytes"); return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "view "+r.Name()+": ") {
		t.Errorf("View: %v", err)
	}
}

// copied checks a Region that has no memory and cannot be written: View shows a
// copy, and nothing else has bytes.
func copied(t *testing.T, r *mmap.Region, want []byte) {
	t.Helper()
	if b := r.Bytes(); b != nil {
		t.Errorf("Bytes has %d bytes", len(b))
	}
	if err := r.Mapped(); !errors.Is(err, mmap.ErrNotMapped) {
		t.Errorf("Mapped: %v", err)
	}
	if _, err := mmap.Slice[byte](r, 0, 1); !errors.Is(err, mmap.ErrNotMapped) {
		t.Errorf("Slice: %v", err)
	}
	for _, c := range []struct{ off, n, end int64 }{
		{0, mmap.ToEnd, int64(len(want))}, {1, mmap.ToEnd, int64(len(want))}, {0, 1, 1}, {1, 2, 3}, {0, 0, 0},
	} {
		called := false
		err := r.View(c.off, c.n, func(b []byte) error {
			called = true
			if !bytes.Equal(b, want[c.off:max(c.end, c.off)]) || len(b) != cap(b) {
				t.Errorf("View(%d, %d) shows %q; want %q", c.off, c.n, b, want[c.off:max(c.end, c.off)])
			}
			return io.ErrNoProgress
		})
		if err != io.ErrNoProgress || !called {
			t.Errorf("View(%d, %d): %v", c.off, c.n, err)
		}
	}
	none := func([]byte) error { t.Error("View has bytes that are not there"); return nil }
	if err := r.View(0, int64(len(want))+1<<20, none); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("View past the end: %v", err)
	}
	if err := r.View(-1, 1, none); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("View before the beginning: %v", err)
	}
}

// TestKernelFiles: files of /proc and /sys, whose size says nothing, are read
// as os.File reads them.
func TestKernelFiles(t *testing.T) {
	for _, name := range []string{"/proc/version", "/proc/self/limits", "/proc/sys/kernel/ostype", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/devices/system/cpu/online"} {
		want, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r := openRegion(t, name, os.O_RDONLY, nil)
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
				t.Errorf("ReadAll = %q, %v; want %q", got, err, want)
			}
			p := make([]byte, len(want)+10)
			for range 20 {
				if n, err := r.ReadAt(p, 1); n != len(want)-1 || err != io.EOF || !bytes.Equal(p[:n], want[1:]) {
					t.Errorf("ReadAt = %d, %v; want %d", n, err, len(want)-1)
				}
			}
			copied(t, r, want)
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Error(err)
			}
			var b bytes.Buffer
			if n, err := r.WriteTo(&b); n != int64(len(want)) || err != nil || !bytes.Equal(b.Bytes(), want) {
				t.Errorf("WriteTo = %d, %v", n, err)
			}
		})
	}
	status := openRegion(t, "/proc/self/status", os.O_RDONLY, nil)
	if text, err := io.ReadAll(status); err != nil || !bytes.HasPrefix(text, []byte("Name:")) {
		t.Errorf("/proc/self/status: %q, %v", text, err)
	}
}

// TestDevices: /dev/null and /dev/zero behave as os.File has them.
func TestDevices(t *testing.T) {
	for _, name := range []string{"/dev/null", "/dev/zero"} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Skip(err)
		}
		defer f.Close()
		opened := openRegion(t, name, os.O_RDWR, nil)
		mapped, err := mmap.Map(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer mapped.Close()
		for _, r := range []*mmap.Region{opened, mapped} {
			p, q := []byte("12345"), []byte("12345")
			n, err := r.Read(p)
			wantN, wantErr := f.Read(q)
			if n != wantN || !sameError(err, wantErr) || !bytes.Equal(p, q) {
				t.Errorf("%s: Read = %d, %v, %q; os.File: %d, %v, %q", name, n, err, p, wantN, wantErr, q)
			}
			n, err = r.ReadAt(p, 7)
			wantN, wantErr = f.ReadAt(q, 7)
			if n != wantN || !sameError(err, wantErr) || !bytes.Equal(p, q) {
				t.Errorf("%s: ReadAt = %d, %v, %q; os.File: %d, %v, %q", name, n, err, p, wantN, wantErr, q)
			}
			if n, err := r.Write(p); n != 5 || err != nil {
				t.Errorf("%s: Write = %d, %v", name, n, err)
			}
			unmappable(t, r)
		}
	}
}

// TestPipes: both ends of a pipe through Map, and a FIFO by OpenFile.
func TestPipes(t *testing.T) {
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	r, err := mmap.Map(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := mmap.Map(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.WriteString("through"); n != 7 || err != nil {
		t.Errorf("WriteString = %d, %v", n, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	p := make([]byte, 100)
	if n, err := r.Read(p); err != nil || string(p[:n]) != "through" {
		t.Errorf("Read = %q, %v", p[:n], err)
	}
	_, err = r.Seek(0, io.SeekCurrent)
	_, wantErr := from.Seek(0, io.SeekCurrent)
	if !sameError(err, wantErr) {
		t.Errorf("Seek: %v; os.File: %v", err, wantErr)
	}
	_, err = r.ReadAt(p, 0)
	_, wantErr = from.ReadAt(p, 0)
	if !sameError(err, wantErr) {
		t.Errorf("ReadAt: %v; os.File: %v", err, wantErr)
	}
	unmappable(t, r)
	to.Close()
	if n, err := r.Read(p); n != 0 || err != io.EOF {
		t.Errorf("Read of a pipe without writers = %d, %v", n, err)
	}
	r.Close()

	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("no FIFO: ", err)
	}
	fifo := openRegion(t, name, os.O_RDWR, nil)
	if n, err := fifo.Write([]byte("round")); n != 5 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if n, err := fifo.Read(p); err != nil || string(p[:n]) != "round" {
		t.Errorf("Read = %q, %v", p[:n], err)
	}
	unmappable(t, fifo)
	// A Read that waits is ended by Close.
	parallel(
		func() {
			if _, err := fifo.Read(p); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Read beside Close: %v", err)
			}
		},
		func() { fifo.Close() },
	)
}

// TestGuaranteesOfStreams: options that promise memory are errors where there
// is none, and options that count bytes where there are no offsets.
func TestGuaranteesOfStreams(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip("no FIFO: ", err)
	}
	for what, opts := range map[string]mmap.Options{
		"Private":      {Private: true},
		"Prot":         {Prot: mmap.ProtRead},
		"Lock":         {Lock: true},
		"MapSync":      {MapSync: true},
		"AccessMemory": {Access: mmap.AccessMemory},
		"Length":       {Length: 1},
		"Offset":       {Offset: 1},
	} {
		for _, name := range []string{"/dev/zero", fifo, "/proc/version"} {
			flag, want := os.O_RDWR, mmap.ErrNotMapped
			switch {
			case name == "/proc/version":
				flag = os.O_RDONLY
				fallthrough
			case name == "/dev/zero":
				if what == "Length" || what == "Offset" {
					continue
				}
			case what == "Length" || what == "Offset":
				want = errors.ErrUnsupported
			}
			before := countResources()
			r, err := mmap.OpenFile(name, flag, 0, &opts)
			refused(t, r, err, "open", name, want, what+" with ")
			if f, err := os.OpenFile(name, flag, 0); err == nil {
				r, err = mmap.Map(f, &opts)
				refused(t, r, err, "map", name, want, what+" with ")
				f.Close()
			}
			if lost := before.leaked(); lost != "" {
				t.Errorf("%s leaves over:\n%s", what, lost)
			}
		}
	}
}

// TestReadGenerated: of a file that the kernel makes up as it is read, Read
// returns what one read(2) returns.
func TestReadGenerated(t *testing.T) {
	const name = "/proc/self/smaps"
	f, err := os.Open(name)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	r, err := mmap.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := make([]byte, 1<<20)
	want, err := f.Read(p)
	if all, _ := os.ReadFile(name); err != nil || want >= len(all)/2 {
		t.Skipf("one call reads all of it: %d, %v", want, err)
	}
	if n, err := r.Read(p); n > 2*want || err != nil {
		t.Errorf("Read = %d, %v; os reads %d", n, err, want)
	}
}
