package mmap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

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

// loss is what a cut by somebody else took.
type loss struct {
	size, end int64 // the file was cut to size, and bytes up to end may have been stored
	stored    bool  // there certainly were stores
}

// error returns what Flush says of it.
func (l *loss) error() error {
	if l.stored {
		return fmt.Errorf("the file was cut to %d bytes, below byte %d stored to memory: %w", l.size, l.end-1, io.ErrUnexpectedEOF)
	}
	return warning{fmt.Errorf("the file was cut to %d bytes, below byte %d of memory that was handed out writable; what was stored there, if anything, is lost: %w",
		l.size, l.end-1, io.ErrUnexpectedEOF)}
}

// warning is an error that the next Flush does not repeat.
type warning struct{ error }

func (w warning) Unwrap() error { return w.error }

// storedEnd returns the dirtyEnd of the current mapping. mu is held.
func (r *Region) storedEnd() *atomic.Int64 {
	if r.dirtyEnd == nil {
		r.dirtyEnd = new(atomic.Int64)
	}
	return r.dirtyEnd
}

// answersForStores reports whether a cut by somebody else could take bytes that
// Flush answers for. mu is held.
func (r *Region) answersForStores() bool {
	return r.storedEnd().Load() > 0 || r.escapedEnd.Load() > 0
}

// noteShrink is called when the file was found cut from old to size by
// somebody else. mu is held.
func (r *Region) noteShrink(old, size int64) {
	r.noteEOFPage()
	dirty := max(r.storedEnd().Load(), r.flushEnd)
	escaped := min(r.escapedEnd.Load(), old)
	switch {
	case size < dirty:
		r.lost = &loss{size, dirty, true}
	case r.lost == nil && size < escaped:
		r.lost = &loss{size, escaped, false}
	}
}

// shrinkEnds lowers the end to size, for our own Truncate, in a new counter: a
// write under way reports to the old one. undo raises it again. mu is held.
func (r *Region) shrinkEnds(size int64) (undo func()) {
	dirty, lost := r.storedEnd().Load(), r.lost
	r.dirtyEnd = new(atomic.Int64)
	r.dirtyEnd.Store(min(dirty, size))
	r.flushEnd = min(r.flushEnd, size)
	if lost != nil && size <= lost.size {
		r.lost = nil
	}
	return func() {
		raise(r.dirtyEnd, dirty) // the file still has to have what was stored
		r.lost = lost
	}
}

// takeOver makes a Flush answer for all stores so far. What is stored from now
// on is the next Flush's. flushMu is held.
func (r *Region) takeOver() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushEnd = r.storedEnd().Swap(0)
}

// giveBack undoes takeOver for a Flush that failed.
func (r *Region) giveBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	raise(r.storedEnd(), r.flushEnd)
	r.flushEnd = 0
}

// takeLoss asks for the size, and returns what a cut by somebody else took of
// the bytes below limit: once, since a Flush is about to say so. It ends what
// takeOver began. mu is not held.
func (r *Region) takeLoss(limit int64) (*loss, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return nil, os.ErrClosed
	}
	if err := r.refreshSizeLocked(); err != nil {
		return nil, err
	}
	size, dirty := r.size.Load(), min(max(r.storedEnd().Load(), r.flushEnd), limit)
	r.flushEnd = 0
	lost := r.lost
	switch {
	case lost != nil && lost.size < limit:
		r.lost = nil
		return lost, nil
	case size < dirty: // a write that was under way when the cut was seen
		return &loss{size, dirty, true}, nil
	}
	return nil, nil
}

// settleLoss says what a cut took of the bytes below limit. What certainly was
// stored stays lost.
func (r *Region) settleLoss(limit int64) error {
	lost, err := r.takeLoss(limit)
	if err != nil || lost == nil {
		return err
	}
	return lost.error()
}

// sticky returns the first failure to write.
func (r *Region) sticky() error {
	if err := r.stickyErr.Load(); err != nil {
		return *err
	}
	return nil
}

// setSticky keeps err if it says that something written was lost.
func (r *Region) setSticky(err error) {
	if err != nil && !r.closing.Load() && losesWrites(err) {
		kept := err // or every err would be allocated, nil ones too
		if r.stickyErr.CompareAndSwap(nil, &kept) {
			counters.failedFlushes.Add(1)
		}
	}
}

// losesWrites reports whether err may mean that something written was lost.
// Errors of the call alone do not.
func losesWrites(err error) bool {
	var once warning
	return !errors.As(err, &once) && !errors.Is(err, os.ErrClosed) && !errors.Is(err, errors.ErrUnsupported) &&
		!errors.Is(err, syscall.EINVAL) && !sys.Transient(err) && !sys.NoMemory(err)
}
