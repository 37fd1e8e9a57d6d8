package mmap_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// ctlCall is a control call with its range still open.
type ctlCall struct {
	name string
	op   string // what its errors say they did
	do   func(r *mmap.Region, off, n int64) error
}

// ctlAdvises are all constants, by their names.
var ctlAdvises = []mmap.Advice{mmap.AdviceNormal, mmap.AdviceSequential, mmap.AdviceRandom, mmap.AdviceWillNeed, mmap.AdviceDontNeed, mmap.AdviceFree,
	mmap.AdviceCold, mmap.AdvicePageOut, mmap.AdviceHugePage, mmap.AdviceNoHugePage, mmap.AdviceCollapse, mmap.AdvicePopulateRead, mmap.AdvicePopulateWrite,
	mmap.AdviceDontFork, mmap.AdviceDoFork, mmap.AdviceDontDump, mmap.AdviceDoDump, mmap.AdviceMergeable, mmap.AdviceUnmergeable}

// ctlCalls are the control calls whose range must lie inside the Region. Those
// that change what bytes there are come last.
func ctlCalls() []ctlCall {
	calls := []ctlCall{
		{"Prefetch", "prefetch", func(r *mmap.Region, off, n int64) error { return r.Prefetch(mmap.Span{Off: off, Len: n}) }},
		{"Resident", "mincore", func(r *mmap.Region, off, n int64) error { _, err := r.Resident(off, n); return err }},
		{"CacheStat", "cachestat", func(r *mmap.Region, off, n int64) error { _, err := r.CacheStat(off, n); return err }},
		{"Lock", "mlock", (*mmap.Region).Lock},
		{"Unlock", "munlock", (*mmap.Region).Unlock},
	}
	for _, p := range []mmap.Prot{mmap.ProtNone, mmap.ProtRead, mmap.ProtRead | mmap.ProtWrite} {
		calls = append(calls, ctlCall{fmt.Sprintf("Protect(%d)", p), "mprotect",
			func(r *mmap.Region, off, n int64) error { return r.Protect(off, n, p) }})
	}
	for _, a := range []mmap.Advice{mmap.AdviceRandom, mmap.AdviceWillNeed, mmap.AdviceCold, mmap.AdvicePageOut, mmap.AdviceDontDump, mmap.AdvicePopulateRead, mmap.AdviceDontNeed} {
		calls = append(calls, ctlCall{a.String(), "advise",
			func(r *mmap.Region, off, n int64) error { return r.Advise(off, n, a) }})
	}
	return append(calls,
		ctlCall{"Discard", "discard", (*mmap.Region).Discard},
		ctlCall{"Release", "munmap", (*mmap.Region).Release})
}

// ctlKinds are Regions of size bytes, one of each kind, all of them writable.
func ctlKinds(t testing.TB, size int64) map[string]*mmap.Region {
	t.Helper()
	data := pattern(0, int(size)+1000)
	return map[string]*mmap.Region{
		"shared":    openRegion(t, newFile(t, data[:size]), os.O_RDWR, nil),
		"private":   openRegion(t, newFile(t, data[:size]), os.O_RDONLY, &mmap.Options{Private: true}),
		"window":    openRegion(t, newFile(t, data), os.O_RDWR, &mmap.Options{Offset: 333, Length: size}),
		"anonymous": ctlAnonymous(t, size, nil),
	}
}

// TestControlRanges is the table of offsets and lengths, of every call on every
// kind of Region.
func TestControlRanges(t *testing.T) {
	needsMemory(t)
	page, size := mmap.PageSize(), 3*mmap.PageSize()+100
	for _, c := range []struct {
		off, n int64
		want   error
	}{
		{0, 0, nil}, {5, 0, nil}, {size, 0, nil}, {0, mmap.ToEnd, nil}, {7, mmap.ToEnd, nil}, {size, mmap.ToEnd, nil},
		{7, 13, nil}, {page - 1, 2, nil}, {page, page, nil}, {0, size, nil}, {size - 1, 1, nil}, {3 * page, 100, nil},
		{size - 1, 2, io.ErrUnexpectedEOF}, {size, 1, io.ErrUnexpectedEOF}, {size + 1, mmap.ToEnd, io.ErrUnexpectedEOF},
		{0, size + 1, io.ErrUnexpectedEOF}, {4 * page, page, io.ErrUnexpectedEOF}, {math.MaxInt64 - 5, 3, io.ErrUnexpectedEOF},
		{-1, 1, syscall.EINVAL}, {-1, 0, syscall.EINVAL}, {-page, mmap.ToEnd, syscall.EINVAL}, {0, -2, syscall.EINVAL},
		{0, math.MinInt64, syscall.EINVAL}, {1, math.MaxInt64, syscall.EINVAL}, {math.MaxInt64, math.MaxInt64, syscall.EINVAL},
	} {
		for kind, r := range ctlKinds(t, size) {
			for _, call := range ctlCalls() {
				err := call.do(r, c.off, c.n)
				if !ctlWants(r, call, kind, err, c.want) {
					t.Errorf("%s of %s memory at %d of %d: %v, want %v", call.name, kind, c.off, c.n, err, c.want)
				}
			}
			r.Close()
		}
	}
}

// ctlWants reports whether err is what is wanted of a call: nil may also be
// what the system, or this kind of memory, cannot do or forbids.
func ctlWants(r *mmap.Region, call ctlCall, kind string, err, want error) bool {
	var named *fs.PathError
	if err != nil && (!errors.As(err, &named) || named.Op != call.op || named.Path != r.Name()) {
		return false
	}
	// A hint leaves out what lies past the end.
	if call.name == "Prefetch" && want == io.ErrUnexpectedEOF {
		return err == nil
	}
	// Private memory forgets nothing by advice, whatever the range.
	if kind == "private" && call.name == "DontNeed" {
		return errors.Is(err, syscall.EINVAL)
	}
	return errors.Is(err, want) || errors.Is(err, errors.ErrUnsupported)
}

// TestControlZero checks that a length of 0 does nothing, with what would be
// seen if it did.
func TestControlZero(t *testing.T) {
	needsMemory(t)
	size := 3 * mmap.PageSize()
	for kind, r := range ctlKinds(t, size) {
		want := make([]byte, size)
		ctlRead(t, r, want, 0)
		for _, call := range ctlCalls() {
			for _, off := range []int64{0, 1, mmap.PageSize(), size} {
				if err := call.do(r, off, 0); err != nil && !errors.Is(err, errors.ErrUnsupported) && call.name != "DontNeed" {
					t.Errorf("%s of nothing of %s memory: %v", call.name, kind, err)
				}
			}
		}
		if _, err := r.WriteAt([]byte{want[0]}, 0); err != nil {
			t.Errorf("%s memory cannot be written after calls about nothing: %v", kind, err)
		}
		if got := ctlRead(t, r, make([]byte, size), 0); got != string(want) {
			t.Errorf("calls about nothing changed %s memory", kind)
		}
	}
}

// TestControlClosed checks that every call on a closed Region says so.
func TestControlClosed(t *testing.T) {
	needsMemory(t)
	for kind, r := range ctlKinds(t, 2*mmap.PageSize()) {
		r.Close()
		for _, call := range append(ctlCalls(), ctlCall{"Allocate", "allocate", (*mmap.Region).Allocate}) {
			err := call.do(r, 0, mmap.PageSize())
			if kind == "private" && call.name == "DontNeed" {
				continue
			}
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s of closed %s memory: %v", call.name, kind, err)
			}
		}
	}
}

// TestControlDescriptor checks what the calls about memory say of a Region that
// has none: a pipe, and one without a byte.
func TestControlDescriptor(t *testing.T) {
	needsMemory(t)
	empty := openRegion(t, newFile(t, nil), os.O_RDWR, nil)
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	defer to.Close()
	pipe, err := mmap.Map(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	for _, call := range ctlCalls() {
		if err := call.do(empty, 0, mmap.ToEnd); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s of an empty file: %v", call.name, err)
		}
		if err := call.do(pipe, 0, 10); err == nil {
			t.Errorf("%s of a pipe says it worked", call.name)
		}
	}
}

// TestAdviceNames checks that every advice has its name, that Supported is
// what Advise does, and that what is no advice is an error.
func TestAdviceNames(t *testing.T) {
	names := map[string]bool{}
	r := ctlAnonymous(t, 2*mmap.PageSize(), nil)
	for i, a := range ctlAdvises {
		if int(a) != i || names[a.String()] {
			t.Errorf("%v is %d, want %d", a, a, i)
		}
		names[a.String()] = true
		if err := r.Advise(0, 0, a); errors.Is(err, errors.ErrUnsupported) == a.Supported() {
			t.Errorf("%v: supported %v, but: %v", a, a.Supported(), err)
		}
	}
	none := mmap.Advice(len(ctlAdvises))
	if none.Supported() || none.String() != "Advice(19)" {
		t.Errorf("%v is not an advice", none)
	}
	for _, n := range []int64{0, 10} {
		if err := r.Advise(0, n, none); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("Advise(%v): %v", none, err)
		}
	}
	if err := r.Protect(0, 10, mmap.ProtNone|mmap.ProtRead); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("no access and reading: %v", err)
	}
	if err := r.Protect(0, 10, 1<<6); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("an unknown protection: %v", err)
	}
}

// TestAdviceLoses checks that advice does not throw away what memory alone
// has: private pages of a file, and shared ones, which Free would.
func TestAdviceLoses(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	for kind, r := range ctlKinds(t, 2*page) {
		if _, err := r.WriteAt([]byte("kept"), 10); err != nil {
			t.Fatal(err)
		}
		for _, a := range []mmap.Advice{mmap.AdviceDontNeed, mmap.AdviceFree} {
			if kind == "anonymous" || !a.Supported() {
				continue
			}
			if err := r.Advise(0, mmap.ToEnd, a); err == nil && a == mmap.AdviceFree {
				t.Errorf("Free of %s memory worked", kind)
			}
			if got := ctlRead(t, r, make([]byte, 4), 10); got != "kept" {
				t.Errorf("after %v %s memory has %q", a, kind, got)
			}
		}
	}
}

// TestAdvisePartialPage checks that advice that drops whole pages leaves those
// alone that lie partly outside its range, but takes the Region's own last.
func TestAdvisePartialPage(t *testing.T) {
	if !mmap.AdviceDontNeed.Supported() || runtime.GOOS != "linux" {
		t.Skip("dropping the pages of anonymous memory is Linux's")
	}
	page := mmap.PageSize()
	size := 3*page + 100
	for _, c := range []struct{ off, n, lo, hi int64 }{
		{1, 3*page - 2, page, 2 * page}, {0, 2*page - 1, 0, page}, {1, page, 0, 0}, {page + 1, page - 1, 0, 0},
		{page - 1, mmap.ToEnd, page, size}, {0, mmap.ToEnd, 0, size}, {2 * page, page, 2 * page, 3 * page},
	} {
		r := ctlAnonymous(t, size, nil)
		want := pattern(1, int(size))
		if _, err := r.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		if err := r.Advise(c.off, c.n, mmap.AdviceDontNeed); err != nil {
			t.Fatal(err)
		}
		clear(want[c.lo:c.hi])
		ctlSame(t, fmt.Sprintf("DontNeed at %d of %d", c.off, c.n), ctlRead(t, r, make([]byte, size), 0), want)
	}
}

// ctlSame compares contents and says where they differ first.
func ctlSame(t testing.TB, what, got string, want []byte) {
	t.Helper()
	if got == string(want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: byte %d is %d, want %d", what, i, got[i], want[i])
			return
		}
	}
	t.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
}

// ctlSink keeps the compiler from leaving loads out.
var ctlSink atomic.Uint32

// ctlFaults reports whether a load of byte off faults.
func ctlFaults(r *mmap.Region, off int64) bool {
	err := r.View(0, mmap.ToEnd, func(b []byte) error { ctlSink.Store(uint32(b[off])); return nil })
	return err != nil
}

// ctlTouch loads b[i] and reports whether that worked.
func ctlTouch(b []byte, i int64) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	ctlSink.Store(uint32(b[i]))
	return
}

// ctlWindow returns the memory of r, to be touched with ctlTouch alone.
func ctlWindow(t testing.TB, r *mmap.Region) (b []byte) {
	t.Helper()
	if err := r.View(0, mmap.ToEnd, func(all []byte) error { b = all; return nil }); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestControlNeighbours checks that no call on a window touches the rest of
// its file's first and last page, and none on anonymous memory that beside it.
func TestControlNeighbours(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	data := pattern(0, int(6*page))
	for _, call := range ctlCalls() {
		name := newFile(t, data)
		left := openMapped(t, name, os.O_RDWR, &mmap.Options{Length: page + 100})
		right := openMapped(t, name, os.O_RDWR, &mmap.Options{Offset: 4*page - 100, Length: page})
		w := openMapped(t, name, os.O_RDWR, &mmap.Options{Offset: page + 100, Length: 3*page - 200})
		if err := call.do(w, 0, mmap.ToEnd); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", call.name, err)
		}
		ctlIntact(t, call.name+", left", left, data[:page+100])
		ctlIntact(t, call.name+", right", right, data[4*page-100:5*page-100])
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ctlSame(t, call.name+", the file before", string(got[:page+100]), data[:page+100])
		ctlSame(t, call.name+", the file after", string(got[4*page-100:]), data[4*page-100:])
		if call.name != "Discard" {
			ctlSame(t, call.name, string(got), data)
		}
	}
}

// ctlIntact checks that r has all its bytes, in memory, and takes new ones.
func ctlIntact(t *testing.T, what string, r *mmap.Region, want []byte) {
	t.Helper()
	err := r.View(0, mmap.ToEnd, func(b []byte) error {
		ctlSame(t, what, string(b), want)
		for i := range b {
			b[i]++
			b[i]--
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// TestControlNeighbourMemory does the same with anonymous memory that lies
// directly before and after.
func TestControlNeighbourMemory(t *testing.T) {
	page := mmap.PageSize()
	data := pattern(0, int(2*page))
	for _, call := range ctlCalls() {
		var row [3]*mmap.Region
		outer := ctlAnonymous(t, 6*page, nil)
		base, _, _ := mmap.Memory(outer)
		outer.Close()
		outer = nil
		if !settle(given) {
			t.Skip("the addresses were not given back")
		}
		for i := range row {
			row[i] = ctlAnonymous(t, 2*page, &mmap.Options{Addr: base + uintptr(int64(2*i)*page)})
			if at, _, _ := mmap.Memory(row[i]); at != base+uintptr(int64(2*i)*page) {
				t.Skip("the system places memory elsewhere")
			}
			if _, err := row[i].WriteAt(data, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := call.do(row[1], 0, mmap.ToEnd); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", call.name, err)
		}
		ctlIntact(t, call.name+", before", row[0], data)
		ctlIntact(t, call.name+", after", row[2], data)
		for _, r := range row {
			r.Close()
		}
	}
}

// TestControlClose runs every call beside Close. Its error is nil or
// os.ErrClosed, and after Close not one page can be touched: no call revives
// what Close revoked. Protect could, so it runs most often.
func TestControlClose(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	calls := append(ctlCalls(), ctlCall{"Allocate", "allocate", (*mmap.Region).Allocate},
		ctlCall{"PopulateWrite", "advise", func(r *mmap.Region, off, n int64) error { return r.Advise(off, n, mmap.AdvicePopulateWrite) }})
	name := newFile(t, pattern(0, int(4*page)))
	for _, call := range calls {
		rounds := 15
		if call.op == "mprotect" {
			rounds = 80
		}
		if testing.Short() {
			rounds /= 10
		}
		for i := range rounds {
			r := openMapped(t, name, os.O_RDWR, nil)
			if i%2 == 1 {
				r = ctlAnonymous(t, 4*page, nil)
			}
			ctlRaceClose(t, call, r)
		}
	}
}

// ctlRaceClose calls, on two goroutines, until the Region is closed by another.
func ctlRaceClose(t *testing.T, call ctlCall, r *mmap.Region) {
	t.Helper()
	b, begun := ctlWindow(t, r), make(chan struct{}, 2)
	_, _, hold := mmap.Memory(r)
	caller := func() {
		n := r.Size()
		err := call.do(r, 0, n)
		begun <- struct{}{}
		for err == nil {
			err = call.do(r, 0, n)
		}
		// One of two releases comes second, and memory has no blocks.
		allowed := errors.Is(err, errors.ErrUnsupported) || call.name == "Release" && errors.Is(err, sys.Fault)
		if !allowed && !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s beside Close: %v", call.name, err)
		}
	}
	parallel(caller, caller, func() {
		<-begun
		if err := r.Close(); err != nil {
			t.Errorf("Close beside %s: %v", call.name, err)
		}
	})
	for off := int64(0); off < int64(len(b)); off += mmap.PageSize() {
		if ctlTouch(b, off) {
			t.Errorf("after Close beside %s byte %d can be touched", call.name, off)
		}
	}
	runtime.KeepAlive(hold)
}

// TestControlTogether runs all calls beside one another, and beside growth and
// reading, then compares what is left with what was written.
func TestControlTogether(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	r := openMapped(t, newFile(t, pattern(0, int(8*page))), os.O_RDWR, nil)
	var work []func()
	for _, call := range ctlCalls() {
		if call.name == "Release" || call.name == "Discard" {
			continue
		}
		work = append(work, func() {
			for i := range int64(30) {
				if err := call.do(r, i%7*page, page+i); err != nil && !errors.Is(err, errors.ErrUnsupported) && !ctlDenied(err) {
					t.Errorf("%s: %v", call.name, err)
				}
			}
		})
	}
	work = append(work, func() {
		for i := range int64(20) {
			if err := r.Truncate(8*page + i*page*40); err != nil {
				t.Error(err)
			}
		}
	})
	parallel(work...)
	if err := r.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite); err != nil {
		t.Fatal(err)
	}
	ctlSame(t, "at the end", ctlRead(t, r, make([]byte, 8*page), 0), pattern(0, int(8*page)))
}

// ctlDenied reports an error that another goroutine explains: a page that
// cannot be touched can be neither locked nor brought in, and one that is
// locked cannot be evicted.
func ctlDenied(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, sys.Fault) ||
		ctlNoMemory(err) || errors.Is(err, syscall.EINVAL)
}

// ctlNoMemory reports whether the system's own error in err says that memory
// ran out.
func ctlNoMemory(err error) bool {
	for err != nil {
		if sys.NoMemory(err) {
			return true
		}
		err = errors.Unwrap(err)
	}
	return false
}
