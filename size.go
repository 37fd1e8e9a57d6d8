package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// clampToWindow returns how many bytes the Region has of a file of that size.
func (r *Region) clampToWindow(size int64) int64 {
	n := max(size-r.base, 0)
	if r.window > 0 {
		n = min(n, r.window)
	}
	return n
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

// currentSize returns the size of the Region, as it last saw the file. Growth of its
// own making is looked at now, and not when it happened: who only appends need
// not pay for it.
func (r *Region) currentSize() int64 {
	r.upToDate()
	if r.sizeStale.Load() {
		r.refreshSize()
	}
	return r.size.Load()
}

// setSize makes size, in bytes of the Region, the known one. mu is held.
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

// shrinkTo replaces the mapping by one that ends at size, before the file does: a
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
	r.stillAsked(&m.readLimit)
	r.stillAsked(&m.writeLimit)
	r.setLimits(old, size)
}

// refreshSizeLocked asks the descriptor for the size and publishes it. mu is held.
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

// noteShrink is called when the file has become shorter. mu is held.
func (r *Region) noteShrink() {
	if r.eofPageDirty || r.effectiveProt()&sys.Write == 0 || r.m.Load() == nil {
		return
	}
	r.eofPageDirty = r.eofPage.KeepsStores
}

// refreshSize is called after the descriptor served a call which showed that the
// known size is wrong.
func (r *Region) refreshSize() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed.Load() {
		_ = r.refreshSizeLocked()
	}
}

// tryRefreshSize is noticed for a reader, who waits for nobody: whoever holds the lock
// may be waiting for the file system, and another reader will notice too.
func (r *Region) tryRefreshSize() {
	if r.mu.TryLock() {
		defer r.mu.Unlock()
		_ = r.refreshSizeLocked()
	}
}

// resolveRange is the one place where a range is checked. It resolves [ToEnd] and
// returns the length. A range past the known end is one error, after the
// descriptor was asked whether the file has grown; one that no file could have
// is another.
func (r *Region) resolveRange(off, n int64) (int64, error) {
	switch {
	case off < 0, n < ToEnd, n > math.MaxInt64-off:
		return 0, fmt.Errorf("no range of %d bytes at %d: %w", n, off, syscall.EINVAL)
	case n == 0:
		return 0, nil
	}
	size := r.currentSize()
	if n == ToEnd && off <= size {
		return size - off, nil
	}
	if n != ToEnd && off+n <= size {
		return n, nil
	}
	if !r.memoryOnly() && !r.unsized {
		r.refreshSize()
		size = r.size.Load()
	}
	if n == ToEnd {
		n = max(size-off, 0)
	}
	if off > size || off+n > size {
		return 0, fmt.Errorf("no range of %d bytes at %d in %d: %w", n, off, size, io.ErrUnexpectedEOF)
	}
	return n, nil
}

// extend writes past the end, under the lock that a change of size holds.
func (r *Region) extend(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.prepareExtend() {
		defer r.pendingExtends.Add(-1)
	}
	n, err := r.f.WriteAt(p, r.base+off)
	if end := off + int64(n); n > 0 && end > r.size.Load() {
		r.setSize(end) // at least
		if !r.sizeStale.Load() {
			r.sizeStale.Store(true)
		}
	}
	return n, err
}

// prepareExtend makes the last page of the file ready for a write past its end. It
// reports whether it counted that write in growing: then no other goes to memory
// meanwhile, and who called lowers it again. mu is held.
func (r *Region) prepareExtend() bool {
	r.zeroPastEOF()
	m, size := r.m.Load(), r.size.Load()
	if m == nil || !r.eofPage.ZeroedByWriteback || size == 0 {
		return false
	}
	// Until it is written the page must be clean, and stay so. What fails
	// here the system reports once, so it is kept for Flush.
	r.pendingExtends.Add(1)
	lo, _ := m.pageRange(min(size, m.capacity)-1, 1)
	m.forgetWrites(lo, m.residency.n)
	_, err := r.call(fileArgs{kind: opBack, off: r.base + size - 1})
	r.setSticky(err)
	return true
}

// zeroPastEOF makes the bytes past the end of the file zero, up to the end of
// its last page: a slice or a writer that outlived a shrinking may have stored
// there, and tmpfs shows such bytes when the file grows again. Where the end is
// must be asked: what others appended is not to be cleared. mu is held.
func (r *Region) zeroPastEOF() {
	if !r.eofPageDirty || r.effectiveProt()&sys.Write == 0 || r.effectiveProt()&sys.Read == 0 || r.refreshSizeLocked() != nil {
		return
	}
	m, size := r.m.Load(), r.size.Load()
	if m == nil {
		return
	}
	end := min(alignUp(m.lead+size)-m.lead, m.capacity)
	m.zero(size, end)
}

// zeroPastEOFOnClose is clearTail for a Region that goes: if somebody else cut the file
// and it did not notice, it may have stored past the end, and nobody would know.
// mu is held.
func (r *Region) zeroPastEOFOnClose() {
	m := r.m.Load()
	if m == nil || !r.eofPage.KeepsStores || m.dirtyEnd.Load() == 0 && r.escapedEnd.Load() == 0 || r.refreshSizeLocked() != nil {
		return
	}
	r.zeroPastEOF()
}

// Truncate changes the size of the file to size bytes, as [os.File.Truncate]
// does; the cursor stays. Bytes past size are gone, and are zero when the file
// grows again. With Options.Offset, size counts from the Region's first byte.
// Private and anonymous memory and windows have a fixed size: the error wraps
// [errors.ErrUnsupported].
//
// On Windows a file cannot be cut while slices of its memory are out: the
// error is the system's (ERROR_USER_MAPPED_FILE).
func (r *Region) Truncate(size int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed.Load():
		return wrap("truncate", r.name, os.ErrClosed)
	case r.memoryOnly() || r.window > 0:
		return wrap("truncate", r.name, errors.ErrUnsupported)
	case size < 0 || r.base+size < 0:
		return wrap("truncate", r.name, syscall.EINVAL)
	case r.unsized || !r.fdWritable:
		return r.f.Truncate(r.base + size)
	}
	var end, rawEnd int64
	if size < r.size.Load() {
		rawEnd = r.escapedEnd.Load()
		if r.dirtyEnd != nil {
			end = r.dirtyEnd.Load()
		}
		// Nobody may write past the new end any more before it is there,
		// and who did by the descriptor sees that it was cut.
		r.shrinkTo(size)
		r.unmapBeforeShrink()
	} else {
		r.zeroPastEOF()
	}
	err := r.f.Truncate(r.base + size)
	if err != nil && sys.MappingPinsSize && reclaimable() {
		runGC() // our own earlier mappings may hold the file
		err = r.f.Truncate(r.base + size)
	}
	if err != nil && r.dirtyEnd != nil {
		r.dirtyEnd.Store(max(end, r.dirtyEnd.Load())) // the file still has to have what was stored
		r.escapedEnd.Store(max(rawEnd, r.escapedEnd.Load()))
	}
	return firstError(err, wrap("truncate", r.name, r.refreshSizeLocked()))
}

// unmapBeforeShrink takes the mapping away where a file keeps the size of its mappings,
// unless its bytes were handed out: then the system refuses, and says so.
func (r *Region) unmapBeforeShrink() {
	m := r.m.Load()
	if !sys.MappingPinsSize || m == nil || r.escapedEnd.Load() > 0 || m.mem.escaped.Load() {
		return
	}
	r.m.Store(nil)
	_ = r.revokeAll(m)
}
