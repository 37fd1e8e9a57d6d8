package mmap_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed-93fed273/mmap"
	"golang.org/x/sys/unix"
)

// evictAll takes all pages of r and of its file out of memory.
func evictAll(t *testing.T, r *mmap.Region, name string) {
	t.Helper()
	if err := r.Advise(0, mmap.ToEnd, mmap.AdviceDontNeed); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
	if in, err := r.Resident(0, mmap.ToEnd); err != nil || slices.Contains(in, true) {
		t.Skip("not evicted, or nothing tells: ", err)
	}
}

// TestLossIsNoticed: when known pages are gone they are forgotten, and a fault
// reads one page and not thirty; when none has gone for a while, it reads around
// again. What the caller advised, and what he holds bytes of, is left alone.
func TestLossIsNoticed(t *testing.T) {
	needsLearning(t)
	for what, mine := range map[string]func(*mmap.Region) error{
		"":       nil,
		"advice": func(r *mmap.Region) error { return r.Advise(0, 4096, mmap.AdviceSequential) },
		"bytes":  func(r *mmap.Region) error { _ = r.Bytes(); return nil },
	} {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, pattern(0, 64*os.Getpagesize()))
			r := openRegion(t, name, os.O_RDONLY, nil)
			readKnown(t, r)
			if _, err := r.CacheStat(0, 1); err != nil {
				t.Skip("nothing tells: ", err)
			}
			if mine != nil {
				if err := mine(r); err != nil {
					t.Fatal(err)
				}
			}
			addr, _, _ := mmap.Memory(r)
			readsOne := func() bool {
				return slices.Contains(strings.Fields(smaps(t, addr+uintptr(8*os.Getpagesize()))["VmFlags"]), "rr")
			}
			mmap.Unwatch(r)
			if mmap.NoticeLoss(r) || readsOne() {
				t.Fatal("a loss was noticed and there was none")
			}
			readKnown(t, r) // AdviceDontNeed forgets nothing
			evictAll(t, r, name)
			if !mmap.NoticeLoss(r) || mmap.KnownBytes(r) > 0 {
				t.Errorf("all pages are gone, and %d bytes are still known", mmap.KnownBytes(r))
			}
			if readsOne() != (mine == nil) {
				t.Errorf("a fault reads one page: %v", readsOne())
			}
			readKnown(t, r)
			for second := range mmap.CalmAfter {
				if mmap.NoticeLoss(r) {
					t.Fatal("a loss was noticed and there was none")
				}
				if second < mmap.CalmAfter-1 && readsOne() != (mine == nil) {
					t.Errorf("after %d seconds a fault reads one page: %v", second+1, readsOne())
				}
			}
			if readsOne() {
				t.Error("a fault still reads one page only")
			}
		})
	}
}

// TestResidentLimitLetsInWhatIsUsed: while there is a limit no more comes into the
// process than was asked for and what a fault maps with it; that much is known,
// and nothing else. What fits a new limit stays.
func TestResidentLimitLetsInWhatIsUsed(t *testing.T) {
	needsLearning(t)
	limitResident(t, 64*mmap.ResidentUnit)
	before := mmap.ResidentBytes()
	name := newFile(t, pattern(0, 32*int(mmap.ResidentUnit)))
	r := openMapped(t, name, os.O_RDONLY, nil)
	addr, _, _ := mmap.Memory(r)
	if flags := smaps(t, addr)["VmFlags"]; !slices.Contains(strings.Fields(flags), "nh") {
		t.Errorf("a fault may map a huge page: %s", flags)
	}
	page := int64(os.Getpagesize())
	for range 4 { // the first may not be served from memory
		if _, err := r.ReadAt(make([]byte, 10), 5*page); err != nil {
			t.Fatal(err)
		}
	}
	if n := mmap.ResidentBytes() - before; n > max(mmap.ResidentUnit, 2*page) { // the first page was seen when it was mapped
		t.Errorf("%d bytes count for two pages", n)
	}
	in, err := mmap.PresentPages(r)
	if err != nil {
		t.Skip("nothing tells what the process has: ", err)
	}
	memory, err := mmap.Anonymous(page, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	brings := memory.Advise(0, page, mmap.AdvicePopulateRead) == nil // else a touch brings what nobody asked for
	for i, is := range in {
		if known := mmap.Known(r, int64(i)*page, 1); known && !is || is && !known && brings {
			t.Errorf("page %d is there: %v, known: %v", i, is, known)
		}
	}
	if mmap.SetResidentLimit(mmap.ResidentBytes()); !mmap.Known(r, 5*page, 10) {
		t.Error("what the limit allows was taken out")
	}
}
