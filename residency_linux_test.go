package mmap

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// TestWritableWhileDirty: a page counts as writable as long as it is dirty, and
// no longer when somebody had it written back.
func TestWritableWhileDirty(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, pageSize)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil { // no page is dirty but what the test writes
		t.Fatal(err)
	}
	r, err := OpenFile(f.Name(), os.O_RDWR, 0, nil)
	r, m := unwatched(t, r, err)
	for range 3 { // the first goes by the descriptor
		if _, err := r.WriteAt([]byte("hello"), 10); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := r.cachestat(m, 0, m.backed.Load()); err != nil || c.Dirty == 0 {
		t.Skip("nothing tells what is dirty: ", err)
	}
	if m.writeLimit.Load() == 0 {
		t.Fatal("the page is not known to be writable")
	}
	if r.age(m); m.writeLimit.Load() == 0 {
		t.Error("the page is dirty, and forgotten")
	}
	if _, err := r.WriteAt([]byte("hello"), 10); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if r.age(m); m.writeLimit.Load() != 0 || m.residency.writable.Contains(0, 1) || m.residency.written.Contains(0, 1) {
		t.Error("the page is clean, and taken for writable")
	}
}

// TestLargeRewritesGoToMemory: a large write that is made again and again goes
// by the descriptor while that is the cheaper way, then to memory, and by the
// descriptor again after a Flush.
func TestLargeRewritesGoToMemory(t *testing.T) {
	const size, rare = 8 * maxEagerPopulate, 128 // one such write in 128 makes pages writable
	r, err := OpenFile(zeros(t, size), os.O_RDWR, 0, nil)
	r, m := unwatched(t, r, err)
	if sys.Populate(m.headPages(size), true) != nil {
		t.Skip("this system does not make pages writable by a call")
	}
	p := make([]byte, size)
	for round := range 2 {
		for i := range 1 + rare + 1 {
			p[0], p[size-1] = byte(i), byte(i)
			if n, err := r.WriteAt(p, 0); n != size || err != nil {
				t.Fatal(n, err)
			}
			inMemory, want := m.writeLimit.Load() == size, i >= rare
			if inMemory != want {
				t.Fatalf("round %d, after %d writes: in memory %v, want %v", round, i+1, inMemory, want)
			}
			got := make([]byte, size)
			if _, err := r.f.ReadAt(got, 0); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("after %d writes the file has something else (%v)", i+1, err)
			}
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		if m.writeLimit.Load() != 0 {
			t.Fatal("after a Flush pages still count as writable")
		}
	}
}

// learned opens a file below dir, of 16 pages, after three writes to the first.
func learned(t *testing.T, r *Region, err error) (*Region, *mapping) {
	t.Helper()
	r, m := unwatched(t, r, err)
	for range 3 {
		if _, err := r.WriteAt([]byte("hello"), 10); err != nil {
			t.Fatal(err)
		}
	}
	if m.writeLimit.Load() == 0 {
		t.Skip("this system does not make pages writable by a call")
	}
	return r, m
}

// newLearned is learned of a file.
func newLearned(t *testing.T, opts *Options) (*Region, *mapping) {
	t.Helper()
	r, err := OpenFile(zeros(t, 16*pageSize), os.O_RDWR, 0, opts)
	return learned(t, r, err)
}

// TestMemoryStaysWritable: what is never written back stays writable.
func TestMemoryStaysWritable(t *testing.T) {
	r, err := Anonymous(16*pageSize, &Options{Share: true})
	if err != nil {
		t.Skip(err)
	}
	r, m := learned(t, r, err)
	if _, err := r.cachestat(m, 0, pageSize); err != nil {
		t.Skip("nothing tells what is cached: ", err)
	}
	for range 3 {
		if r.age(m); m.writeLimit.Load() == 0 {
			t.Error("forgotten")
		}
		if _, err := r.WriteAt([]byte("hello"), 10); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIdleForgets: a Region that nobody writes to takes no page for writable
// for long, be it dirty or not: the file system may be frozen before the next
// write.
func TestIdleForgets(t *testing.T) {
	r, m := newLearned(t, nil)
	for range 3 {
		r.age(m)
		if _, err := r.WriteAt([]byte("hello"), 10); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := r.cachestat(m, 0, m.backed.Load()); err != nil || c.Dirty == 0 {
		t.Skip("nothing tells what is dirty: ", err)
	}
	if m.writeLimit.Load() == 0 {
		t.Error("forgotten while it was written to")
	}
	r.age(m)
	r.age(m)
	if m.writeLimit.Load() > 0 || m.residency.writable.Contains(0, 1) {
		t.Error("known long after the last write")
	}
}

// TestCleanedByOurselves: whatever makes pages clean, or takes them away, makes
// them unknown as well.
func TestCleanedByOurselves(t *testing.T) {
	for what, do := range map[string]func(*Region) error{
		"Flush":      (*Region).Flush,
		"FlushRange": func(r *Region) error { return r.FlushRange(0, 1) },
		"Sync":       (*Region).Sync,
		"Discard":    func(r *Region) error { return r.Discard(0, pageSize) },
		"Release":    func(r *Region) error { return r.Release(0, pageSize) },
	} {
		t.Run(what, func(t *testing.T) {
			r, m := newLearned(t, nil)
			if err := do(r); err != nil {
				t.Skip(err)
			}
			if m.writeLimit.Load() > 0 || m.residency.writable.Contains(0, 1) {
				t.Error("the page is still taken for writable")
			}
			if what != "Release" {
				return
			}
			for range 3 {
				if _, err := r.ReadAt(make([]byte, 10), 0); err != nil {
					t.Fatal(err)
				}
			}
			if m.readLimit.Load() > 0 || m.residency.resident.Contains(0, 1) {
				t.Error("what was released is taken for resident")
			}
		})
	}
}

// TestPrivateWaitsInCalls: private memory of a file is touched only where it was
// brought in by a call before.
func TestPrivateWaitsInCalls(t *testing.T) {
	r, m := newLearned(t, &Options{Private: true})
	if m.readLimit.Load() < pageSize || m.writeLimit.Load() != pageSize {
		t.Errorf("after writes to one page %d bytes are known to be readable, %d to be writable", m.readLimit.Load(), m.writeLimit.Load())
	}
	if _, err := r.ReadAt(make([]byte, 10), 5*pageSize); err != nil || !m.residency.resident.Contains(5, 6) {
		t.Errorf("a page that was read is not known (%v)", err)
	}
	if !r.forgetLost(m) {
		t.Error("evictions do not count")
	}
	if m.readLimit.Load() != 0 || m.writeLimit.Load() != 0 {
		t.Error("after evictions everything is still known")
	}
	got := make([]byte, 5)
	if _, err := r.ReadAt(got, 10); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestBringIn: pages that are nowhere are in memory afterwards, whichever way
// the system has, also for several steps of them.
func TestBringIn(t *testing.T) {
	const size = 3*bringInStep + 5000
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, bring := range map[string]func(*Region, *mapping) bool{
		"populating": func(r *Region, m *mapping) bool { return r.bringIn(m, 100, size-100) },
		"reading":    func(r *Region, m *mapping) bool { return r.readThrough(100, size-100) == nil },
	} {
		t.Run(what, func(t *testing.T) {
			r, err := OpenFile(name, os.O_RDWR, 0, nil) // the mapping reaches past the end
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			m, err := r.mapped()
			if err != nil {
				t.Skip("this system does not map files: ", err)
			}
			if err := evict(name); err != nil {
				t.Skip("nothing evicts: ", err)
			}
			if in, err := r.Resident(0, ToEnd); err != nil || slices.Contains(in[1:], true) {
				t.Skip("not evicted, or nothing tells: ", err)
			}
			if !bring(r, m) {
				t.Fatal("the pages did not come")
			}
			if in, err := r.Resident(0, ToEnd); err != nil || slices.Contains(in, false) {
				t.Errorf("some pages are not there (%v)", err)
			}
			if err := os.Truncate(name, 50); err != nil {
				t.Fatal(err)
			}
			if bring(r, m) {
				t.Error("pages that were cut off have come")
			}
			if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// evict takes a file that nobody has touched in memory out of the page cache.
func evict(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// TestBlocksBecomeWritable: where half of the pages around were written, all of them
// are made writable at once; where few were, one at a time. No byte changes.
func TestBlocksBecomeWritable(t *testing.T) {
	for _, written := range []int64{20, 40} {
		name := filepath.Join(t.TempDir(), "file")
		data := bytes.Repeat([]byte("x"), int(70*pageSize))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := OpenFile(name, os.O_RDWR, 0, nil)
		r, m := learned(t, r, err)
		copy(data[10:], "hello")
		write := func(page int64) {
			copy(data[page*pageSize:], "written")
			if _, err := r.WriteAt([]byte("written"), page*pageSize); err != nil {
				t.Fatal(err)
			}
		}
		for page := range written {
			write(page * 64 / written)
		}
		for i := 0; !m.residency.writable.Contains(32, 33); i++ { // it goes on by chance
			if write(32); i == 10000 {
				t.Fatal("page 32 is never made writable")
			}
		}
		if all := m.residency.writable.Contains(0, 64); all != (written == 40) {
			t.Errorf("after writes to %d pages all 64 are writable: %v", written, all)
		}
		if m.residency.writable.Contains(64, 65) {
			t.Error("a page beyond is writable")
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
			t.Errorf("the file has other bytes (%v)", err)
		}
	}
}

// cachedPages opens a file of size bytes of which the given pages are cached, and
// no others.
func cachedPages(t *testing.T, size int64, pages ...int64) (*Region, *mapping) {
	t.Helper()
	r, err := Open(zeros(t, size))
	r, m := unwatched(t, r, err)
	cacheOnly(t, r, pages...)
	return r, m
}

// cacheOnly evicts all pages of a Region's file but those given.
func cacheOnly(t *testing.T, r *Region, pages ...int64) {
	t.Helper()
	_ = r.Advise(0, ToEnd, AdviceDontNeed)
	if err := evict(r.Name()); err != nil {
		t.Skip("nothing evicts: ", err)
	}
	f, err := os.Open(r.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		t.Skip(err)
	}
	for _, page := range pages {
		if _, err := f.ReadAt(make([]byte, 1), page*pageSize); err != nil {
			t.Fatal(err)
		}
	}
	in, err := r.Resident(0, ToEnd)
	if err != nil {
		t.Skip("nothing tells what is cached: ", err)
	}
	for page, is := range in {
		if is != slices.Contains(pages, int64(page)) {
			t.Skipf("page %d is cached: %v", page, is)
		}
	}
	if _, err := r.CacheStat(0, 1); err != nil {
		t.Skip("nothing tells how much is cached: ", err)
	}
}

// TestProbe: of a block of pages that are all cached, all are known when one was
// looked at; of one that lacks a page, or of another block, none.
func TestProbe(t *testing.T) {
	const next = probePages
	for _, c := range []struct {
		size   int64
		cached []int64
		at     int64 // the page that is looked at
		known  []int64
	}{
		{3*pageSize + 1, []int64{0, 1, 2, 3}, 0, []int64{0, 1, 2, 3}},
		{3*pageSize + 1, []int64{0, 1, 2}, 0, nil},
		{3*pageSize + 1, []int64{0, 2, 3}, 3, nil},
		{4 * pageSize, []int64{0, 1, 2, 3}, 2, []int64{0, 1, 2, 3}},
		{4 * pageSize, []int64{0, 1, 2}, 0, nil},
		{4*pageSize - 1, []int64{0, 1, 2, 3}, 1, []int64{0, 1, 2, 3}},
		{(next + 2) * pageSize, []int64{next, next + 1}, next + 1, []int64{next, next + 1}},
		{(next + 2) * pageSize, []int64{next, next + 1}, 0, nil},
		{(next + 2) * pageSize, []int64{0, 1, next}, next, nil},
	} {
		t.Run(fmt.Sprint(c.size, c.cached, c.at), func(t *testing.T) {
			r, m := cachedPages(t, c.size, c.cached...)
			if is := r.isResident(m, c.at*pageSize, 1); is != (c.known != nil) {
				t.Errorf("page %d is known: %v", c.at, is)
			}
			for page := range m.residency.n {
				if is := m.residency.resident.Contains(page, page+1); is != slices.Contains(c.known, page) {
					t.Fatalf("page %d is known: %v", page, is)
				}
			}
		})
	}
}

// TestLossOfSome: that half of the known pages are gone is noticed, wherever they are.
func TestLossOfSome(t *testing.T) {
	r, m := cachedPages(t, 64*pageSize)
	for _, odd := range []int64{0, 1} {
		m.add(&m.residency.resident, &m.readLimit, 0, 64*pageSize)
		var some []int64
		for page := odd; page < 64; page += 2 {
			some = append(some, page)
		}
		cacheOnly(t, r, some...)
		if !r.forgetLost(m) || m.readLimit.Load() > 0 || m.residency.resident.Any() && m.residency.resident.Count(0, 64) > 0 {
			t.Error("every other page is gone, and all are still known")
		}
	}
}

// TestAgeForgetsBlocks: a block that lost a page is forgotten, and counted, and no
// other.
func TestAgeForgetsBlocks(t *testing.T) {
	const next = probePages
	r, m := cachedPages(t, (next+4)*pageSize, next, next+1, next+2, next+3)
	m.add(&m.residency.resident, &m.readLimit, 0, (next+4)*pageSize)
	m.residency.probed.Add(0, 2)
	before := ReadStats().EvictedPages
	r.age(m)
	if n := m.residency.resident.Count(0, next); n > 0 || m.residency.probed.Contains(0, 1) {
		t.Errorf("%d pages that are gone are known", n)
	}
	if !m.residency.resident.Contains(next, next+4) || !m.residency.probed.Contains(1, 2) {
		t.Error("pages that are there were forgotten")
	}
	if n := ReadStats().EvictedPages - before; n < next {
		t.Errorf("%d pages were found to be gone", n)
	}
}

// TestForgetWholeWords: all is forgotten of a file whose blocks fill words of a bitmap.
func TestForgetWholeWords(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(64 * probePages * pageSize); err != nil {
		t.Skip(err)
	}
	r, err := Open(f.Name())
	_, m := unwatched(t, r, err)
	m.residency.probed.Add(0, 64)
	if m.forgetFrom(0); m.residency.probed.Count(0, 64) > 0 {
		t.Error("some blocks count as asked about")
	}
}
