package mmap

import (
	"errors"
	"math"
	"os"
	"runtime"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Flush puts what this Region wrote on stable storage: by Write and WriteAt,
// through View, Bytes and typed memory, the size included. Once it returned
// nil a power failure takes none of it. The name of a new file is the
// directory's, and needs a sync of that.
//
// A Flush that failed stays failed until Close. The system reports a write
// that was lost once, and calls the page clean afterwards; the Region does not
// forget. The file must still reach as far as the highest byte stored to memory
// since the last Flush, or handed out as writable memory; if somebody else cut
// it below, the store may be lost, and the error wraps [io.ErrUnexpectedEOF].
// Errors of the call alone (closed, unsupported, out of memory) are not
// remembered. Private and anonymous memory has nothing to write to: the error
// wraps [errors.ErrUnsupported].
//
//   - Linux: msync(2) with MS_SYNC, which commits data and size, or
//     fdatasync(2) while nothing is mapped
//   - darwin: msync(2) and F_FULLFSYNC
//   - other Unix: msync(2) and fsync(2), as POSIX does not promise the size
//   - Windows: FlushViewOfFile and FlushFileBuffers
func (r *Region) Flush() error { return r.flush(0, ToEnd) }

// FlushRange is Flush for the n bytes at off; n may be [ToEnd], and 0 does
// nothing. It widens the range to whole pages, and the system may write more.
func (r *Region) FlushRange(off, n int64) error { return r.flush(off, n) }

// FlushAsync starts the writing of n bytes at off and does not wait for
// it; n may be [ToEnd], and what lies past the end is left out. It promises
// nothing: only Flush tells whether the bytes arrived. (On Linux it is sync_file_range(2), since
// msync(2) with MS_ASYNC does nothing there.)
func (r *Region) FlushAsync(off, n int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	err := r.canFlush()
	if err == nil {
		n, err = r.clipRange(off, n)
	}
	if err != nil || n == 0 {
		return wrap("flush", r.name, err)
	}
	var b []byte
	m := r.m.Load()
	if m != nil && off+n <= m.capacity {
		b = m.pagesOf(off, n)
	}
	err = r.startWriteback(r.base+off, n, b)
	runtime.KeepAlive(m)
	return wrap("flush", r.name, r.closedOr(err))
}

// Sync commits the whole file to stable storage, as [os.File.Sync] does, and
// with the system's strongest means (F_FULLFSYNC on darwin). A failure stays,
// as that of Flush does.
func (r *Region) Sync() error {
	if err := r.checkValid(); err != nil {
		return err
	}
	if r.memoryOnly() {
		return wrap("sync", r.name, r.closedOr(errors.ErrUnsupported))
	}
	if err := r.sticky(); err != nil && !r.isClosed() {
		return wrap("sync", r.name, err)
	}
	m := r.m.Load()
	if m != nil {
		m.forgetWrites(0, m.residency.n)
	}
	var err error
	if m != nil && !sys.SyncFileCoversMemory && r.mayBeStored() {
		err = wrap("sync", r.name, r.closedOr(r.syncRanges(0, r.currentSize())))
	}
	if err == nil {
		err = r.f.Sync()
	}
	if err != nil {
		r.setSticky(underlyingError(err))
	}
	return err
}

// canFlush reports whether there is anything to flush to.
func (r *Region) canFlush() error {
	switch {
	case r.isClosed():
		return os.ErrClosed
	case r.memoryOnly():
		return errors.ErrUnsupported
	}
	return nil
}

// flush is Flush and FlushRange.
func (r *Region) flush(off, n int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	whole := off == 0 && n == ToEnd
	err := r.canFlush()
	if err == nil {
		n, err = r.resolveRange(off, n)
	}
	if err == nil && (n > 0 || whole) && r.fdWritable {
		err = r.flushStores(off, n, whole)
	}
	return wrap("flush", r.name, err)
}

// flushStores commits a range and makes sure that the file still has what was
// stored in it.
func (r *Region) flushStores(off, n int64, whole bool) error {
	if r.mayBeStored() {
		// Keeps a Flush beside this one from seeing that nothing is left to
		// answer for, and saying so, before this one has.
		r.flushMu.Lock()
		defer r.flushMu.Unlock()
	}
	if err := r.sticky(); err != nil {
		return err
	}
	if !r.mayBeStored() {
		err := r.closedOr(r.commit(r.m.Load(), off, n, whole))
		r.setSticky(err)
		return err
	}
	limit := off + n
	m := r.mappingToSync()
	if whole {
		limit = math.MaxInt64
		r.takeOver()
		if m != nil {
			m.residency.populateBudget.Store(0)
			m.forgetWrites(0, m.residency.n)
		}
	} else if m != nil && m.backs(off, n) {
		m.forgetWrites(m.pageRange(off, n))
	}
	err := r.closedOr(r.commit(m, off, n, whole)) // a range revoked meanwhile would have been synced with success
	if err != nil && whole {
		r.giveBack()
	}
	if err == nil {
		err = r.settleLoss(limit)
	}
	r.setSticky(err)
	return err
}

// mappingToSync returns the current mapping. Where SyncFile does not cover
// memory, and a Truncate took away the mapping that was stored to, it makes
// another: what is dirty is found by way of any.
func (r *Region) mappingToSync() *mapping {
	m := r.m.Load()
	if m != nil || sys.SyncFileCoversMemory {
		return m
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.storedEnd().Load() > 0 {
		m, _ = r.mappedLocked()
	}
	return m
}

// commit makes the bytes [off, off+n) durable: what was written through the
// descriptor, what was stored to memory, and the size.
func (r *Region) commit(m *mapping, off, n int64, whole bool) error {
	switch {
	case m == nil || !r.mayBeStored():
		return r.fsync()
	case !sys.SyncFileCoversMemory:
		return firstError(r.syncRanges(off, n), r.fsync())
	case whole || n == 0 || off+n > m.capacity || r.anyReleased(off, n):
		return r.fsync()
	}
	err := r.msync(m.pagesOf(off, n))
	runtime.KeepAlive(m)
	return err
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
