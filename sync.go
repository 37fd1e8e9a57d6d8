package mmap

import (
	"errors"
	"math"
	"os"
	"runtime"
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
func (r *Region) Flush() error {
	return r.flush("flush", 0, ToEnd)
}

// FlushRange is Flush for the n bytes from off on; n may be [ToEnd], and 0 does
// nothing. It widens the range to whole pages, and the system may write more.
func (r *Region) FlushRange(off, n int64) error {
	return r.flush("flush", off, n)
}

// FlushAsync starts the writing of n bytes from off on and does not wait for
// it; n may be [ToEnd], and 0 does nothing. It promises nothing: only Flush
// tells whether the bytes arrived. (On Linux it is sync_file_range(2), since
// msync(2) with MS_ASYNC does nothing there.)
func (r *Region) FlushAsync(off, n int64) error {
	n, err := r.canFlush(off, n)
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
	if r.memoryOnly() {
		return wrap("sync", r.name, r.closedOr(errors.ErrUnsupported))
	}
	if err := r.sticky(); err != nil && !r.closed.Load() {
		return wrap("sync", r.name, err)
	}
	if m := r.m.Load(); m != nil {
		m.forgetWrites(0, m.residency.n)
	}
	err := r.f.Sync()
	if err != nil {
		r.setSticky(underlyingError(err))
	}
	return err
}

// canFlush resolves and checks the range of a flush.
func (r *Region) canFlush(off, n int64) (int64, error) {
	if r.closed.Load() {
		return 0, os.ErrClosed
	}
	if r.memoryOnly() {
		return 0, errors.ErrUnsupported
	}
	if r.sizeStale.Load() {
		r.refreshSize() // what was appended is part of the range
	}
	return r.resolveRange(off, n)
}

// flush is Flush and FlushRange.
func (r *Region) flush(op string, off, n int64) error {
	whole := off == 0 && n == ToEnd
	if whole && r.escapedEnd.Load() > r.size.Load() {
		r.refreshSize() // the file was seen short, and may have grown again
	}
	n, err := r.canFlush(off, n)
	if err == nil && (n > 0 || whole) {
		err = r.flushStores(off, n, whole)
	}
	return wrap(op, r.name, err)
}

// flushStores commits a range and makes sure that the file still has it.
func (r *Region) flushStores(off, n int64, whole bool) error {
	if f, ok := r.shrinkErr.Load().(failure); ok {
		r.setSticky(f.err)
	}
	if err := r.sticky(); err != nil {
		return err
	}
	m := r.m.Load()
	if m == nil || !r.mayBeStored() {
		err := r.closedOr(r.commit(m, off, n))
		r.setSticky(err)
		return err
	}
	// What is stored from now on is the next Flush's to answer for. What was
	// stored before is this one's, and another must not think it settled.
	r.flushMu.Lock()
	defer r.flushMu.Unlock()
	end, limit := m.dirtyEnd.Load(), off+n
	if whole {
		end, limit = m.dirtyEnd.Swap(0), math.MaxInt64
		m.residency.populateBudget.Store(0)
		m.forgetWrites(0, m.residency.n)
	} else if m.backs(off, n) {
		m.forgetWrites(m.pageRange(off, n))
	}
	err := r.commit(m, off, n)
	if err == nil {
		err = r.checkNotShrunk(m, min(end, limit), limit)
	}
	// A range revoked meanwhile would have been synced with success.
	err = r.closedOr(err)
	if err != nil {
		m.noteStore(end)
	}
	r.setSticky(err)
	return err
}

// commit makes the bytes [off, off+n) durable: by msync where they are mapped,
// and by the descriptor where they are not, or no longer.
func (r *Region) commit(m *mapping, off, n int64) error {
	if m == nil || n <= 0 || off+n > m.capacity || r.anyReleased(off, n) {
		return r.fsync()
	}
	err := r.msync(m.pagesOf(off, n))
	runtime.KeepAlive(m)
	return err
}
