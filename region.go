package mmap

import (
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed-93fed273/mmap/internal/addrspace"
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
	// ReadAt and WriteAt inside the file look at nothing else.
	m atomic.Pointer[mapping]

	backing    // descriptor.go: the file behind it, and the calls on it
	access     // attrs.go: what the memory allows
	sizing     // size.go: how long it is
	durability // durability.go: what Flush answers for
	cursor     cursor

	clock   clockState  // aging.go: what the clock knows of it
	closing atomic.Bool // Close began: what a waiting call did may be void
	closed  atomic.Bool // Close is done: no call can succeed any more

	// mu, the control lock, is held while a mapping is made or revoked, while
	// this Region changes the file's size, and across every system call that
	// changes what pages are (mprotect, mlock, madvise that drops, munmap).
	// Calls that only wait (msync, mincore) do not hold it, and look at
	// closing afterwards. It guards what follows, and whatever says so.
	mu     sync.Mutex
	ranges []*addrspace.State // of all mappings that are not unmapped, the current one last
	mapErr error              // why the last attempt to map failed
}

// The states of a Region, and what leads from one to the next:
//
//	unmapped --(8 reads | Bytes, View, control calls)--> mapped --Close--> revoked
//	    ^                                                |    ^
//	    +------ Seal(SealWrite), Truncate on Windows ----+    +-- growth: a new mapping;
//	                                                              ranges keeps the old one
//
// Lock order: cursor, flushMu, mu, then the locks of addrspace and of the
// ager. No lock is held while a caller's function runs.
//
// Close is one moment. It sets closing, takes m away, revokes every range,
// closes the descriptor and sets closed, all under mu. A call that begins
// after any call returned os.ErrClosed finds no memory and no descriptor. A
// call that saw closing waits for mu, and so for the end of Close, before it
// returns os.ErrClosed: see closedOr.

// ReaderAt is the name this type has in golang.org/x/exp/mmap, so that a
// changed import is all it takes to come from there.
type ReaderAt = Region

// backing is the file behind a Region: what never changes after opening, and
// two things that are learned once. The descriptor is the truth, the memory its
// fast copy: whatever memory does not serve goes through here.
type backing struct {
	descriptor
	name        string
	base        int64  // the file's offset of the Region's byte 0
	window      int64  // its fixed length; 0: it follows the end of the file
	opened      bool   // made by a function of this package; the zero Region was not
	fdWritable  bool   // the descriptor allows writing
	appendMode  bool   // O_APPEND: the descriptor says where a Write goes
	syncWrites  bool   // O_SYNC, O_DSYNC: writes go through the descriptor
	direct      bool   // O_DIRECT: reads and writes are of whole blocks
	unsized     bool   // not a file with a size: everything goes through the descriptor
	ownOffset   bool   // the descriptor's offset is ours to move
	serve       Access // who serves reads and writes, as the caller wants it
	incoherent  bool   // memory and descriptor may show different bytes
	neverMapped error  // why everything goes through the descriptor; nil: it may be mapped

	member  *membership     // how it counts in the gauges of Stats
	dropped runtime.Cleanup // of a Region that nobody closes

	noCachestat atomic.Bool // the system does not tell what is cached
	noNowait    atomic.Bool // the file cannot be read without waiting
}

// lead returns how many bytes of every mapping lie before the Region's byte 0.
func (b *backing) lead() int64 { return b.base & (granularity - 1) }

// access is what the memory allows: by the way it was opened, by Options.Prot, and
// by what the caller made of single pages since. The fields but for writeSealed
// and attrs never change. The table is replaced as a whole under mu, and read
// without a lock.
type access struct {
	prot         sys.Prot    // what the memory allows, but for Protect
	flags        sys.Flag    // of every mapping made for it
	explicitProt bool        // the caller chose prot: the descriptor is no way round it
	writeSealed  atomic.Bool // SealWrite, by this Region or another: no mapping is writable any more
	attrs        attrCell    // what the caller made of pages
	viewOnly     bool        // mapped privately, because it cannot be shared: memory may differ from the descriptor; guarded by mu
}

// sizing is what is known of the Region's length.
//
// size is what somebody last learned from the descriptor, clipped to the
// window. All that serves bytes from memory is bounded by it, so the rules are:
//
//   - Whoever asks the descriptor publishes what it said, growth and shrinking
//     alike: Stat, Seek to the end, Truncate, Flush, WriteTo, a read that found
//     another end, and the ager once a second. All of them end in setSize.
//   - setSize holds mu. When the file grew it makes the mapping reach first and
//     publishes the size then, so that a size always has its memory; when the
//     file shrank it lowers the limits first.
//   - An append does not ask: it only knows that the file is at least so long.
//     It sets sizeStale, and the next caller that needs the size asks.
//   - A range is resolved under the lock under which it is used, or against one
//     mapping's backed (see mappedRange): never against a size that was read
//     before.
//
// eofPage says what the file system does with the bytes behind the end of the
// file in its last page; eofPageDirty, that there may be some.
type sizing struct {
	size           atomic.Int64 // bytes of the Region
	sizeStale      atomic.Bool  // the file is at least so long: an append of ours did not ask
	fdCalls        atomic.Int32 // calls that memory might have served
	pendingExtends atomic.Int32 // writes past the end under way that must find the EOF page clean
	unmappable     int64        // the size at which the last attempt to map failed, if it did; guarded by mu
	eofPage        sys.EOFPage  // known while mapped; guarded by mu
	eofPageDirty   bool         // bytes may have been stored behind the end, and would show; guarded by mu
}

// durability is what Flush answers for.
//
// Two ends say how far bytes may have been stored to memory:
//
//	dirtyEnd    WriteAt and its kin, or a View that could store, up to here
//	            since the last Flush
//	escapedEnd  writable Bytes or typed memory was handed out up to here, ever
//
// What was written through the descriptor needs no end: it is in the file.
//
// A Flush takes dirtyEnd over (it becomes 0, and is put back if the Flush
// fails), commits, asks for the size, and then knows what a cut by somebody
// else took:
//
//   - below dirtyEnd: bytes that were stored are gone. That is a lost write, and
//     sticky: this Flush fails, and every later one.
//   - below escapedEnd only: nobody knows whether there was a store. One Flush
//     says so, for each cut once.
//
// A cut that is seen between two Flushes is kept in lost, because the file may
// have grown again by the time of the next. Our own Truncate lowers dirtyEnd
// with the file and forgets a loss that it makes moot; what escaped has
// escaped, whatever the file's size is.
//
// A failed commit is sticky too, if it says that a write was lost: the system
// reports that once and calls the pages clean afterwards.
type durability struct {
	stickyErr  atomic.Pointer[error] // the first lost write, never forgotten
	escapedEnd atomic.Int64          // see above; raised under mu, never lowered
	flushMu    sync.Mutex            // held while a Flush answers for what was stored before it

	// Guarded by mu.
	dirtyEnd *atomic.Int64 // that of the current mapping
	flushEnd int64         // the dirtyEnd that a Flush under way took over
	lost     *loss         // what a cut took, until a Flush has said so
}

// cursor is the offset of Read, Write, Seek and their kin. It is the Region's
// own and counts its bytes, or the descriptor's: for what has no size, with
// O_APPEND and O_DIRECT, from the first use of SyscallConn on, and from the first
// read or write on which the system refuses to make at an offset. It is never the
// descriptor's where that would move somebody else's offset (a duplicate) or
// count from another byte (Options.Offset, a window, private memory).
//
// The locks give every byte to one caller only, as those of os.File do. There,
// what reads (Read, WriteTo, sendfile through SyscallConn) excludes what reads,
// for the whole call; what writes (Write, ReadFrom) excludes what writes; and the
// kernel lets a single read(2), write(2) and lseek(2) move the offset alone. Here
// the mutex is what the kernel's is: it is held while one read or write is made
// and the offset moved. A WriteTo that waits for its writer between two pieces
// lends the cursor instead: who reads waits for it, who writes or seeks does not.
// Where the cursor is the descriptor's, os.File and the kernel see to all that,
// and the mutex is held only to learn where the cursor is: a Read of a pipe may
// wait for ever.
//
// Lock order: lending, the mutex, then the Region's mu.
type cursor struct {
	sync.Mutex // guards what follows
	off        int64
	inFD       bool
	lent       bool    // a WriteTo is handing on the bytes at off
	write      fdWrite // of Write

	lending sync.Mutex // held by that WriteTo
}

// clockState is what the clock knows of a Region.
type clockState struct {
	registered atomic.Bool
	asked      atomic.Int32  // askedNow, askDue or asking
	changed    atomic.Int64  // sys.Info.Changed when the descriptor was last asked
	missed     atomic.Uint32 // reads that found a page not cached
	faults     atomic.Int64  // of the process when a read that missed looked last
	reopened   bool          // mappings are made of a descriptor opened anew; guarded by mu
}

// Values of clockState.asked.
const (
	askedNow int32 = iota // the descriptor was asked since the clock fired
	askDue                // it was not: memory does not serve before it is
	asking                // somebody does, and memory does not serve meanwhile
)

// membership is how an open Region counts in the gauges. It outlives the Region,
// whose cleanup ends it if nobody closed it.
type membership struct {
	mapped       atomic.Bool
	byDescriptor bool
	ended        atomic.Bool
}

// checkValid refuses what no function of this package made, as os.File does.
func (r *Region) checkValid() error {
	if r == nil || !r.opened {
		return os.ErrInvalid
	}
	return nil
}

// closedOr returns err, or os.ErrClosed once a Close began: what the caller just
// did may be void. It waits for the Close to be done, because after any call
// returned os.ErrClosed no other may succeed. mu is not held.
func (r *Region) closedOr(err error) error {
	if !r.closing.Load() {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return os.ErrClosed
}

// isClosed reports whether the Region is closed. It waits for a Close in
// progress, as closedOr does. mu is not held; who holds it looks at closed.
func (r *Region) isClosed() bool { return r.closedOr(nil) != nil }

// effectiveProt returns what the memory allows, as far as Protect changed nothing.
func (r *Region) effectiveProt() sys.Prot {
	if r.writeSealed.Load() {
		return r.prot &^ sys.Write
	}
	return r.prot
}

// memoryOnly reports that the Region's length follows no file.
func (r *Region) memoryOnly() bool { return r.flags&(sys.Private|sys.Anonymous) != 0 }

// permittedPrefix returns how many of the n bytes at off may be accessed in this
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
	lo := off + min(r.lead(), math.MaxInt64-off) // as far as bytes are counted
	hi := lo + min(n, math.MaxInt64-lo)
	at, found := l.firstWhere(lo, hi, func(a pageAttr) bool {
		return (denied|a.denied&access)&^a.granted != 0
	})
	if found {
		return at - lo
	}
	return n
}

// unrestricted reports whether the caller left all bytes accessible.
func (r *Region) unrestricted() bool {
	return !r.explicitProt && r.permittedPrefix(0, math.MaxInt64-granularity, sys.Read|sys.Write) == math.MaxInt64-granularity
}

// mayBeStored reports whether something may have been stored to memory by others
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

// writesUseMemory reports whether writes may go to memory.
func (r *Region) writesUseMemory() bool {
	return r.effectiveProt()&sys.Write != 0 && (r.memoryOnly() || !r.syncWrites && !r.appendMode)
}

// anyReleased reports whether some of the bytes were given back by Release.
func (r *Region) anyReleased(off, n int64) bool {
	l := r.attrs.get()
	if l == nil {
		return false
	}
	lead := r.lead()
	_, found := l.firstWhere(lead+off, lead+off+n, func(a pageAttr) bool { return a.released })
	return found
}

// clampToWindow returns how many bytes the Region has of a file of that size.
func (r *Region) clampToWindow(size int64) int64 {
	n := max(size-r.base, 0)
	if r.window > 0 {
		n = min(n, r.window)
	}
	return n
}

// cachestat asks the system what it has cached of [lo, end), in bytes of m's
// memory.
func (r *Region) cachestat(m *mapping, lo, end int64) (sys.Cache, error) {
	return r.cachestatFile(r.base-m.lead+lo, end-lo)
}
