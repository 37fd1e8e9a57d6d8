package sys

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestUnfiltered(t *testing.T) {
	for text, want := range map[string]bool{
		"Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\n": true,
		"Seccomp:\t2\nSeccomp_filters:\t1\n":           false,
		"Seccomp:\t1\n":                                false,
		"Name:\tx\nSeccomp_filters:\t0\n":              false, // a kernel that does not tell
		"":                                             false,
	} {
		if got := unfiltered([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.5.0": true, "6.5-rc1": true, "6.9.1": true, "6.19": true, "6.18.44-fc": true, "7.0": true, "9.1": true, "10.1": true,
		"6.4.9": false, "5.15.0-91-generic": false, "4.4.0": false, "6": false, "": false, "x.y": false,
	} {
		if got := atLeast(release, 6, 5); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

// TestFilterIsNoticed: a filter that comes into force later is noticed when it
// is looked for, and cachestat(2) is not called any more.
func TestFilterIsNoticed(t *testing.T) {
	if !mayCachestat() {
		t.Skip("it may not be called anyway")
	}
	LookForFilter()
	if !mayCachestat() {
		t.Error("without a filter it may no longer be called")
	}
	defer func() { yesCachestat.Store(true); noCachestat.Store(false) }()
	yesCachestat.Store(false)
	noCachestat.Store(true)
	if _, err := CacheStat(^uintptr(0), 0, 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("it was called: %v", err)
	}
}

// mapShared maps a memory file of some pages for reading and writing.
func mapShared(t *testing.T, pages int) []byte {
	t.Helper()
	f, err := NewMemFile("test", int64(pages*pageSize))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	b, err := Map(f.Fd(), 0, pages*pageSize, Read|Write, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Unmap(b) })
	return b
}

// minorFaults counts the faults of this process.
func minorFaults() int64 {
	var use unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &use)
	return int64(use.Minflt)
}

// TestPopulateByFutex: pages become writable without a change of their bytes,
// and stores beside it are kept.
func TestPopulateByFutex(t *testing.T) {
	const pages = 4096
	b := mapShared(t, pages)
	err := populateByFutex(b)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	before := minorFaults()
	for i := 0; i < len(b); i += pageSize {
		b[i]++
	}
	if n := minorFaults() - before; n > pages/8 { // some of the runtime's own
		t.Errorf("%d faults for stores to %d pages that were made writable", n, pages)
	}
	word := (*atomic.Uint32)(unsafe.Pointer(&b[0]))
	word.Store(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100000 {
			word.Add(1)
		}
	}()
	for range 10000 {
		if err := populateByFutex(b[:pageSize]); err != nil {
			t.Fatal(err)
		}
	}
	if <-done; word.Load() != 100000 {
		t.Errorf("%d of 100000 additions are there", word.Load())
	}
	if err := Protect(b, Read); err != nil {
		t.Fatal(err)
	}
	if err := populateByFutex(b); err != unix.EFAULT {
		t.Errorf("memory that cannot be written: %v", err)
	}
}

// TestRefusedOnce: what the kernel or a filter refuses is not called again.
func TestRefusedOnce(t *testing.T) {
	defer func() {
		for _, r := range []*refusal{&noAdvice[PopulateRead], &noAdvice[PopulateWrite], &noFutexOp, &noPreadv2} {
			r.errno.Store(0)
		}
	}()
	b := mapShared(t, 1)
	noAdvice[PopulateRead].errno.Store(uintptr(unix.EINVAL))
	noAdvice[PopulateWrite].errno.Store(uintptr(unix.EINVAL))
	noFutexOp.errno.Store(0)
	if err := Populate(b, false); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("reading, without MADV_POPULATE_READ: %v", err)
	}
	if err := Populate(b, true); err != nil {
		t.Errorf("writing, without MADV_POPULATE_WRITE: %v", err)
	}
	noFutexOp.errno.Store(uintptr(unix.EPERM))
	if err := Populate(b, true); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("writing, without anything: %v", err)
	}
	noPreadv2.errno.Store(uintptr(unix.EPERM))
	if _, err := PreadNowait(0, b, 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("reading what is cached: %v", err)
	}
	var r refusal
	if err := r.learn(unix.EIO); err != unix.EIO || r.err() != nil {
		t.Errorf("an error of the file: %v, remembered %v", err, r.err())
	}
	if err := r.learn(unix.ENOSYS); err != unix.ENOSYS || r.err() != unix.ENOSYS {
		t.Errorf("a refusal: %v, remembered %v", err, r.err())
	}
}

// TestPopulateDenied: EINVAL for memory that may not be read says nothing about
// the kernel.
func TestPopulateDenied(t *testing.T) {
	b := mapShared(t, 1)
	if !HasAdvice(PopulateRead) || Populate(b, false) != nil {
		t.Skip("no MADV_POPULATE_READ")
	}
	if err := Protect(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := Populate(b, false); err == nil {
		t.Error("memory without rights was brought in")
	}
	if !HasAdvice(PopulateRead) {
		t.Error("the call is now taken for refused")
	}
}

// TestCopyRangeRefused: EPERM for a file that is sealed says nothing about
// copy_file_range(2), which is called for other files all the same.
func TestCopyRangeRefused(t *testing.T) {
	sealed := newMemFile(t, 1)
	if err := Seal(sealed.Fd(), SealWrite); err != nil {
		t.Skip("no seals: ", err)
	}
	from, to := newMemFile(t, 1), newMemFile(t, 1)
	if n, err := CopyRange(to.Fd(), 0, from.Fd(), 0, 1); err != nil {
		t.Skip("it copies nothing here: ", err)
	} else if n != 1 {
		t.Fatalf("of one byte %d were copied", n)
	}
	if _, err := CopyRange(sealed.Fd(), 0, from.Fd(), 0, 1); err != unix.EPERM {
		t.Errorf("to a sealed file: %v", err)
	}
	if n, err := CopyRange(to.Fd(), 0, from.Fd(), 0, 1); err != nil || n != 1 {
		t.Errorf("after that: %d, %v", n, err)
	}
}

// newMemFile returns a file of memory that is closed when the test ends.
func newMemFile(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := NewMemFile(t.Name(), size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestPipe: what fills a pipe is what is drained from it, and nothing more.
func TestPipe(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	p, err := NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := unix.Write(ends[0], []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, done, err := p.Fill(uintptr(ends[1]), 5); n != 5 || !done || err != nil {
		t.Skipf("the kernel moves nothing here: %d, %v, %v", n, done, err)
	}
	to := newMemFile(t, 10)
	if n, err := p.Drain(to.Fd(), 3, 5); n != 5 || err != nil {
		t.Errorf("drained %d, %v", n, err)
	}
	text := make([]byte, 10)
	if _, err := to.ReadAt(text, 0); err != nil || string(text) != "\x00\x00\x00hello\x00\x00" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if n, done, err := p.Fill(uintptr(ends[1]), 5); n != 0 || done || err != nil {
		t.Errorf("without a byte to come: %d, %v, %v", n, done, err)
	}
}

// TestCoherenceOf: files of memory change their own pages; of what is no file
// system that is known, or no file at all, nothing is promised.
func TestCoherenceOf(t *testing.T) {
	if how := CoherenceOf(newMemFile(t, 1).Fd()); how != Always {
		t.Errorf("a file of memory: %v", how)
	}
	if how := CoherenceOf(^uintptr(0)); how != AfterRead {
		t.Errorf("no file: %v", how)
	}
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	if how := CoherenceOf(f.Fd()); how != AfterRead {
		t.Errorf("a file of /proc: %v", how)
	}
}

// TestMajorFaultsGrow: a page that comes from storage in a fault is counted.
func TestMajorFaultsGrow(t *testing.T) {
	f, text := scratch(t, 64*PageSize(), os.O_RDWR)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Skip(err)
	}
	b := mapped(t, f, 0, len(text), Read, 0)
	in := make([]bool, 64)
	if err := Resident(b, in); err != nil || in[32] {
		t.Skip("not evicted, or nothing tells: ", err)
	}
	var before, after unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
	loads(t, b, 32*PageSize())
	if _ = unix.Getrusage(unix.RUSAGE_SELF, &after); after.Majflt == before.Majflt {
		t.Skip("the fault did not wait")
	}
	if n := MajorFaults(); n < int64(after.Majflt) {
		t.Errorf("%d faults, and there were %d", n, after.Majflt)
	}
}

// TestNanoseconds: times that differ by whole seconds differ.
func TestNanoseconds(t *testing.T) {
	if n := nanoseconds(unix.NsecToTimespec(3e9 + 7)); n != 3e9+7 {
		t.Error(n)
	}
}

// TestGrowByAppending: the file ends where it was asked to, also when a single
// byte is missing or none.
func TestGrowByAppending(t *testing.T) {
	for _, more := range []int64{0, 1, 2, 64 << 10, 64<<10 + 1} {
		f := newMemFile(t, 10)
		if err := growByAppending(f.Fd(), 10+more, func(_ uintptr, p []byte) (int, error) {
			info, err := f.Stat()
			if err != nil {
				return 0, err
			}
			return f.WriteAt(p, info.Size())
		}); err != nil {
			t.Fatal(err)
		}
		if info, err := f.Stat(); err != nil || info.Size() != 10+more {
			t.Errorf("%d bytes more: %v, %v", more, info.Size(), err)
		}
	}
}
