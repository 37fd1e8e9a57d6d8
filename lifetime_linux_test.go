package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/seed-93fed273/mmap"
)

// lives are the ways in which a Region can have lived before its Close.
var lives = []func(r *mmap.Region) error{
	func(r *mmap.Region) error { // never mapped
		_, err := r.ReadAt(make([]byte, 8), 0)
		return err
	},
	func(r *mmap.Region) error { // mapped
		return r.View(0, 8, func(b []byte) error { keep(uint64(b[0])); return nil })
	},
	func(r *mmap.Region) error { // handed out
		if r.Bytes() == nil {
			return fmt.Errorf("not mapped: %+v", mmap.ReadLedger())
		}
		return nil
	},
}

// TestManyRounds: 200 000 rounds of opening, using and closing (20 000 with
// -short) leave the numbers of maps and descriptors where they were, and every
// Region is still mapped: closed ones do not use the library's allowance up.
func TestManyRounds(t *testing.T) { manyRounds(t, "100") }

// TestManyRoundsGCOff: so they do when only the library ever collects.
func TestManyRoundsGCOff(t *testing.T) { manyRounds(t, "off") }

// manyRounds plays rounds in a child process, whose collector nobody else
// keeps busy.
func manyRounds(t *testing.T, gogc string) {
	t.Parallel()
	if cmd := child(t, "GOGC="+gogc); cmd != nil {
		succeed(t, cmd)
		return
	}
	rounds := 200_000
	if testing.Short() {
		rounds = 20_000
	}
	name := newFile(t, pattern(1, 5000))
	playRound(t, name, lives[1])
	maps, files := len(mapLines()), len(descriptors())
	for i := range rounds {
		playRound(t, name, lives[i%len(lives)])
		if i%2000 == 0 {
			checkBound(t, maps, files)
			checkCollects(t, name)
		}
	}
	checkBound(t, maps, files)
	if !settle(given) {
		t.Errorf("after collections there are %+v", mmap.ReadLedger())
	}
	checkMaps(t, maps, mmap.ReadLedger().Grave+1000) // the runtime has some of its own
}

// playRound is one round.
func playRound(t *testing.T, name string, use func(*mmap.Region) error) {
	r, err := mmap.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := use(r); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkBound fails when more is held than the library promises, in the middle
// of things: closed ranges wait for a collection, and handed out ones in the
// quarantine, but never more than a quarter of the system's limit.
func checkBound(t *testing.T, maps, files int) {
	t.Helper()
	if n := len(descriptors()); n > files+2 {
		t.Fatalf("%d descriptors are open, %d were", n, files)
	}
	if l := mmap.ReadLedger(); l.Held > mmap.MapLimit() {
		t.Fatalf("%+v, the limit is %d", l, mmap.MapLimit())
	}
	checkMaps(t, maps, mmap.MapLimit())
}

// checkCollects fails when half the limit waits for a collection and none comes.
// How long one takes, and how much closes meanwhile, is the scheduler's affair:
// it is under way, or the next Close starts it.
func checkCollects(t *testing.T, name string) {
	t.Helper()
	half := mmap.MapLimit() / 2
	if l := mmap.ReadLedger(); l.Collecting || l.Dead <= half {
		return
	}
	before := collections()
	playRound(t, name, lives[1])
	if l := mmap.ReadLedger(); l.Dead > half && !l.Collecting && collections() == before {
		t.Fatalf("nobody collects: %+v", l)
	}
}

// collections returns how many collections there were.
func collections() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumGC
}

// checkMaps fails when the process has over more maps than before.
func checkMaps(t *testing.T, before, over int) {
	t.Helper()
	if n := len(mapLines()); n > before+over {
		t.Fatalf("%d maps, %d were and %d more are allowed; %+v", n, before, over, mmap.ReadLedger())
	}
}

// dropMapped opens and maps a Region and forgets it.
//
//go:noinline
func dropMapped(t *testing.T, name string, use func(r *mmap.Region)) {
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.View(0, 1, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	use(r)
	if len(mapsOf(name)) == 0 {
		t.Fatal("it was not mapped at all")
	}
}

// gone reports whether collections make the file's maps and descriptors go.
func gone(name string) bool {
	return settle(func(mmap.Ledger) bool {
		for _, to := range descriptors() {
			if to == name {
				return false
			}
		}
		return len(mapsOf(name)) == 0
	})
}

// TestDropped: a Region dropped without Close is unmapped, and its descriptor
// closed, by the collector.
func TestDropped(t *testing.T) {
	for what, use := range map[string]func(r *mmap.Region){
		"mapped":  func(*mmap.Region) {},
		"written": func(r *mmap.Region) { r.WriteAt([]byte("kept"), 0) },
		"cut":     func(r *mmap.Region) { r.Truncate(5000) },
		"grown":   func(r *mmap.Region) { growAnew(t, r) },
	} {
		t.Run(what, func(t *testing.T) {
			name := newFile(t, pattern(1, 20_000))
			dropMapped(t, name, use)
			if !gone(name) {
				t.Fatalf("still there: %q, %v", mapsOf(name), mmap.ReadLedger())
			}
		})
	}
}

// TestDroppedBytes: memory whose bytes were handed out stays, whatever became
// of the Region: the slice is all there is, and it shows the file.
func TestDroppedBytes(t *testing.T) {
	if cmd := child(t); cmd != nil {
		succeed(t, cmd)
		return
	}
	data := pattern(1, 20_000)
	name := newFile(t, data)
	var b []byte
	var word *uint64
	dropMapped(t, name, func(r *mmap.Region) {
		b = r.Bytes()
		p, err := mmap.Pointer[uint64](r, 8)
		if err != nil {
			t.Fatal(err)
		}
		word = p
	})
	before := *word
	for range 20 {
		mmap.Collect()
	}
	if !bytes.Equal(b, data) || *word != before {
		t.Fatal("the bytes changed")
	}
	b[3], data[3] = 77, 77
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
		t.Fatal("a store through the slice is not in the file")
	}
	// The process ends with it: TestMain of the child must not complain.
	leaveRaw = true
}

// collecting runs the collector until stop is called.
func collecting() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	}()
	return func() { close(done); <-ended }
}

// TestUnreachableDuringCall: a Region that nobody holds but the method in
// progress is not unmapped under it, however often the collector runs.
func TestUnreachableDuringCall(t *testing.T) {
	data := pattern(1, 16<<20)
	name := newFile(t, data)
	open := func() *mmap.Region {
		r, err := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Prot: mmap.ProtRead | mmap.ProtWrite})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	defer collecting()()
	p := bytes.Clone(data)
	for what, call := range map[string]func() error{
		"ReadAt":  func() error { _, err := open().ReadAt(p, 0); return err },
		"WriteAt": func() error { _, err := open().WriteAt(data, 0); return err },
		"View": func() error {
			return open().View(0, mmap.ToEnd, func(b []byte) error {
				for i := 0; i < len(b); i += 1 << 20 {
					runtime.GC()
					copy(p[i:], b[i:min(len(b), i+1<<20)])
				}
				return nil
			})
		},
		"WriteTo": func() error {
			w := bytes.NewBuffer(p[:0])
			_, err := open().WriteTo(struct{ io.Writer }{w})
			return err
		},
		"Flush": func() error { return open().Flush() },
		"At": func() error {
			for i := range 1000 {
				p[i] = open().At(i)
				if i%100 == 0 {
					mmap.Collect()
				}
			}
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			for range 5 {
				if err := call(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(p, data) && what != "Flush" && what != "WriteAt" {
					t.Fatalf("wrong byte at %d", differ(p, data))
				}
				copy(p, data)
			}
		})
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
		t.Fatal("the file changed: ", err)
	}
	if !gone(name) {
		t.Fatalf("still mapped: %q", mapsOf(name))
	}
}

// TestStaleBytes: a slice of Bytes that is used after Close, after collections
// and after another file of the same size was mapped many times, faults. It
// never shows the other file.
func TestStaleBytes(t *testing.T) {
	if cmd := child(t); cmd != nil {
		crash(t, cmd)
		return
	}
	size := 4 * os.Getpagesize()
	first, second := newFile(t, pattern(1, size)), newFile(t, bytes.Repeat([]byte{0xEE}, size))
	r, err := mmap.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	stale := r.Bytes()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = nil
	at := uintptr(unsafe.Pointer(&stale[0]))
	for i := range 500 {
		other, err := mmap.Open(second)
		if err != nil {
			t.Fatal(err)
		}
		// Mapped, by other means too: not in quarantine themselves.
		if err := other.View(0, mmap.ToEnd, func(b []byte) error { return sameAddress(b, at, size) }); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			defer other.Close()
		} else if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			mmap.Collect()
		}
	}
	if found := protections(t, at, size); len(found) != 1 || !strings.HasPrefix(found[0], "---") {
		t.Fatalf("the stale addresses are %v", found)
	}
	fmt.Println("read", stale[size/2]) // the crash
	os.Exit(0)
}

// sameAddress is an error if b lies at the stale addresses.
func sameAddress(b []byte, at uintptr, n int) error {
	if p := uintptr(unsafe.Pointer(&b[0])); p < at+uintptr(n) && at < p+uintptr(len(b)) {
		return errors.New("another file lies at the stale addresses")
	}
	return nil
}

// TestMapLimit: beyond the number of maps that the library allows itself
// Regions work by their descriptor, and say why they show no memory. When
// others were closed, they map again.
func TestMapLimit(t *testing.T) {
	if cmd := child(t); cmd != nil {
		t.Parallel()
		succeed(t, cmd)
		return
	}
	if text, err := os.ReadFile("/proc/sys/vm/max_map_count"); err == nil {
		var most int
		if _, err := fmt.Sscan(string(text), &most); err != nil || mmap.MapLimit() > most/4 {
			t.Fatalf("the library maps up to %d times, the system %d, %v", mmap.MapLimit(), most, err)
		}
	}
	data := pattern(1, 3*os.Getpagesize())
	name := newFile(t, data)
	held := fillMaps(t, name)
	r := openRegion(t, name, os.O_RDWR, nil)
	checkUnmapped(t, r, data, "max_map_count")
	if _, err := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Private: true}); err == nil || !strings.Contains(err.Error(), "Private") {
		t.Errorf("a private Region at the limit: %v", err)
	}
	if l := mmap.ReadLedger(); l.Held != mmap.MapLimit() {
		t.Errorf("%+v at the limit of %d", l, mmap.MapLimit())
	}
	for _, h := range held[len(held)/2:] {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !settle(func(l mmap.Ledger) bool { return l.Held <= mmap.MapLimit()/2+1 }) {
		t.Fatalf("%+v after half of them were closed", mmap.ReadLedger())
	}
	if err := r.View(0, mmap.ToEnd, func([]byte) error { return nil }); err != nil {
		t.Errorf("View after half of them were closed: %v", err)
	}
	for _, h := range held[:len(held)/2] {
		h.Close()
	}
}

// fillMaps maps as many Regions as the library allows: of the file as far as
// there are descriptors, and without a file from there on.
func fillMaps(t *testing.T, name string) (held []*mmap.Region) {
	t.Helper()
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	for i := range mmap.MapLimit() {
		if uint64(i)+100 > uint64(files.Cur) {
			r, err := mmap.Anonymous(1, nil)
			if err != nil {
				t.Fatal(i, err)
			}
			held = append(held, r)
			continue
		}
		held = append(held, openMapped(t, name, os.O_RDONLY, nil))
	}
	return held
}

// checkUnmapped checks a Region that has no memory: reads and writes are right,
// Bytes is nil, and View gives the reason.
func checkUnmapped(t *testing.T, r *mmap.Region, data []byte, reason string) {
	t.Helper()
	p := make([]byte, len(data))
	if n, err := r.ReadAt(p, 0); n != len(data) || err != nil || !bytes.Equal(p, data) {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
	for i := range 40 { // more than it takes to map, were that possible
		if b := r.At(i * 7); b != data[i*7] {
			t.Errorf("At(%d) = %d, not %d", i*7, b, data[i*7])
		}
		if n, err := r.WriteAt(data[i:i+9], int64(i)); n != 9 || err != nil {
			t.Errorf("WriteAt = %d, %v", n, err)
		}
	}
	if b := r.Bytes(); b != nil {
		t.Errorf("Bytes has %d bytes", len(b))
	}
	err := r.View(0, mmap.ToEnd, func([]byte) error { t.Error("View has bytes"); return nil })
	if err == nil || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), r.Name()) {
		t.Errorf("View: %v; want an error with %q and the file's name", err, reason)
	}
	if err := r.Flush(); err != nil {
		t.Errorf("Flush: %v", err)
	}
}

// TestAddressLimit: a file that does not fit into RLIMIT_AS works by its
// descriptor, and one that fits without room to grow is mapped without.
func TestAddressLimit(t *testing.T) {
	if cmd := child(t); cmd != nil {
		t.Parallel()
		succeed(t, cmd)
		return
	}
	const mega = 1 << 20
	unit := int64(mega) // so large that the addresses which the runtime takes meanwhile do not matter
	if unsafe.Sizeof(uintptr(0)) > 4 {
		unit = 8 * mega
	}
	limit := syscall.Rlimit{Cur: addressesUsed(t) + uint64(256*unit), Max: ^uint64(0)}
	if err := setAddressLimit(&limit); err != nil {
		t.Skip("RLIMIT_AS cannot be set: ", err)
	}
	data := pattern(1, 10_000)
	for _, c := range []struct {
		size   int64
		mapped bool
	}{{1024 * unit, false}, {150 * unit, true}, {mega, true}} {
		name := newFile(t, data)
		cutFile(t, name, c.size)
		r := openRegion(t, name, os.O_RDWR, nil)
		if !c.mapped {
			checkUnmapped(t, r, data, "cannot allocate memory")
			continue
		}
		if err := r.View(0, mmap.ToEnd, func(b []byte) error { return sameBytes(b[:len(data)], data) }); err != nil {
			t.Errorf("View of %d bytes: %v", c.size, err)
		}
		r.Close()
	}
}

// TestAddressesOfDropped: the addresses of Regions that were dropped without a
// Close are there for others, although no collection came by itself.
func TestAddressesOfDropped(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		t.Skip("the runtime itself does not survive the limit")
	}
	if cmd := child(t); cmd != nil {
		t.Parallel()
		succeed(t, cmd)
		return
	}
	debug.SetGCPercent(-1)
	const size, count = 16 << 20, 300
	// What is left at the last failure is for the runtime, which needs some too.
	limit := syscall.Rlimit{Cur: addressesUsed(t) + size*count/2 + size, Max: ^uint64(0)}
	if err := setAddressLimit(&limit); err != nil {
		t.Skip("RLIMIT_AS cannot be set: ", err)
	}
	name := newFile(t, nil)
	cutFile(t, name, size)
	for i := range count {
		r, err := mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Prot: mmap.ProtRead | mmap.ProtWrite})
		if err != nil {
			t.Fatalf("Region %d: %v", i, err)
		}
		_ = r.At(i)
	}
}

// sameBytes is an error unless a and b are equal.
func sameBytes(a, b []byte) error {
	if !bytes.Equal(a, b) {
		return fmt.Errorf("%d bytes and %d bytes differ at %d", len(a), len(b), differ(a, b))
	}
	return nil
}

// addressesUsed returns how many bytes of addresses the process has.
func addressesUsed(t *testing.T) uint64 {
	t.Helper()
	var pages uint64
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		t.Fatal(err)
	}
	return pages * uint64(os.Getpagesize())
}

// setAddressLimit sets RLIMIT_AS, keeping the hard limit.
func setAddressLimit(limit *syscall.Rlimit) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &now); err != nil {
		return err
	}
	limit.Max = now.Max
	return syscall.Setrlimit(syscall.RLIMIT_AS, limit)
}

// TestQuarantineBytes: closed memory that was handed out is kept from reuse up
// to a bound of addresses, and no further: opening a large file again and again
// with its bytes handed out does not run out of them.
func TestQuarantineBytes(t *testing.T) {
	if cmd := child(t); cmd != nil {
		t.Parallel()
		succeed(t, cmd)
		return
	}
	if unsafe.Sizeof(uintptr(0)) == 4 {
		t.Skip("there are no addresses to set aside on a 32-bit system")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	name := filepath.Join(t.TempDir(), "sparse")
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	cutFile(t, name, 1<<40)
	for i := range 160 { // 160 TiB, of 128
		r, err := mmap.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.View(0, 1, func([]byte) error { return nil }); err != nil {
			t.Fatalf("round %d: %v; %+v", i, err, mmap.ReadLedger())
		}
		keep(uint64(len(r.Bytes())))
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAddressLimitNoStorm: appends to a file that outgrew what addresses there are do
// not each try to map it.
func TestAddressLimitNoStorm(t *testing.T) {
	needsMemory(t)
	if cmd := child(t); cmd != nil {
		t.Parallel()
		succeed(t, cmd)
		return
	}
	const mega = 1 << 20
	unit := int64(mega) // as in TestAddressLimit
	if unsafe.Sizeof(uintptr(0)) > 4 {
		unit = 8 * mega
	}
	limit := syscall.Rlimit{Cur: addressesUsed(t) + uint64(256*unit), Max: ^uint64(0)}
	if err := setAddressLimit(&limit); err != nil {
		t.Skip("RLIMIT_AS cannot be set: ", err)
	}
	r := openRegion(t, newFile(t, pattern(1, mega)), os.O_RDWR, nil)
	if err := r.View(0, 1, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.Truncate(1024 * unit); err != nil {
		t.Fatal(err)
	}
	first := mmap.ReadStats().MappingsFailed
	for range 200 {
		if _, err := r.WriteAt([]byte{1}, r.Size()); err != nil {
			t.Fatal(err)
		}
	}
	if n := mmap.ReadStats().MappingsFailed - first; n > 10 {
		t.Errorf("%d attempts to map failed in 200 appends", n)
	}
}
