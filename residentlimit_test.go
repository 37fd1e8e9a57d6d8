package mmap_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// limitResident sets the limit for the time of the test.
func limitResident(t *testing.T, bytes int64) {
	t.Helper()
	old := mmap.SetResidentLimit(bytes)
	t.Cleanup(func() { mmap.SetResidentLimit(old) })
}

// In a container with little memory, 64 MiB of files at most are in the
// process's own memory; what is used most is, and the descriptors serve the rest.
func ExampleSetResidentLimit() {
	old := mmap.SetResidentLimit(64 << 20)
	defer mmap.SetResidentLimit(old)
	fmt.Println(mmap.SetResidentLimit(-1)>>20, "MiB")
	fmt.Println(mmap.ReadStats().ResidentBytes <= mmap.ReadStats().ResidentLimit)
	// Output:
	// 64 MiB
	// true
}

// TestResidentLimit: however much is read and written, by however many, what
// counts and what the system has in memory stays below the limit, and every
// byte is right.
func TestResidentLimit(t *testing.T) {
	needsLearning(t)
	const size, limit = 16 << 20, 2 << 20
	limitResident(t, limit)
	before := mmap.ResidentBytes()
	data := pattern(0, size)
	var regions []*mmap.Region
	for range 3 {
		regions = append(regions, openRegion(t, newFile(t, data), os.O_RDWR, nil))
	}
	var all sync.WaitGroup
	var used atomic.Int64 // at the most
	for i, r := range append(regions, regions...) {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			buf := make([]byte, 10000)
			for k := range 3000 {
				off, n := rnd.Int64N(size-10000), 1+rnd.IntN(10000)
				if i < len(regions) { // one goroutine reads what another writes: the same bytes
					if _, err := r.ReadAt(buf[:n], off); err != nil || !bytes.Equal(buf[:n], data[off:][:n]) {
						t.Errorf("ReadAt at %d: %v, or other bytes", off, err)
						return
					}
				} else if _, err := r.WriteAt(data[off:][:n], off); err != nil {
					t.Error(err)
					return
				}
				if k%100 == 0 {
					mmap.Tick()
				}
				in := mmap.ResidentBytes()
				if in > limit {
					t.Errorf("%d bytes count, more than %d", in, limit)
					return
				}
				for old := used.Load(); in > old && !used.CompareAndSwap(old, in); old = used.Load() {
				}
			}
		})
	}
	all.Wait()
	// A sweep takes out what was touched while it was taken out; not every
	// tick is one.
	rss := rssOf(t, regions...)
	for try := 0; rss > limit && try < 2000; try++ {
		mmap.Tick()
		runtime.Gosched()
		rss = rssOf(t, regions...)
	}
	if rss > limit {
		t.Errorf("%d bytes are in memory, more than %d", rss, limit)
	}
	if s := mmap.ReadStats(); s.ResidentLimit != limit || s.ResidentBytes > limit {
		t.Errorf("%d bytes of %d, say the figures", s.ResidentBytes, s.ResidentLimit)
	}
	if most := used.Load(); most < limit/2 {
		t.Errorf("%d bytes at the most are used of a limit of %d", most, limit)
	}
	if old := mmap.SetResidentLimit(limit / 2); old != limit {
		t.Errorf("the limit was %d", old)
	}
	if in := mmap.ResidentBytes(); in > limit/2 {
		t.Errorf("%d bytes count after the limit was lowered to %d", in, limit/2)
	}
	for _, r := range regions {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if in := mmap.ResidentBytes(); in > before {
		t.Errorf("%d bytes count when all is closed, %d before", in, before)
	}
}

// TestResidentLimitAdapts: what is used is in memory after two rounds of the clock,
// and stays there although other pages are read now and then.
func TestResidentLimitAdapts(t *testing.T) {
	needsLearning(t)
	const size = 8 << 20
	hot := 8 * mmap.ResidentUnit
	limitResident(t, 10*mmap.ResidentUnit)
	r := openMapped(t, newFile(t, pattern(0, size)), os.O_RDONLY, nil)
	buf := make([]byte, 100)
	read := func(off int64) {
		if _, err := r.ReadAt(buf, off); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, at := range []int64{0, size / 2} {
		for range 5 { // seconds
			for off := at; off < at+hot; off += 1000 {
				read(off)
			}
			for range 100 {
				read(rnd.Int64N(size - 100))
			}
			mmap.Tick()
		}
		known := int64(0)
		for off := at; off < at+hot; off += mmap.ResidentUnit {
			if mmap.Known(r, off, 100) {
				known++
			}
		}
		if known < hot/mmap.ResidentUnit*3/4 {
			t.Errorf("%d of %d units that are used all the time are in memory", known, hot/mmap.ResidentUnit)
		}
	}
	if mmap.Known(r, 0, 100) && mmap.Known(r, mmap.ResidentUnit, 100) && mmap.Known(r, 2*mmap.ResidentUnit, 100) {
		t.Error("what is used no longer is still there")
	}
}

// TestResidentLimitArguments: no memory at all, and asking.
func TestResidentLimitArguments(t *testing.T) {
	needsLearning(t)
	if old := mmap.SetResidentLimit(-1); old != math.MaxInt64 {
		t.Fatalf("the limit is %d at first", old)
	}
	limitResident(t, 0)
	data := pattern(0, 300000)
	r := openMapped(t, newFile(t, data), os.O_RDWR, nil)
	got := make([]byte, len(data))
	for range 5 {
		if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
			t.Fatal("other bytes, or ", err)
		}
		if r.At(1234) != data[1234] {
			t.Fatal("At")
		}
		if _, err := r.WriteAt(data[1000:2000], 1000); err != nil {
			t.Fatal(err)
		}
	}
	if in := mmap.ResidentBytes(); in > 0 {
		t.Errorf("%d bytes are in memory", in)
	}
	forced := openRegion(t, newFile(t, data), os.O_RDONLY, &mmap.Options{Access: mmap.AccessMemory})
	if _, err := forced.ReadAt(got[:1000], 0); err != nil {
		t.Fatal(err)
	}
	if in := mmap.ResidentBytes(); in == 0 {
		t.Error("AccessMemory does not count")
	}
	if old := mmap.SetResidentLimit(math.MaxInt64); old != 0 {
		t.Errorf("the limit was %d", old)
	}
	mmap.Tick()
	readKnown(t, r)
	if !sys.Coherent {
		t.Skip("memory and descriptor differ here")
	}
}
