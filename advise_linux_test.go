package mmap_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// ctlMap is what the kernel tells about one map of this process.
type ctlMap struct {
	lo, hi uintptr
	perms  string
	flags  []string       // VmFlags
	kb     map[string]int // the counts, in KiB
}

// ctlMaps returns the maps that lie in the n bytes from addr on.
func ctlMaps(t testing.TB, addr uintptr, n int) (maps []ctlMap) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("no smaps: ", err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if !strings.HasSuffix(f[0], ":") {
			m := ctlMap{perms: f[1], kb: map[string]int{}}
			if _, err := fmt.Sscanf(f[0], "%x-%x", &m.lo, &m.hi); err != nil {
				t.Fatal(err)
			}
			maps = append(maps, m)
			continue
		}
		m := &maps[len(maps)-1]
		if f[0] == "VmFlags:" {
			m.flags = f[1:]
		} else if kb, err := strconv.Atoi(f[1]); err == nil {
			m.kb[strings.TrimSuffix(f[0], ":")] = kb
		}
	}
	return slices.DeleteFunc(maps, func(m ctlMap) bool { return m.hi <= addr || m.lo >= addr+uintptr(n) })
}

// ctlMapOf returns the map that holds byte off of the Region's memory.
func ctlMapOf(t testing.TB, r *mmap.Region, off int64) ctlMap {
	t.Helper()
	addr, n, hold := mmap.Memory(r)
	if off >= int64(n) {
		t.Fatalf("byte %d is not mapped", off)
	}
	maps := ctlMaps(t, addr+uintptr(off), 1)
	runtime.KeepAlive(hold)
	if len(maps) != 1 {
		t.Fatalf("%d maps at byte %d", len(maps), off)
	}
	return maps[0]
}

// ctlCount counts the maps of the Region's memory.
func ctlCount(t testing.TB, r *mmap.Region) int {
	t.Helper()
	addr, n, hold := mmap.Memory(r)
	maps := ctlMaps(t, addr, n)
	runtime.KeepAlive(hold)
	return len(maps)
}

// ctlTmpfs reports whether a file lies on tmpfs, where nothing is dirty and
// nothing is evicted to a file.
func ctlTmpfs(t testing.TB, name string) bool {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Type == 0x01021994
}

// ctlAdvise advises and skips the test where this kernel was built without.
func ctlAdvise(t *testing.T, r *mmap.Region, off, n int64, a mmap.Advice) {
	t.Helper()
	if err := r.Advise(off, n, a); errors.Is(err, syscall.EINVAL) {
		t.Skipf("this kernel has no %v: %v", a, err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// TestAdviceFlags sets and unsets the advice that lasts, on pages in the
// middle of five, and looks at the flags of the maps: set there, and there
// alone.
func TestAdviceFlags(t *testing.T) {
	page := mmap.PageSize()
	for _, c := range []struct {
		set, unset mmap.Advice
		flag       string
	}{
		{mmap.AdviceSequential, mmap.AdviceNormal, "sr"}, {mmap.AdviceRandom, mmap.AdviceNormal, "rr"},
		{mmap.AdviceHugePage, mmap.AdviceNoHugePage, "hg"}, {mmap.AdviceNoHugePage, mmap.AdviceHugePage, "nh"},
		{mmap.AdviceDontFork, mmap.AdviceDoFork, "dc"}, {mmap.AdviceDontDump, mmap.AdviceDoDump, "dd"}, {mmap.AdviceMergeable, mmap.AdviceUnmergeable, "mg"},
	} {
		t.Run(c.set.String(), func(t *testing.T) {
			r := ctlAnonymous(t, 5*page, nil)
			ctlAdvise(t, r, page+7, 2*page, c.set) // widens to pages 1, 2 and 3
			for i := range int64(5) {
				got := slices.Contains(ctlMapOf(t, r, i*page).flags, c.flag)
				if want := i > 0 && i < 4; got != want {
					t.Errorf("page %d has %q: %v, want %v", i, c.flag, got, want)
				}
			}
			ctlAdvise(t, r, 0, mmap.ToEnd, c.unset)
			if m := ctlMapOf(t, r, 2*page); slices.Contains(m.flags, c.flag) {
				t.Errorf("after %v: flags %v", c.unset, m.flags)
			}
		})
	}
}

// TestAdviceReplaces checks that Sequential, Random and Normal exclude one
// another.
func TestAdviceReplaces(t *testing.T) {
	r := ctlAnonymous(t, mmap.PageSize(), nil)
	for _, c := range []struct {
		a    mmap.Advice
		want string
	}{{mmap.AdviceSequential, "sr"}, {mmap.AdviceRandom, "rr"}, {mmap.AdviceSequential, "sr"}, {mmap.AdviceNormal, ""}} {
		ctlAdvise(t, r, 0, mmap.ToEnd, c.a)
		flags := ctlMapOf(t, r, 0).flags
		for _, f := range []string{"sr", "rr"} {
			if slices.Contains(flags, f) != (f == c.want) {
				t.Errorf("after %v the flags are %v", c.a, flags)
			}
		}
	}
}

// TestToEndGrows checks that advice and protection to the end reach what the
// file grows by: inside the addresses reserved for growth, beyond them, and
// from the end itself.
func TestToEndGrows(t *testing.T) {
	page := mmap.PageSize()
	for _, from := range []int64{0, page, 2 * page} {
		for _, to := range []int64{10 * page, 16 << 20} {
			r := openMapped(t, newFile(t, pattern(0, int(2*page))), os.O_RDWR, nil)
			if err := errors.Join(r.Advise(from, mmap.ToEnd, mmap.AdviceRandom), r.Protect(from, mmap.ToEnd, mmap.ProtRead)); err != nil {
				t.Fatal(err)
			}
			if maps := ctlCount(t, r); maps > 2 {
				t.Errorf("from %d on: %d maps, one cut", from, maps)
			}
			if err := r.Truncate(to); err != nil {
				t.Fatal(err)
			}
			if m := ctlMapOf(t, r, to-page); !slices.Contains(m.flags, "rr") || m.perms != "r--s" {
				t.Errorf("from %d on, grown to %d: %s %v", from, to, m.perms, m.flags)
			}
		}
	}
}

// TestToEndReadOnly does the same with a file that somebody else makes longer,
// and that has no addresses reserved for it.
func TestToEndReadOnly(t *testing.T) {
	page := mmap.PageSize()
	for _, c := range []struct{ size, from int64 }{{2 * page, 0}, {2 * page, page}, {2 * page, 2 * page}, {0, 0}} {
		name := newFile(t, pattern(0, int(c.size)))
		r := openRegion(t, name, os.O_RDONLY, nil)
		if err := r.Protect(c.from, mmap.ToEnd, mmap.ProtNone); err != nil {
			t.Fatal(err)
		}
		cutFile(t, name, 10*page)
		for range 20 { // at first by the descriptor, then by memory
			if n, err := r.ReadAt(make([]byte, 10), 5*page); n != 0 || !errors.Is(err, syscall.EACCES) {
				t.Errorf("%d bytes, protected from %d on, then grown: ReadAt %d, %v", c.size, c.from, n, err)
				break
			}
		}
	}
}

// TestControlGrowth checks that what was made of ranges is so after growth
// that needs a new mapping, and that nothing else is.
func TestControlGrowth(t *testing.T) {
	page := mmap.PageSize()
	r := openMapped(t, newFile(t, pattern(0, int(8*page))), os.O_RDWR, nil)
	if err := errors.Join(r.Advise(0, page, mmap.AdviceRandom), r.Advise(page, page, mmap.AdviceDontFork), r.Lock(2*page, page),
		r.Advise(3*page, page, mmap.AdviceDontDump), r.Protect(4*page, page, mmap.ProtRead), r.Protect(5*page, page, mmap.ProtNone),
		r.Release(6*page, page)); err != nil {
		t.Fatal(err)
	}
	before, _, _ := mmap.Memory(r)
	if err := r.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	if after, _, _ := mmap.Memory(r); after == before {
		t.Fatal("growth needed no new mapping")
	}
	for i, flag := range []string{"rr", "dc", "lo", "dd", "", "", "", ""} {
		m := ctlMapOf(t, r, int64(i)*page)
		for _, f := range []string{"rr", "dc", "lo", "dd"} {
			if slices.Contains(m.flags, f) != (f == flag) {
				t.Errorf("page %d after growth: flags %v, want %q", i, m.flags, flag)
			}
		}
		if want := []string{"rw-s", "rw-s", "rw-s", "rw-s", "r--s", "---s", "---p", "rw-s"}[i]; m.perms != want {
			t.Errorf("page %d after growth: %s, want %s", i, m.perms, want)
		}
	}
}

// TestOptionsGrowth checks that Options say how a Region begins, and no more:
// what was undone for a range stays undone when the file grows.
func TestOptionsGrowth(t *testing.T) {
	page := mmap.PageSize()
	for _, to := range []int64{10 * page, 4 << 20} {
		r := openMapped(t, newFile(t, pattern(0, int(8*page))), os.O_RDWR, &mmap.Options{Lock: true, HugePages: true})
		if err := r.Unlock(page, page); err != nil {
			t.Fatal(err)
		}
		ctlAdvise(t, r, page, page, mmap.AdviceNoHugePage)
		if err := r.Truncate(to); err != nil {
			t.Fatal(err)
		}
		if m := ctlMapOf(t, r, page); slices.Contains(m.flags, "lo") || !slices.Contains(m.flags, "nh") {
			t.Errorf("unlocked, without huge pages, grown to %d: %v", to, m.flags)
		}
		if m := ctlMapOf(t, r, 3*page); !slices.Contains(m.flags, "lo") || !slices.Contains(m.flags, "hg") {
			t.Errorf("as opened, grown to %d: %v", to, m.flags)
		}
	}
}

// TestReleasedGrowth checks that a pinned Region with a released page is mapped
// anew when it outgrows its addresses.
func TestReleasedGrowth(t *testing.T) {
	page := mmap.PageSize()
	r := openMapped(t, newFile(t, pattern(0, int(8*page))), os.O_RDWR, &mmap.Options{Lock: true})
	if err := r.Release(page, page); err != nil {
		t.Fatal(err)
	}
	if err := r.Truncate(3 << 20); err != nil {
		t.Fatal(err)
	}
	if err := r.View(2<<20, page, func([]byte) error { return nil }); err != nil {
		t.Error("the bytes by which it grew: ", err)
	}
}

// ctlEvict writes a file out and evicts its pages, or skips the test.
func ctlEvict(t *testing.T, r *mmap.Region) {
	t.Helper()
	if ctlTmpfs(t, r.Name()) {
		t.Skip("pages of tmpfs are not evicted to a file")
	}
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	for range 100 { // a page just written may be busy for a moment
		ctlAdvise(t, r, 0, mmap.ToEnd, mmap.AdvicePageOut)
		if in := ctlResident(t, r, 0, mmap.ToEnd); !slices.Contains(in, true) {
			return
		}
		// Only mapped pages are evicted.
		ctlAdvise(t, r, 0, mmap.ToEnd, mmap.AdvicePopulateRead)
	}
	t.Skip("this system does not evict these pages")
}

// ctlResident is Resident without an error.
func ctlResident(t testing.TB, r *mmap.Region, off, n int64) []bool {
	t.Helper()
	in, err := r.Resident(off, n)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestResident looks at anonymous pages of which two were touched, with ranges
// that begin and end inside a page.
func TestResident(t *testing.T) {
	page := mmap.PageSize()
	r := ctlAnonymous(t, 4*page+10, nil)
	for _, off := range []int64{5, 3*page + 1} {
		if _, err := r.WriteAt([]byte{1}, off); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		off, n int64
		want   []bool
	}{
		{0, mmap.ToEnd, []bool{true, false, false, true, false}}, {0, 1, []bool{true}}, {page - 1, 2, []bool{true, false}},
		{3 * page, page, []bool{true}}, {3*page + 7, mmap.ToEnd, []bool{true, false}}, {4 * page, 10, []bool{false}},
		{0, 0, nil}, {4*page + 10, mmap.ToEnd, nil},
	} {
		if in := ctlResident(t, r, c.off, c.n); !slices.Equal(in, c.want) {
			t.Errorf("%d bytes at %d: %v, want %v", c.n, c.off, in, c.want)
		}
	}
}

// TestEvictAndRead evicts a file's pages and brings them back: with WillNeed
// and Prefetch, which wait for nothing, and with PopulateRead, which does.
func TestEvictAndRead(t *testing.T) {
	page := mmap.PageSize()
	data := pattern(0, int(64*page))
	r := openMapped(t, newFile(t, data), os.O_RDWR, nil)
	ctlAdvise(t, r, 0, mmap.ToEnd, mmap.AdviceRandom) // nothing comes by itself
	for name, bring := range map[string]func() error{
		"PopulateRead": func() error { return r.Advise(8*page, 4*page, mmap.AdvicePopulateRead) },
		"WillNeed":     func() error { return r.Advise(8*page, 4*page, mmap.AdviceWillNeed) },
		"Prefetch": func() error {
			return r.Prefetch(mmap.Span{Off: 10*page + 5, Len: 2*page - 5}, mmap.Span{Off: 8 * page, Len: 3 * page}, mmap.Span{})
		},
	} {
		ctlEvict(t, r)
		if err := bring(); err != nil {
			t.Fatal(err)
		}
		in := ctlResident(t, r, 8*page, 4*page)
		for tries := 0; name != "PopulateRead" && slices.Contains(in, false) && tries < 1e6; tries++ {
			runtime.Gosched()
			in = ctlResident(t, r, 8*page, 4*page)
		}
		if slices.Contains(in, false) {
			t.Errorf("%s did not bring the pages in: %v", name, in)
		}
	}
	ctlSame(t, "after all that", ctlRead(t, r, make([]byte, len(data)), 0), data)
}

// TestPrefetchNothing checks that one wrong span keeps all from being started.
func TestPrefetchNothing(t *testing.T) {
	page := mmap.PageSize()
	r := openMapped(t, newFile(t, pattern(0, int(16*page))), os.O_RDWR, nil)
	ctlAdvise(t, r, 0, mmap.ToEnd, mmap.AdviceRandom)
	ctlEvict(t, r)
	for _, bad := range []mmap.Span{{Off: -1, Len: 1}, {Off: math.MaxInt64, Len: 1}, {Off: 0, Len: -2}} {
		if err := r.Prefetch(mmap.Span{Len: mmap.ToEnd}, bad); err == nil {
			t.Errorf("Prefetch of %v worked", bad)
		}
	}
	if in := ctlResident(t, r, 0, mmap.ToEnd); slices.Contains(in, true) {
		t.Errorf("reading was started all the same: %v", in)
	}
}

// TestPopulate looks at what is in the process's own table of pages.
func TestPopulate(t *testing.T) {
	page := mmap.PageSize()
	kb := int(page >> 10)
	r := openMapped(t, newFile(t, make([]byte, 8*page)), os.O_RDWR, nil)
	for _, a := range []mmap.Advice{mmap.AdvicePopulateRead, mmap.AdvicePopulateWrite, mmap.AdviceDontNeed} {
		ctlAdvise(t, r, 0, mmap.ToEnd, a)
		m := ctlMapOf(t, r, 0)
		rss := map[mmap.Advice]int{mmap.AdvicePopulateRead: 8 * kb, mmap.AdvicePopulateWrite: 8 * kb}[a]
		if m.kb["Rss"] != rss || a == mmap.AdvicePopulateWrite && m.kb["Private_Dirty"]+m.kb["Shared_Dirty"] != rss {
			t.Errorf("after %v: %v", a, m.kb)
		}
	}
	if in := ctlResident(t, r, 0, mmap.ToEnd); slices.Contains(in, false) {
		t.Error("DontNeed took pages out of the cache")
	}
}

// TestFree checks that anonymous pages wait to be taken, all but those that lie
// partly outside the range.
func TestFree(t *testing.T) {
	page := mmap.PageSize()
	r := ctlAnonymous(t, 8*page, nil)
	ctlAdvise(t, r, 0, mmap.ToEnd, mmap.AdviceNoHugePage)
	if _, err := r.WriteAt(pattern(0, int(8*page)), 0); err != nil {
		t.Fatal(err)
	}
	before := ctlMapOf(t, r, 0) // the kernel may have made it one with a neighbour
	ctlAdvise(t, r, page-1, 3*page, mmap.AdviceFree)
	if after := ctlMapOf(t, r, 0); before.kb["Private_Dirty"]-after.kb["Private_Dirty"] != int(2*page>>10) {
		t.Errorf("%v before, %v after: all but two pages must be kept", before.kb, after.kb)
	}
}

// onOneProcessor keeps the test on one processor. Fresh pages wait in a list of
// their processor's before advice can be for them, and the advice empties only
// the list of its own.
func onOneProcessor(t *testing.T) {
	t.Helper()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Skip("no say in which processor it is: ", err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	runtime.LockOSThread() // and it ends with the test
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Skip("no say in which processor it is: ", err)
	}
}

// TestCold checks that pages count as not used lately.
func TestCold(t *testing.T) {
	onOneProcessor(t)
	page := mmap.PageSize()
	r := ctlAnonymous(t, 8*page, nil)
	ctlAdvise(t, r, 0, mmap.ToEnd, mmap.AdviceNoHugePage)
	if _, err := r.WriteAt(pattern(0, int(8*page)), 0); err != nil {
		t.Fatal(err)
	}
	before := ctlMapOf(t, r, 0).kb["Referenced"]
	ctlAdvise(t, r, 0, 3*page, mmap.AdviceCold)
	if after := ctlMapOf(t, r, 0).kb["Referenced"]; before-after != int(3*page>>10) {
		t.Errorf("of %d KiB in use %d are left, want three pages fewer", before, after)
	}
	ctlSame(t, "cold", ctlRead(t, r, make([]byte, 8*page), 0), pattern(0, int(8*page)))
}

// TestCollapse makes a huge page of small ones.
func TestCollapse(t *testing.T) {
	r := ctlAnonymous(t, 8<<20, nil)
	ctlAdvise(t, r, 0, mmap.ToEnd, mmap.AdviceNoHugePage)
	if _, err := r.WriteAt(pattern(0, 8<<20), 0); err != nil {
		t.Fatal(err)
	}
	if m := ctlMapOf(t, r, 0); m.kb["AnonHugePages"] != 0 {
		t.Fatalf("huge pages before: %v", m.kb)
	}
	ctlAdvise(t, r, 0, mmap.ToEnd, mmap.AdviceHugePage)
	if err := r.Advise(0, mmap.ToEnd, mmap.AdviceCollapse); err != nil {
		t.Skip("this system has no huge page now: ", err)
	}
	if m := ctlMapOf(t, r, 0); m.kb["AnonHugePages"] == 0 {
		t.Errorf("no huge pages after Collapse: %v", m.kb)
	}
	ctlSame(t, "collapsed", ctlRead(t, r, make([]byte, 8<<20), 0), pattern(0, 8<<20))
}

// TestCacheStat writes a file, writes it out and evicts it, and watches the
// counts of a range; pages of a large folio are counted with it.
func TestCacheStat(t *testing.T) {
	page := mmap.PageSize()
	r := openRegion(t, newFile(t, nil), os.O_RDWR, &mmap.Options{Length: 16 * page})
	if _, err := r.WriteAt(pattern(0, int(16*page)), 0); err != nil {
		t.Fatal(err)
	}
	stat := func(off, n int64) mmap.CacheStat {
		t.Helper()
		c, err := r.CacheStat(off, n)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("this kernel does not count: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := stat(0, mmap.ToEnd); c.Cached != 16 || c.Dirty+c.Writeback == 0 && !ctlTmpfs(t, r.Name()) {
		t.Errorf("after writing: %+v", c)
	}
	if c := stat(page+1, page); c.Cached < 2 {
		t.Errorf("two pages in part: %+v", c)
	}
	if c := stat(0, 0); c != (mmap.CacheStat{}) {
		t.Errorf("of nothing: %+v", c)
	}
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	if c := stat(0, mmap.ToEnd); c.Dirty != 0 || c.Writeback != 0 {
		t.Errorf("after Sync: %+v", c)
	}
	ctlEvict(t, r)
	if c := stat(0, mmap.ToEnd); c.Cached != 0 {
		t.Errorf("after eviction: %+v", c)
	}
}

// TestCacheStatWindow checks that a window asks about its own part of the file.
func TestCacheStatWindow(t *testing.T) {
	page := mmap.PageSize()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	cutFile(t, name, 1<<30) // a hole, of which nothing is cached
	hole := openRegion(t, name, os.O_RDWR, &mmap.Options{Offset: 512 << 20, Length: page})
	head := openRegion(t, name, os.O_RDWR, &mmap.Options{Length: page})
	if _, err := head.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	in, err := head.CacheStat(0, mmap.ToEnd)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	out, err2 := hole.CacheStat(0, mmap.ToEnd)
	if err != nil || err2 != nil || in.Cached == 0 || out.Cached != 0 {
		t.Errorf("written: %+v, %v; never touched: %+v, %v", in, err, out, err2)
	}
}

// ctlNobody makes this process, a child for this test alone, one of user
// nobody if it was root's: Close gives all of its privileges up.
func ctlNobody(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		t.Skip("cannot become nobody: ", err)
	}
}

// TestResidentStranger asks about a file of somebody else's that may only be
// read: mincore and cachestat then call all pages resident, or refuse. The
// Region says that it is not told.
func TestResidentStranger(t *testing.T) {
	const env = "MMAP_TEST_STRANGER"
	if cmd := child(t, env+"="+ctlStrangers(t)); cmd != nil {
		succeed(t, cmd)
		return
	}
	ctlNobody(t)
	name := os.Getenv(env)
	r := openMapped(t, name, os.O_RDONLY, nil)
	if in, err := r.Resident(0, mmap.ToEnd); !errors.Is(err, syscall.EPERM) || in != nil {
		t.Errorf("Resident: %v, %v; want EPERM", in, err)
	}
	if c, err := r.CacheStat(0, mmap.ToEnd); !errors.Is(err, syscall.EPERM) && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CacheStat: %+v, %v; want EPERM", c, err)
	}
	own := ctlAnonymous(t, mmap.PageSize(), nil)
	if _, err := own.Resident(0, mmap.ToEnd); err != nil {
		t.Errorf("Resident of its own memory: %v", err)
	}
}

// ctlStrangers returns a file that its reader does not own: one of the system's,
// which all may read wherever TMPDIR is. Root reads as nobody.
func ctlStrangers(t *testing.T) string {
	t.Helper()
	const name = "/etc/passwd"
	info, err := os.Stat(name)
	if err != nil || os.Getuid() != 0 && info.Sys().(*syscall.Stat_t).Uid == uint32(os.Getuid()) {
		t.Skip("no file of somebody else's")
	}
	return name
}

// ctlMapsHeld is how many maps this process has.
func ctlMapsHeld() int { return len(mapLines()) }

// TestMapsBounded makes every other page of large Regions something else,
// until there is an error: before the process has more maps than the library
// allows itself. All else goes on working, and when the pages are alike again
// the allowance is back.
func TestMapsBounded(t *testing.T) {
	readWrite := mmap.ProtRead | mmap.ProtWrite
	for _, c := range []struct {
		name      string
		odd, even func(r *mmap.Region, off, n int64) error
	}{
		{"Advise", ctlAdvising(mmap.AdviceRandom), ctlAdvising(mmap.AdviceNormal)},
		{"Protect", ctlProtecting(mmap.ProtRead), ctlProtecting(readWrite)},
		{"Lock", (*mmap.Region).Lock, (*mmap.Region).Unlock},
	} {
		t.Run(c.name, func(t *testing.T) { ctlStripes(t, c.odd, c.even) })
	}
}

// ctlAdvising is Advise with its advice.
func ctlAdvising(a mmap.Advice) func(r *mmap.Region, off, n int64) error {
	return func(r *mmap.Region, off, n int64) error { return r.Advise(off, n, a) }
}

// ctlProtecting is Protect with its protection.
func ctlProtecting(p mmap.Prot) func(r *mmap.Region, off, n int64) error {
	return func(r *mmap.Region, off, n int64) error { return r.Protect(off, n, p) }
}

// ctlRegions are how many Regions share the allowance.
const ctlRegions = 16

// ctlStripes is TestMapsBounded for one call and the one that undoes it.
func ctlStripes(t *testing.T, odd, even func(r *mmap.Region, off, n int64) error) {
	t.Helper()
	if !settle(given) {
		t.Fatalf("ranges of other tests: %+v", mmap.ReadLedger())
	}
	page, bound := mmap.PageSize(), mmap.MapLimit()
	var all [ctlRegions]*mmap.Region
	for i := range all {
		file := newFile(t, nil)
		cutFile(t, file, int64(bound/ctlRegions+4)*page)
		all[i] = openRegion(t, file, os.O_RDWR, nil)
		ctlWindow(t, all[i])
	}
	free, held := ctlMapsHeld(), mmap.ReadLedger().Held
	refused, at, err := ctlStripe(all[:], odd)
	maps := ctlMapsHeld()
	if err == nil {
		t.Fatalf("no error, with %d maps more", maps-free)
	}
	// The runtime may have made a few maps of its own meanwhile.
	if now := mmap.ReadLedger().Held; now > bound || maps-free > now-held+20 || maps-free < now-held-20 {
		t.Errorf("%d maps more, the library counts %d more, %d in all: the bound is %d", maps-free, now-held, now, bound)
	}
	ctlStillWorks(t, refused, at)
	for _, r := range all {
		if err := even(r, 0, mmap.ToEnd); err != nil {
			t.Fatal("all alike: ", err)
		}
	}
	if maps, now := ctlMapsHeld(), mmap.ReadLedger().Held; maps-free > 20 || now > held {
		t.Errorf("when all are alike %d maps are left, and %d are counted", maps-free, now-held)
	}
	if err := odd(refused, at, page); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// ctlStripe calls odd for every other page until that fails, and returns where
// it did.
func ctlStripe(all []*mmap.Region, odd func(r *mmap.Region, off, n int64) error) (*mmap.Region, int64, error) {
	page := mmap.PageSize()
	for off := page; off+page < all[0].Size(); off += 2 * page {
		for _, r := range all {
			if err := odd(r, off, page); err != nil {
				return r, off, err
			}
		}
	}
	return nil, 0, nil
}

// ctlStillWorks reads and writes the page that was refused, and another file.
func ctlStillWorks(t *testing.T, r *mmap.Region, off int64) {
	t.Helper()
	if _, err := r.WriteAt([]byte("here"), off); err != nil {
		t.Error(err)
	}
	if got := ctlRead(t, r, make([]byte, 4), off); got != "here" {
		t.Errorf("%q was read", got)
	}
	other := openRegion(t, newFile(t, []byte("other")), os.O_RDWR, nil) // served by its descriptor
	if _, err := other.WriteAt([]byte("O"), 0); err != nil {
		t.Error(err)
	}
	if got := ctlRead(t, other, make([]byte, 5), 0); got != "Other" {
		t.Errorf("%q was read from another file", got)
	}
	other.Close()
}

// TestMapsCounted splits memory in the ways in which the kernel does not put it
// together again, or which the library might not count, and compares counts.
func TestMapsCounted(t *testing.T) {
	page := mmap.PageSize()
	const pages = 64
	dirty := func(r *mmap.Region) {
		for i := range int64(pages) {
			_, _ = r.WriteAt([]byte{1}, i*page)
		}
	}
	each := func(do func(off int64) error) (err error) {
		for i := int64(0); i < pages && err == nil; i += 2 {
			err = do(i * page)
		}
		return err
	}
	for name, c := range map[string]struct {
		opts mmap.Options
		do   func(r *mmap.Region) error
	}{
		"unlocking what Options.Lock locked": {mmap.Options{Lock: true}, func(r *mmap.Region) error {
			return each(func(off int64) error { return r.Unlock(off, page) })
		}},
		"private pages touched between advice": {mmap.Options{}, func(r *mmap.Region) error {
			err := each(func(off int64) error { return r.Advise(off, page, mmap.AdviceDontFork) })
			dirty(r)
			return errors.Join(err, r.Advise(0, mmap.ToEnd, mmap.AdviceDoFork))
		}},
		"private pages touched between protection": {mmap.Options{}, func(r *mmap.Region) error {
			err := each(func(off int64) error { return r.Protect(off, page, mmap.ProtNone) })
			dirty(r)
			err = errors.Join(err, r.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite))
			dirty(r)
			return err
		}},
	} {
		if !settle(given) {
			t.Fatalf("ranges of other tests: %+v", mmap.ReadLedger())
		}
		held := mmap.ReadLedger().Held
		r := ctlAnonymous(t, pages*page, &c.opts)
		if err := c.do(r); err != nil {
			t.Fatal(err)
		}
		maps, counted := ctlCount(t, r), mmap.ReadLedger().Held-held
		if maps > counted+1 {
			t.Errorf("%s: %d maps, and %d are counted", name, maps, counted)
		}
		r.Close()
	}
}
