package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// arena is a set of files with distinct contents, and Regions over them that
// are opened and closed all the time.
type arena struct {
	t     *testing.T
	files []arenaFile
	slots [8]atomic.Pointer[tenant]
	stop  atomic.Bool
	calls atomic.Int64 // that returned right bytes
	shut  atomic.Int64 // that returned os.ErrClosed
}

// arenaFile is a file and what it holds. A scratch file is truncated and
// discarded too: its bytes are right or zero.
type arenaFile struct {
	name    string
	data    []byte
	scratch bool
}

// tenant is a Region in a slot.
type tenant struct {
	*mmap.Region
	file arenaFile
}

// newArena makes the files: each of its own length, from one byte to more than
// a copy takes at once.
func newArena(t *testing.T) *arena {
	a := &arena{t: t}
	dir := t.TempDir()
	for i, size := range []int{1, 5000, 16 << 10, 100_001, 300 << 10, 600<<10 + 7, 64 << 10, 200_000} {
		f := arenaFile{filepath.Join(dir, fmt.Sprint(i)), distinct(i, size), i >= 6}
		if err := os.WriteFile(f.name, f.data, 0o666); err != nil {
			t.Fatal(err)
		}
		a.files = append(a.files, f)
	}
	return a
}

// distinct returns bytes of which no other file has one at the same offset,
// and no file a zero.
func distinct(file, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte((file*31+i)%255) + 1
	}
	return b
}

// open puts a new Region into a slot and closes the one that was there.
func (a *arena) open(slot int, rng *rand.Rand) {
	f := a.files[rng.IntN(len(a.files))]
	opts := &mmap.Options{}
	switch rng.IntN(4) {
	case 0:
		opts.Prot = mmap.ProtRead | mmap.ProtWrite // mapped at once
	case 1:
		opts.Private = true
	}
	r, err := mmap.OpenFile(f.name, os.O_RDWR, 0, opts)
	switch {
	case err == nil:
		a.leave(a.slots[slot].Swap(&tenant{r, f}))
	case f.scratch && errors.Is(err, io.ErrUnexpectedEOF):
		// A guarantee for an empty file: somebody just cut it to nothing.
	default:
		a.t.Error(err)
	}
}

// leave closes the Region and proves that it is.
func (a *arena) leave(t *tenant) {
	if t == nil {
		return
	}
	if err := t.Close(); err != nil {
		a.t.Errorf("Close: %v", err)
	}
	if _, err := t.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		a.t.Errorf("ReadAt after Close: %v", err)
	}
	if err := t.Flush(); !errors.Is(err, os.ErrClosed) {
		a.t.Errorf("Flush after Close: %v", err)
	}
}

// right checks bytes read at off.
func (a *arena) right(t *tenant, call string, off int64, got []byte) {
	want := t.file.data[min(off, int64(len(t.file.data))):]
	if len(got) > len(want) {
		a.t.Errorf("%s read %d bytes at %d of %d", call, len(got), off, len(t.file.data))
		return
	}
	if bytes.Equal(got, want[:len(got)]) {
		a.calls.Add(1)
		return
	}
	for i, b := range got {
		if b != want[i] && !(t.file.scratch && b == 0) {
			a.t.Errorf("%s of %s: %d bytes at %d: foreign at %d: %d, then %v; it should be %v", call, t.file.name, len(got), off,
				off+int64(i), b, got[i+1:min(i+20, len(got))], want[i:min(i+20, len(want))])
			return
		}
	}
}

// allowed checks the error of a call.
func (a *arena) allowed(t *tenant, call string, err error, also ...error) {
	if err == nil || err == io.EOF {
		return
	}
	if errors.Is(err, os.ErrClosed) {
		a.shut.Add(1)
		return
	}
	for _, e := range also {
		if errors.Is(err, e) {
			return
		}
	}
	// A scratch file is cut under its Regions; what was cut and is there
	// again when the descriptor is asked, is EFAULT.
	if t.file.scratch && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrShortWrite) || errors.Is(err, sys.Fault)) {
		return
	}
	a.t.Errorf("%s of %s: %v", call, t.file.name, err)
}

// span returns a random range of the file, mostly a small one.
func (t *tenant) span(rng *rand.Rand) (off int64, n int) {
	size := len(t.file.data)
	at := rng.IntN(size)
	n = rng.IntN(min(size-at, 4000)) + 1
	if rng.IntN(16) == 0 {
		n = size - at
	}
	return int64(at), n
}

// An arenaCall is one method, called with random arguments.
type arenaCall struct {
	name   string
	weight int
	call   func(a *arena, t *tenant, rng *rand.Rand, buf []byte)
}

// arenaCalls are the methods that are played against Close.
var arenaCalls = []arenaCall{
	{"ReadAt", 40, func(a *arena, t *tenant, rng *rand.Rand, buf []byte) {
		off, n := t.span(rng)
		n, err := t.ReadAt(buf[:n], off)
		a.right(t, "ReadAt", off, buf[:n])
		a.allowed(t, "ReadAt", err)
	}},
	{"WriteAt", 20, func(a *arena, t *tenant, rng *rand.Rand, _ []byte) {
		off, n := t.span(rng)
		_, err := t.WriteAt(t.file.data[off:off+int64(n)], off)
		a.allowed(t, "WriteAt", err)
	}},
	{"View load", 20, func(a *arena, t *tenant, rng *rand.Rand, buf []byte) {
		off, n := t.span(rng)
		err := t.View(off, int64(n), func(b []byte) error {
			n = copy(buf, b)
			a.right(t, "View", off, buf[:n])
			return nil
		})
		a.allowed(t, "View", err)
	}},
	{"View store", 10, func(a *arena, t *tenant, rng *rand.Rand, _ []byte) {
		off, n := t.span(rng)
		err := t.View(off, int64(n), func(b []byte) error { copy(b, t.file.data[off:]); return nil })
		a.allowed(t, "View", err)
	}},
	{"Read", 10, func(a *arena, t *tenant, rng *rand.Rand, buf []byte) {
		// The cursor is shared: only one thing can be said of the bytes.
		_, err := t.Read(buf[:rng.IntN(3000)+1])
		a.allowed(t, "Read", err)
	}},
	{"ReadByte", 5, func(a *arena, t *tenant, _ *rand.Rand, _ []byte) {
		_, err := t.ReadByte()
		a.allowed(t, "ReadByte", err)
	}},
	{"Seek", 10, func(a *arena, t *tenant, rng *rand.Rand, _ []byte) {
		_, err := t.Seek(rng.Int64N(int64(len(t.file.data))), io.SeekStart)
		a.allowed(t, "Seek", err)
	}},
	{"At", 10, func(a *arena, t *tenant, rng *rand.Rand, buf []byte) {
		i := rng.IntN(len(t.file.data))
		v := panicOf(func() { buf[0] = t.At(i); a.right(t, "At", int64(i), buf[:1]) })
		if err, ok := v.(*mmap.FaultError); ok {
			a.allowed(t, "At", err)
		} else if v != nil && !t.file.scratch {
			_, err := t.ReadAt(buf[:1], 0)
			a.allowed(t, fmt.Sprintf("At, which panics with %v", v), err)
		}
	}},
	{"WriteTo", 2, func(a *arena, t *tenant, _ *rand.Rand, _ []byte) {
		_, err := t.WriteTo(struct{ io.Writer }{io.Discard})
		a.allowed(t, "WriteTo", err)
	}},
	{"Flush", 1, func(a *arena, t *tenant, _ *rand.Rand, _ []byte) {
		a.allowed(t, "Flush", t.Flush(), errors.ErrUnsupported)
	}},
	{"FlushRange", 1, func(a *arena, t *tenant, rng *rand.Rand, _ []byte) {
		off, n := t.span(rng)
		a.allowed(t, "FlushRange", t.FlushRange(off, int64(n)), errors.ErrUnsupported)
	}},
	{"FlushAsync", 2, func(a *arena, t *tenant, rng *rand.Rand, _ []byte) {
		off, n := t.span(rng)
		a.allowed(t, "FlushAsync", t.FlushAsync(off, int64(n)), errors.ErrUnsupported)
	}},
	{"Truncate", 10, func(a *arena, t *tenant, rng *rand.Rand, _ []byte) {
		size := len(t.file.data)
		if t.file.scratch {
			size = rng.IntN(size + 1)
		}
		a.allowed(t, "Truncate", t.Truncate(int64(size)), errors.ErrUnsupported)
	}},
	{"Stat", 5, func(a *arena, t *tenant, _ *rand.Rand, _ []byte) {
		_, err := t.Stat()
		a.allowed(t, "Stat", err)
		if t.Name() != t.file.name || t.Size() > int64(len(t.file.data)) || t.Len() > len(t.file.data) {
			a.t.Errorf("%s: Name %s, Size %d, Len %d", t.file.name, t.Name(), t.Size(), t.Len())
		}
	}},
	{"Bytes", 3, func(a *arena, t *tenant, _ *rand.Rand, _ []byte) {
		// To touch them would be a crash, as promised.
		if b := t.Bytes(); len(b) > len(t.file.data) || cap(b) != len(b) {
			a.t.Errorf("Bytes of %s: length %d, capacity %d", t.file.name, len(b), cap(b))
		}
	}},
	{"Advise", 5, func(a *arena, t *tenant, rng *rand.Rand, _ []byte) {
		off, n := t.span(rng)
		for _, advice := range []mmap.Advice{mmap.AdviceRandom, mmap.AdviceWillNeed, mmap.AdviceNormal} {
			a.allowed(t, "Advise", t.Advise(off, int64(n), advice), errors.ErrUnsupported)
		}
	}},
	{"Resident", 3, func(a *arena, t *tenant, rng *rand.Rand, _ []byte) {
		off, n := t.span(rng)
		_, err := t.Resident(off, int64(n))
		a.allowed(t, "Resident", err, errors.ErrUnsupported)
	}},
	{"Protect", 4, func(a *arena, t *tenant, _ *rand.Rand, _ []byte) {
		err := t.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite)
		a.allowed(t, "Protect", err, errors.ErrUnsupported)
	}},
	{"Lock", 2, func(a *arena, t *tenant, _ *rand.Rand, _ []byte) {
		// RLIMIT_MEMLOCK, and pages cut off, are ENOMEM or EAGAIN.
		if err := t.Lock(0, 1); errors.Is(err, os.ErrClosed) {
			a.shut.Add(1)
		}
		_ = t.Unlock(0, 1)
	}},
	{"SyscallConn", 1, func(a *arena, t *tenant, _ *rand.Rand, _ []byte) {
		conn, err := t.SyscallConn()
		if err == nil {
			err = conn.Control(func(uintptr) {})
		}
		a.allowed(t, "SyscallConn", err, errors.ErrUnsupported)
	}},
}

// play makes random calls on random tenants.
func (a *arena) play(seed uint64) {
	rng := rand.New(rand.NewPCG(2, seed))
	buf := make([]byte, 1<<20)
	total := 0
	for _, c := range arenaCalls {
		total += c.weight
	}
	for !a.stop.Load() && !a.t.Failed() {
		t := a.slots[rng.IntN(len(a.slots))].Load()
		pick, at := rng.IntN(total), 0
		for pick >= arenaCalls[at].weight {
			pick -= arenaCalls[at].weight
			at++
		}
		arenaCalls[at].call(a, t, rng, buf)
	}
}

// TestCloseAgainstEverything: every method runs beside Close, on Regions over
// files that hold different bytes, for ten seconds of processor time (two with
// -short). Every result is the file's bytes or os.ErrClosed.
func TestCloseAgainstEverything(t *testing.T) {
	enough := 10 * time.Second
	if testing.Short() {
		enough = 2 * time.Second
	}
	a := newArena(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range a.slots {
		for a.slots[i].Load() == nil {
			a.open(i, rng)
		}
	}
	var workers sync.WaitGroup
	for i := range 6 {
		workers.Go(func() { a.play(uint64(i)) })
	}
	for begin := cpuTime(); cpuTime()-begin < enough && !t.Failed(); {
		for range 100 {
			a.open(rng.IntN(len(a.slots)), rng)
		}
	}
	a.stop.Store(true)
	workers.Wait()
	for i := range a.slots {
		a.leave(a.slots[i].Swap(nil))
	}
	if a.calls.Load() == 0 || a.shut.Load() == 0 {
		t.Errorf("%d calls returned bytes, %d os.ErrClosed: nothing was proved", a.calls.Load(), a.shut.Load())
	}
	t.Logf("%d calls returned bytes, %d os.ErrClosed", a.calls.Load(), a.shut.Load())
	for _, f := range a.files {
		if got, err := os.ReadFile(f.name); err != nil || !f.scratch && !bytes.Equal(got, f.data) {
			t.Errorf("%s does not hold what was written: %v", f.name, err)
		}
	}
}

// TestClosed: after Close every method with an error returns os.ErrClosed, and
// the others say that there is nothing.
func TestClosed(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		name := newFile(t, pattern(1, 10_000))
		open := openRegion
		if mapped {
			needsMemory(t)
			open = openMapped
		}
		r := open(t, name, os.O_RDWR, nil)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		for what, call := range closedCalls {
			err := call(r)
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("mapped=%v: %s after Close: %v", mapped, what, err)
			}
		}
		if r.Len() != 0 || r.Size() != 0 || r.Bytes() != nil || r.Name() != name || r.Fd() != ^uintptr(0) {
			t.Errorf("after Close: Len %d, Size %d, Bytes %d, Name %s", r.Len(), r.Size(), len(r.Bytes()), r.Name())
		}
		fault, ok := panicOf(func() { r.At(0) }).(*mmap.FaultError)
		if !ok || fault.Err != os.ErrClosed {
			t.Errorf("At after Close panics with %v", fault)
		}
	}
}

// closedCalls are the methods of a Region that return an error.
var closedCalls = map[string]func(r *mmap.Region) error{
	"Close":        func(r *mmap.Region) error { return r.Close() },
	"Read":         func(r *mmap.Region) error { _, err := r.Read(make([]byte, 1)); return err },
	"Read nothing": func(r *mmap.Region) error { _, err := r.Read(nil); return err },
	"ReadAt":       func(r *mmap.Region) error { _, err := r.ReadAt(make([]byte, 1), 0); return err },
	"ReadByte":     func(r *mmap.Region) error { _, err := r.ReadByte(); return err },
	"UnreadByte":   func(r *mmap.Region) error { return r.UnreadByte() },
	"WriteTo":      func(r *mmap.Region) error { _, err := r.WriteTo(io.Discard); return err },
	"Seek":         func(r *mmap.Region) error { _, err := r.Seek(0, io.SeekStart); return err },
	"Write":        func(r *mmap.Region) error { _, err := r.Write(make([]byte, 1)); return err },
	"WriteAt":      func(r *mmap.Region) error { _, err := r.WriteAt(make([]byte, 1), 0); return err },
	"WriteByte":    func(r *mmap.Region) error { return r.WriteByte(1) },
	"WriteString":  func(r *mmap.Region) error { _, err := r.WriteString("x"); return err },
	"ReadFrom":     func(r *mmap.Region) error { _, err := r.ReadFrom(bytes.NewReader([]byte{1})); return err },
	"Stat":         func(r *mmap.Region) error { _, err := r.Stat(); return err },
	"Truncate":     func(r *mmap.Region) error { return r.Truncate(1) },
	"Sync":         func(r *mmap.Region) error { return r.Sync() },
	"SyscallConn":  func(r *mmap.Region) error { _, err := r.SyscallConn(); return err },
	"View":         func(r *mmap.Region) error { return r.View(0, 1, func([]byte) error { return nil }) },
	"View nothing": func(r *mmap.Region) error { return r.View(0, 0, func([]byte) error { return nil }) },
	"Flush":        func(r *mmap.Region) error { return r.Flush() },
	"FlushRange":   func(r *mmap.Region) error { return r.FlushRange(0, 1) },
	"FlushAsync":   func(r *mmap.Region) error { return r.FlushAsync(0, 1) },
	"Advise":       func(r *mmap.Region) error { return r.Advise(0, 1, mmap.AdviceNormal) },
	"Prefetch":     func(r *mmap.Region) error { return r.Prefetch(mmap.Span{Len: 1}) },
	"Resident":     func(r *mmap.Region) error { _, err := r.Resident(0, 1); return err },
	"CacheStat":    func(r *mmap.Region) error { _, err := r.CacheStat(0, 1); return err },
	"Lock":         func(r *mmap.Region) error { return r.Lock(0, 1) },
	"Unlock":       func(r *mmap.Region) error { return r.Unlock(0, 1) },
	"Protect":      func(r *mmap.Region) error { return r.Protect(0, 1, mmap.ProtRead) },
	"Allocate":     func(r *mmap.Region) error { return r.Allocate(0, 1) },
	"Evict":        func(r *mmap.Region) error { return r.Evict(0, 1) },
	"Reserve":      func(r *mmap.Region) error { return r.Reserve(0, 1) },
	"Discard":      func(r *mmap.Region) error { return r.Discard(0, 1) },
	"ViewChunks":   func(r *mmap.Region) error { return r.ViewChunks(0, 1, 0, 0, func(int64, []byte) error { return nil }) },
	"ViewSlice":    func(r *mmap.Region) error { return mmap.ViewSlice(r, 0, 1, func([]byte) error { return nil }) },
	"Release":      func(r *mmap.Region) error { return r.Release(0, 1) },
	"Mapped":       func(r *mmap.Region) error { return r.Mapped() },
	"Refresh":      func(r *mmap.Region) error { _, err := r.Refresh(); return err },
	"Chmod":        func(r *mmap.Region) error { return r.Chmod(0o600) },
	"Chown":        func(r *mmap.Region) error { return r.Chown(-1, -1) },
	"SetDeadline":  func(r *mmap.Region) error { return r.SetDeadline(time.Time{}) },
	"SetReadDeadline": func(r *mmap.Region) error {
		return r.SetReadDeadline(time.Time{})
	},
	"SetWriteDeadline": func(r *mmap.Region) error {
		return r.SetWriteDeadline(time.Time{})
	},
	"File":    func(r *mmap.Region) error { _, err := r.File(); return err },
	"Seal":    func(r *mmap.Region) error { return r.Seal(mmap.SealGrow) },
	"Slice":   func(r *mmap.Region) error { _, err := mmap.Slice[uint32](r, 0, 1); return err },
	"Pointer": func(r *mmap.Region) error { _, err := mmap.Pointer[uint32](r, 0); return err },
}

// TestClosedIsComplete: a method that is added to Region, and returns an error,
// is added to closedCalls.
func TestClosedIsComplete(t *testing.T) {
	region := reflect.TypeFor[*mmap.Region]()
	for i := range region.NumMethod() {
		m := region.Method(i)
		returns := m.Type.NumOut()
		if returns == 0 || m.Type.Out(returns-1) != reflect.TypeFor[error]() {
			continue
		}
		if closedCalls[m.Name] == nil {
			t.Errorf("%s is not tested after Close", m.Name)
		}
	}
}

// TestInvalid: every method of a nil Region, and of one that no function of the
// package made, returns os.ErrInvalid as those of a nil *os.File do, and touches
// nothing: least of all the descriptor 0.
func TestInvalid(t *testing.T) {
	stdin, err := os.Stdin.Stat()
	if err != nil {
		t.Skip("no standard input: ", err)
	}
	for kind, r := range map[string]*mmap.Region{"nil": nil, "zero": new(mmap.Region)} {
		for name, call := range closedCalls {
			if err := call(r); !errors.Is(err, os.ErrInvalid) {
				t.Errorf("%s of a %s Region: %v", name, kind, err)
			}
		}
		if err := r.Close(); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("Close of a %s Region: %v", kind, err)
		}
		if r.Name() != "" || r.Size() != 0 || r.Len() != 0 || r.Bytes() != nil || r.Fd() != ^uintptr(0) {
			t.Errorf("a %s Region has something", kind)
		}
		if v := panicOf(func() { r.At(0) }); v == nil {
			t.Errorf("At of a %s Region returns", kind)
		}
	}
	if now, err := os.Stdin.Stat(); err != nil || now.Size() != stdin.Size() {
		t.Errorf("standard input changed: %v", err)
	}
}

// TestCloseIsOneMoment: once any call has returned os.ErrClosed, no call that
// begins later succeeds, of whichever goroutine and however it is served.
func TestCloseIsOneMoment(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 300
	}
	name := newFile(t, pattern(1, 64<<10))
	for round := range rounds {
		r := openRegion(t, name, os.O_RDWR, nil)
		if round%2 == 0 {
			_ = r.View(0, 1, func([]byte) error { return nil })
			for range 3 {
				_, _ = r.WriteAt([]byte{1}, 5)
			}
		}
		var moment atomic.Bool // some call has returned os.ErrClosed
		watch := func(calls ...func() error) func() {
			return func() {
				for i := 0; i < 200; i++ {
					for _, call := range calls {
						was := moment.Load()
						switch err := call(); {
						case errors.Is(err, os.ErrClosed):
							moment.Store(true)
						case err == nil && was:
							t.Errorf("round %d: a call succeeds after another said os.ErrClosed", round)
							return
						}
					}
				}
			}
		}
		b := make([]byte, 10)
		parallel(
			watch(func() error { _, err := r.WriteAt([]byte{1}, 5); return err }, func() error { _, err := r.Seek(0, io.SeekStart); return err }),
			watch(func() error { _, err := r.ReadAt(b, 5); return err }, func() error { _, err := r.Stat(); return err }),
			watch(func() error { return r.Flush() }, func() error { return r.Truncate(64 << 10) }),
			func() { runtime.Gosched(); r.Close() },
		)
		if t.Failed() {
			return
		}
	}
}

// TestSizeBesideClose: beside a Close the size is that of the file or 0, also where it
// has to be asked for after an append.
func TestSizeBesideClose(t *testing.T) {
	name := newFile(t, nil)
	for round := range 5000 {
		r := openRegion(t, name, os.O_WRONLY|os.O_APPEND, nil)
		if _, err := r.Write([]byte("12345")); err != nil {
			t.Fatal(err)
		}
		want := int64(5 * (round + 1))
		ask := func() {
			if size := r.Size(); size != want && size != 0 {
				t.Errorf("round %d: Size = %d, neither %d nor 0", round, size, want)
			}
		}
		parallel(ask, func() { r.Close() }, ask, ask, ask)
		if t.Failed() {
			return
		}
	}
}

// TestCloseInView: a Close while a callback of View holds the bytes makes the
// next touch a *FaultError with os.ErrClosed, whether this goroutine or
// another one closes.
func TestCloseInView(t *testing.T) {
	needsMemory(t)
	for name, closing := range map[string]func(r *mmap.Region){
		"same goroutine":  func(r *mmap.Region) { r.Close() },
		"other goroutine": func(r *mmap.Region) { parallel(func() { r.Close() }) },
	} {
		t.Run(name, func(t *testing.T) {
			r := openMapped(t, newFile(t, pattern(1, 20_000)), os.O_RDWR, nil)
			err := r.View(0, mmap.ToEnd, func(b []byte) error {
				keep(uint64(b[0]))
				closing(r)
				keep(uint64(b[15_000]))
				t.Error("the bytes can be touched after Close")
				return nil
			})
			checkFault(t, err, r, 15_000, 15_001, os.ErrClosed)
		})
	}
}

// TestCloseNil: as in os, a Close of what Open did not return is an error.
func TestCloseNil(t *testing.T) {
	var f *os.File
	var r *mmap.Region
	if got, want := r.Close(), f.Close(); got != want {
		t.Errorf("Close = %v, os says %v", got, want)
	}
}
