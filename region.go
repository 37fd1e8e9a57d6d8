package mmap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
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
	f            *os.File // nil for anonymous memory
	conn         syscall.RawConn
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
	directIO     bool     // O_DIRECT: so it does here, by the caller's wish
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
}

// cursor is the offset of Read, Write and Seek. Once it has moved into the
// descriptor (streams, O_APPEND, a use of SyscallConn) it stays there.
type cursor struct {
	sync.Mutex
	off  int64
	inFD bool
}

// ReaderAt is the name this type has in golang.org/x/exp/mmap, so that a
// changed import is all it takes to come from there.
type ReaderAt = Region

// visible returns how many bytes the Region has of a file of that size.
func (r *Region) clampToWindow(size int64) int64 {
	n := max(size-r.base, 0)
	if r.window > 0 {
		n = min(n, r.window)
	}
	return n
}

// lead returns how many bytes of every mapping lie before the Region's byte 0.
func (r *Region) lead() int64 { return r.base & (granularity - 1) }

// rights returns what the memory allows, as far as Protect changed nothing.
func (r *Region) effectiveProt() sys.Prot {
	if r.writeSealed.Load() {
		return r.prot &^ sys.Write
	}
	return r.prot
}

// fixed reports that the Region's length follows no file.
func (r *Region) memoryOnly() bool { return r.flags&(sys.Private|sys.Anonymous) != 0 }

// allowed returns how many of the n bytes from off on may be accessed in this
// way, from the first byte on, as far as the caller decided that: by
// Options.Prot or by Protect. The descriptor is no way round either.
func (r *Region) permittedPrefix(off, n int64, access sys.Prot) int64 {
	l := r.attrs.get()
	if l == nil && !r.explicitProt {
		return n // nothing was decided
	}
	var denied sys.Prot
	if r.explicitProt {
		denied = access &^ r.prot
	}
	if l == nil && denied != 0 {
		return 0
	}
	lead := r.lead()
	at, found := l.firstWhere(lead+off, lead+off+n, func(a pageAttr) bool {
		return (denied|a.denied&access)&^a.granted != 0
	})
	if found {
		return at - lead - off
	}
	return n
}

// unrestricted reports whether the caller left all bytes accessible.
func (r *Region) unrestricted() bool {
	return !r.explicitProt && r.permittedPrefix(0, math.MaxInt64-granularity, sys.Read|sys.Write) == math.MaxInt64-granularity
}

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
	if r.unsized || r.directIO || !sys.Mappable {
		return nil, r.mapErr
	}
	if !sys.MapsPastEOF {
		_ = r.refreshSizeLocked() // a mapping must not be longer than the file is now
	}
	m, err := r.remap(0)
	r.mapErr = err
	return m, err
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
		if m, err := r.mapBytes(size, size+slack, hint); err == nil {
			return m, nil
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
	m.residency = &residency{n: int64(len(mem.b)) >> pageShift, noWriteback: r.eofPage.NoWriteback}
	if sys.MapsPastEOF && r.window == 0 && !r.memoryOnly() {
		m.capacity = span.Len - lead
	}
	r.setLimits(m, size)
	if old := r.m.Swap(m); old != nil {
		r.oldRanges = append(r.liveOldRanges(), weak.Make(old.mem))
	}
	return m, nil
}

// dress makes fresh memory what the caller made of the last; end is where the
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

// firstError returns the first of errs that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// first returns the memory of the first n bytes, to whole pages.
func (m *mapping) headPages(n int64) []byte {
	return m.pagesOf(-m.lead, m.lead+n)
}

// setLimits says what of m, of which size bytes are there, memory serves.
// Memory without a file cannot wait for storage, so all of it is open at once;
// private memory of a file waits until it was read.
func (r *Region) setLimits(m *mapping, size int64) {
	n := min(size, m.capacity)
	if !sys.Coherent && !r.memoryOnly() {
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

// mayStore reports whether something may have been stored to memory by others
// than WriteAt: the memory is writable, or was made so by Protect.
func (r *Region) mayBeStored() bool {
	if r.effectiveProt()&sys.Write != 0 {
		return true
	}
	_, found := r.attrs.get().firstWhere(0, math.MaxInt64, grantsWriting)
	return found
}

// grantsWriting reports whether Protect allowed storing to the page.
func grantsWriting(a pageAttr) bool { return a.granted&sys.Write != 0 }

// storable reports whether writes may go to memory.
func (r *Region) writesUseMemory() bool {
	return r.effectiveProt()&sys.Write != 0 && (r.memoryOnly() || !r.syncWrites && !r.appendMode)
}

// pastAlive returns the earlier mappings that somebody still holds.
func (r *Region) liveOldRanges() []weak.Pointer[addrRange] {
	alive := r.oldRanges[:0]
	for _, w := range r.oldRanges {
		if w.Value() != nil {
			alive = append(alive, w)
		}
	}
	return alive
}

// publish makes size, in bytes of the Region, the known one. mu is held.
func (r *Region) setSize(size int64) {
	old := r.size.Swap(size)
	m := r.m.Load()
	if size < old {
		r.noteShrink()
	}
	switch {
	case m == nil:
		return
	case size > m.capacity:
		if _, err := r.remap(0); err == nil {
			return
		} // what does not fit stays with the descriptor
	}
	if size > old {
		lo, hi := AlignDown(m.lead+old), alignUp(m.lead+min(size, m.capacity))
		_ = r.attrs.get().lock(m.mem.b, lo, min(hi, int64(len(m.mem.b))))
	}
	if size < old {
		m.forgetFrom(size)
		if end := m.dirtyEnd.Load(); size < end {
			r.shrinkErr.CompareAndSwap(nil, failure{shrunkError(size, end)}) // it may grow again before the next Flush
		}
	}
	r.setLimits(m, size)
}

// cutTo replaces the mapping by one that ends at size, before the file does: a
// writer under way in the old one must not be taken for one past the new end.
// mu is held.
func (r *Region) shrinkTo(size int64) {
	r.noteShrink()
	r.size.Store(size)
	r.escapedEnd.Store(min(r.escapedEnd.Load(), size))
	old := r.m.Load()
	if old == nil {
		return
	}
	end := new(atomic.Int64)
	end.Store(min(r.dirtyEnd.Load(), size))
	r.dirtyEnd = end
	old.forgetFrom(size)
	m := &mapping{mem: old.mem, at: old.at, lead: old.lead, capacity: old.capacity, dirtyEnd: end, residency: old.residency}
	m.readLimit.Store(old.readLimit.Load())
	m.writeLimit.Store(old.writeLimit.Load())
	r.setLimits(m, size)
	r.m.Store(m)
	r.setLimits(old, size)
}

// refresh asks the descriptor for the size and publishes it. mu is held.
func (r *Region) refreshSizeLocked() error {
	if r.unsized || r.memoryOnly() {
		return nil
	}
	size, err := r.call(fileArgs{kind: opStat})
	if err == nil {
		r.setSize(r.clampToWindow(size))
		r.sizeStale.Store(false) // not before: who finds it false relies on the size
	}
	return err
}

// known returns the size of the Region, as it last saw the file. Growth of its
// own making is looked at now, and not when it happened: who only appends need
// not pay for it.
func (r *Region) currentSize() int64 {
	if r.sizeStale.Load() {
		r.refreshSize()
	}
	return r.size.Load()
}

// cutSeen is called when the file has become shorter. mu is held.
func (r *Region) noteShrink() {
	if r.eofPageDirty || r.effectiveProt()&sys.Write == 0 || r.m.Load() == nil {
		return
	}
	r.eofPageDirty = r.eofPage.KeepsStores
}

// noticed is called after the descriptor served a call which showed that the
// known size is wrong.
func (r *Region) refreshSize() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed.Load() {
		_ = r.refreshSizeLocked()
	}
}

// notice is noticed for a reader, who waits for nobody: whoever holds the lock
// may be waiting for the file system, and another reader will notice too.
func (r *Region) tryRefreshSize() {
	if r.mu.TryLock() {
		defer r.mu.Unlock()
		_ = r.refreshSizeLocked()
	}
}

// missed counts a call that memory might have served, and maps the file when
// the descriptor has served enough: a mapping costs about as much as eight
// small reads.
func (r *Region) countFDCall() {
	const few, pause = 8, 1 << 16
	if r.unsized || r.directIO || r.memoryOnly() || !sys.Mappable || r.m.Load() != nil || r.size.Load() == 0 {
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

// control runs fn with the Region's descriptor, which stays open meanwhile.
// Anonymous memory has none and gets 0.
func (r *Region) withFD(fn func(fd uintptr)) error {
	if r.f == nil {
		fn(0)
		return nil
	}
	if err := sys.Control(r.f, r.conn, fn); err != nil {
		return os.ErrClosed
	}
	return nil
}

// stat asks the descriptor.
func (r *Region) stat() (sys.Info, error) {
	op := fileOps.Get().(*fileOp)
	op.kind = opStat
	err := r.run(op)
	info := op.info
	fileOps.Put(op)
	return info, err
}

// Close revokes the memory and closes the descriptor. Calls in progress on
// other goroutines end with [os.ErrClosed] or with what they had already
// done; a View in progress faults, and says so. Slices handed out are no
// longer valid: touching one faults, until its addresses are used again for
// something else, which the library puts off as long as it can.
//
// Close does not flush: what was written is in the system's cache, as after
// [os.File.Close]. An error means that the memory could not be revoked, or is
// that of close(2); the Region is closed all the same. A second Close returns
// [os.ErrClosed].
func (r *Region) Close() error {
	if r == nil {
		return os.ErrInvalid
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed.Load() {
		r.zeroPastEOFOnClose()
	}
	if r.closed.Swap(true) {
		return wrap("close", r.name, os.ErrClosed)
	}
	err := r.revokeAll(r.m.Swap(nil))
	if r.f != nil {
		err = firstError(r.f.Close(), err)
	}
	runtime.KeepAlive(r)
	return wrap("close", r.name, err)
}

// retire revokes m, which was the current mapping, and all earlier ones. mu is
// held.
func (r *Region) revokeAll(m *mapping) (err error) {
	if m != nil {
		err = m.mem.revoke()
	}
	for _, w := range r.oldRanges {
		if mem := w.Value(); mem != nil {
			err = firstError(err, mem.revoke())
		}
	}
	r.oldRanges = nil
	return err
}

// Name returns the name of the file as it was given to Open, or that of the
// file given to Map.
func (r *Region) Name() string { return r.name }

// Stat describes the file, as [os.File.Stat] does. Anonymous memory has none:
// the error wraps [errors.ErrUnsupported].
func (r *Region) Stat() (fs.FileInfo, error) {
	if r.f == nil || r.closed.Load() {
		return nil, wrap("stat", r.name, r.closedOr(errors.ErrUnsupported))
	}
	return r.f.Stat()
}

// orClosed returns os.ErrClosed if the Region is closed, else err.
func (r *Region) closedOr(err error) error {
	if r.closed.Load() {
		return os.ErrClosed
	}
	return err
}

// Size returns the number of bytes of the Region as it last saw the file: what
// others appended since is noticed by a read past this end. 0 after Close.
func (r *Region) Size() int64 {
	if r.closed.Load() {
		return 0
	}
	return r.currentSize()
}

// Len is Size as an int, and the greatest int where it does not fit.
func (r *Region) Len() int { return int(min(r.Size(), math.MaxInt)) }
