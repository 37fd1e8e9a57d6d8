package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"weak"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Region is a file, or a part of one, mapped into memory. It is used as an
// [os.File] is: what memory serves correctly comes from memory, and everything
// else from a descriptor of its own, with the counts and errors of the system.
// [Anonymous] makes one without a file.
//
// Every method may be called at any time from any goroutine, Close included.
// ReadAt, WriteAt inside the file, View and Bytes never wait for one another.
// Read, Write, Seek and their kin share one cursor. After Close a method that
// has anything to do returns an error for which errors.Is(err, os.ErrClosed)
// holds; arguments that are wrong by themselves may be another error, as in os.
//
// A Region that is dropped without Close is given back by the garbage
// collector, unless its bytes were handed out by [Region.Bytes], [Slice] or
// [Pointer]: such memory stays until Close.
//
// Offsets and lengths are bytes, counted from the Region's first byte.
type Region struct {
	// m is the current mapping; nil while there is none, and after Close.
	// Readers and in-bounds writers look at nothing else.
	m atomic.Pointer[mapping]

	// What never changes after opening.
	descriptor
	name         string
	base         int64    // the file's offset of the Region's byte 0
	window       int64    // its fixed length; 0: it follows the end of the file
	prot         sys.Prot // what the memory allows
	flags        sys.Flag // of every mapping made for it
	fdWritable   bool     // the descriptor allows writing
	explicitProt bool     // the caller chose prot: the descriptor is no way round it
	appendMode   bool     // O_APPEND: the descriptor says where a Write goes
	syncWrites   bool     // O_SYNC, O_DSYNC: writes go by the descriptor
	unsized      bool     // not a file with a size: everything goes by the descriptor
	access       Access   // who serves reads and writes, as the caller wants it
	neverMapped  error    // why everything goes by the descriptor; nil: it may be mapped
	ownOffset    bool     // the descriptor's offset is ours to move

	size           atomic.Int64 // bytes of the Region, as last seen
	fdCalls        atomic.Int32 // calls that memory might have served
	inAger         atomic.Bool  // in the register of resident.go
	noCachestat    atomic.Bool  // the system does not say what is cached
	noNowait       atomic.Bool  // reading what is cached cannot be had without waiting
	sizeStale      atomic.Bool  // we made the file grow, and have not asked how long it is now
	pendingExtends atomic.Int32 // writes past the end under way that must find the last page clean
	closed         atomic.Bool  // set under mu
	escapedEnd     atomic.Int64 // up to where writable bytes were handed out; set under mu
	stickyErr      atomic.Value // of failure: the first lost write, never forgotten
	shrinkErr      atomic.Value // of failure: what the next Flush has to report
	cursor         cursor       // of Read, Write and Seek
	writeSealed    atomic.Bool  // SealWrite, by whomever: no mapping is writable any more; set under mu
	flushMu        sync.Mutex   // held while a Flush answers for what was stored before it
	attrs          layoutCell   // what the caller made of the memory; set under mu

	// mu is the control lock: opening and closing of mappings, changes of
	// the size by this Region, and every system call that changes what the
	// memory is hold it. It guards what follows. Who needs the cursor's lock
	// as well takes that one first.
	mu           sync.Mutex
	oldRanges    []weak.Pointer[addrRange] // earlier mappings that may still be in use
	dirtyEnd     *atomic.Int64             // the current mapping's end
	eofPage      sys.EOFPage               // what becomes of bytes past the end in the last page; known while mapped
	eofPageDirty bool                      // bytes may have been stored there, and would show
	mapErr       error                     // why the last attempt to map failed
	viewOnly     bool                      // mapped privately, because it cannot be shared: memory may differ from the descriptor
}

// ReaderAt is the name this type has in golang.org/x/exp/mmap, so that a
// changed import is all it takes to come from there.
type ReaderAt = Region

// lead returns how many bytes of every mapping lie before the Region's byte 0.
func (r *Region) lead() int64 { return r.base & (granularity - 1) }

var (
	errEmpty    = fmt.Errorf("no bytes to map: %w", io.ErrUnexpectedEOF)
	errTooLarge = fmt.Errorf("larger than the address space: %w", errors.ErrUnsupported)
)

// mapped returns the current mapping and makes one if there is none.
func (r *Region) mapped() (*mapping, error) {
	if m := r.m.Load(); m != nil {
		return m, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mappedLocked()
}

// mappedLocked is mapped for who holds mu.
func (r *Region) mappedLocked() (*mapping, error) {
	if r.closed.Load() {
		return nil, os.ErrClosed
	}
	if m := r.m.Load(); m != nil {
		return m, nil
	}
	if r.neverMapped != nil {
		return nil, r.neverMapped
	}
	if !sys.MapsPastEOF {
		_ = r.refreshSizeLocked() // a mapping must not be longer than the file is now
	}
	m, err := r.remap(0)
	r.mapErr = notMapped(err)
	return m, r.mapErr
}

// remap maps the Region's bytes and makes that the current mapping. Slices of
// an earlier one stay what they were: both show the same pages. mu is held.
func (r *Region) remap(hint uintptr) (*mapping, error) {
	if r.fdWritable {
		_ = r.withFD(func(fd uintptr) { r.eofPage = sys.EOFPageOf(fd) })
	}
	size := r.size.Load()
	want := size
	if r.window > 0 && (sys.MapsPastEOF || r.memoryOnly()) {
		want = r.window
	}
	if slack := r.slack(size); slack > 0 {
		m, err := r.mapBytes(size, size+slack, hint)
		if err == nil || want == 0 && sys.RefusesShared(err) {
			return m, err // an empty file that will never be mapped
		} // RLIMIT_AS, or a file system that maps no more than there is
	}
	if want == 0 {
		return nil, errEmpty
	}
	return r.mapBytes(size, want, hint)
}

// slack is by how many bytes a mapping reaches past the end of the file, so
// that growth needs no new one: as much as the file has, and at least 1 MiB.
// Addresses cost nothing where there are 2^47 of them.
func (r *Region) slack(size int64) int64 {
	grows := r.fdWritable && r.effectiveProt()&sys.Write != 0 || len(r.oldRanges) > 0 || r.m.Load() != nil
	if !sys.MapsPastEOF || r.eofPage.GrowsFile || r.window > 0 || r.memoryOnly() || math.MaxInt == math.MaxInt32 || !grows {
		return 0
	}
	return max(size, 1<<20)
}

// mapBytes maps room bytes of the file, of which size are there. mu is held.
func (r *Region) mapBytes(size, room int64, hint uintptr) (*mapping, error) {
	span, lead, err := Span{r.base, room}.Align()
	if err != nil || span.Len > math.MaxInt {
		return nil, errTooLarge
	}
	if r.f == nil {
		span.Off, lead = 0, 0
	}
	var mem *addrRange
	cerr := r.withFD(func(fd uintptr) {
		mem, err = newRange(fd, span.Off, int(span.Len), r.effectiveProt(), r.flags, hint)
	})
	if err == syscall.EPERM && r.effectiveProt()&sys.Write != 0 && !r.explicitProt && !r.memoryOnly() {
		r.writeSealed.Store(true) // by another: it can be read
		return r.mapBytes(size, room, hint)
	}
	if cerr == nil && err != nil && r.mayMapPrivately(err) {
		cerr = r.withFD(func(fd uintptr) {
			mem, err = newRange(fd, span.Off, int(span.Len), r.effectiveProt(), r.flags|sys.Private, hint)
		})
		r.viewOnly = err == nil
	}
	if err = firstError(cerr, err); err != nil {
		return nil, err
	}
	if err := r.applyAttrs(mem, alignUp(lead+size)); err != nil {
		_ = mem.revoke()
		return nil, err
	}
	if r.dirtyEnd == nil {
		r.dirtyEnd = new(atomic.Int64)
	}
	m := &mapping{mem: mem, at: dataPtr(mem.b[lead:]), lead: lead, capacity: room, dirtyEnd: r.dirtyEnd}
	m.residency = newResidency(int64(len(mem.b))>>pageShift, r.eofPage.NoWriteback)
	if sys.MapsPastEOF && r.window == 0 && !r.memoryOnly() {
		m.capacity = span.Len - lead
	}
	r.setLimits(m, size)
	if old := r.m.Swap(m); old != nil {
		r.oldRanges = append(r.liveOldRanges(), weak.Make(old.mem))
	}
	return m, nil
}

// applyAttrs makes fresh memory what the caller made of the last; end is where the
// file's last page ends. Only the first mapping must be locked as it was asked
// for: later ones belong to a file that has grown already.
func (r *Region) applyAttrs(mem *addrRange, end int64) error {
	l := r.attrs.get()
	if l == nil {
		return nil
	}
	if !mem.reserveVMAs(l.extraVMAs()) {
		return errTooManyMaps
	}
	err, lockErr := l.apply(mem.b, r.effectiveProt(), min(end, int64(len(mem.b))))
	if r.m.Load() == nil {
		err = firstError(err, lockErr)
	}
	return err
}

// setLimits says what of m, of which size bytes are there, memory serves.
// Memory without a file cannot wait for storage, so all of it is open at once;
// private memory of a file waits until it was read.
func (r *Region) setLimits(m *mapping, size int64) {
	n := min(size, m.capacity)
	if !sys.Coherent && !r.memoryOnly() || r.viewOnly {
		n = 0 // memory and descriptor may differ: see View
	}
	m.backed.Store(n)
	for _, bound := range []*atomic.Int64{&m.readLimit, &m.writeLimit} {
		if bound.Load() > n {
			bound.Store(n)
		}
	}
	hot := r.f == nil || assumePages == assumeWarm
	if hot && r.effectiveProt()&sys.Read != 0 && r.permittedPrefix(0, n, sys.Read) == n {
		m.readLimit.Store(n)
	}
	if hot && r.writesUseMemory() && r.permittedPrefix(0, n, sys.Write) == n {
		m.writeLimit.Store(n)
	}
}

// liveOldRanges returns the earlier mappings that somebody still holds.
func (r *Region) liveOldRanges() []weak.Pointer[addrRange] {
	alive := r.oldRanges[:0]
	for _, w := range r.oldRanges {
		if w.Value() != nil {
			alive = append(alive, w)
		}
	}
	return alive
}

// countFDCall counts a call that memory might have served, and maps the file when
// the descriptor has served enough: a mapping costs about as much as eight
// small reads.
func (r *Region) countFDCall() {
	const few, pause = 8, 1 << 16
	if r.neverMapped != nil || r.memoryOnly() || r.m.Load() != nil || r.size.Load() == 0 {
		return
	}
	if r.fdCalls.Add(1) < few {
		return
	}
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if _, err := r.mappedLocked(); err != nil {
		r.fdCalls.Store(-pause)
	}
}
