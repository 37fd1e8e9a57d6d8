package mmap

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

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
	return r.storedEnd().Load() > 0 || r.flushEnd > 0 || r.escapedEnd.Load() > 0
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
