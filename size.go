package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

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
	eofPage        sys.EOFPage  // known while mapped; guarded by mu
	eofPageDirty   bool         // bytes may have been stored behind the end, and would show; guarded by mu
}

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
	if r == nil || r.isClosed() {
		return 0
	}
	return r.currentSize()
}

// Len is Size as an int, and the greatest int where it does not fit.
func (r *Region) Len() int { return int(min(r.Size(), math.MaxInt)) }

// currentSize returns the size of the Region as last seen. After an append it
// is only a lower bound; it is read from the descriptor here, when somebody
// needs it, so that appending costs no fstat. May wait for mu.
func (r *Region) currentSize() int64 {
	if r.unsized { // nothing goes by it but Size
		if info, err := r.fstat(); err == nil {
			r.size.Store(r.clampToWindow(info.Size))
		}
	}
	r.upToDate()
	if r.sizeStale.Load() {
		r.refreshSize()
	}
	return r.size.Load()
}

// setSize publishes the size, in bytes of the Region. It is the one place where
// the size changes but for our own Truncate. mu is held.
func (r *Region) setSize(size int64) {
	old := r.size.Load()
	m := r.m.Load()
	switch {
	case size < old:
		r.noteShrink(old, size)
		if m != nil {
			m.forgetFrom(size)
			r.setLimits(m, size)
		}
	case size > old && m != nil:
		if size > m.capacity && !revokesSuperseded && r.sizeToRemap(size) {
			if grown, err := r.remap(size, 0); err == nil {
				m = grown
			} // what does not fit stays with the descriptor
		}
		r.setLimits(m, size)
		r.lockGrowth(m, old, size)
	}
	r.size.Store(size)
}

// sizeToRemap reports whether to try and map a file that outgrew its mapping.
// After a failure it waits until the file is twice as long: a process that has
// no addresses left must not ask for some at each append. mu is held.
func (r *Region) sizeToRemap(size int64) bool {
	return r.mapErr == nil || size/2 >= r.m.Load().capacity
}

// lockGrowth pins what came with growth from old to size, where the caller
// wants that. What cannot be pinned is no error. mu is held.
func (r *Region) lockGrowth(m *mapping, old, size int64) {
	lo, hi := AlignDown(m.lead+old), alignUp(m.lead+min(size, m.capacity))
	_ = r.attrs.get().lock(m.mem.Bytes(), lo, min(hi, int64(m.mem.Len())))
}

// shrinkTo publishes a smaller size before our own Truncate makes it true, and
// replaces the mapping by one that ends there: a write under way in the old one
// must not be taken for one past the new end, nor its end for one that Flush
// has to answer for. undo takes that back when the file could not be cut. mu is
// held.
func (r *Region) shrinkTo(size int64) (undo func()) {
	restore := r.shrinkEnds(size)
	r.noteEOFPage()
	r.size.Store(size)
	old := r.m.Load()
	if old == nil {
		return restore
	}
	old.forgetFrom(size)
	m := &mapping{mem: old.mem, at: old.at, lead: old.lead, capacity: old.capacity, residency: old.residency}
	m.dirtyEnd = r.storedEnd()
	m.old.Store(old.old.Load())
	m.readLimit.Store(old.readLimit.Load())
	m.writeLimit.Store(old.writeLimit.Load())
	r.setLimits(m, size)
	r.m.Store(m)
	r.stillAsked(&m.readLimit)
	r.stillAsked(&m.writeLimit)
	r.setLimits(old, size)
	return restore
}

// refreshSizeLocked asks the descriptor for the size and publishes it. mu is held.
func (r *Region) refreshSizeLocked() error {
	if r.unsized || r.memoryOnly() {
		return nil
	}
	info, err := r.fstat()
	if err == nil {
		r.setSize(r.clampToWindow(info.Size))
		r.sizeStale.Store(false) // not before: others rely on the size once it is false
	}
	return err
}

// refreshSize asks the descriptor for the size and publishes it. It waits for
// mu.
func (r *Region) refreshSize() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed.Load() {
		_ = r.refreshSizeLocked()
	}
}

// tryRefreshSize is refreshSize for readers, which must not wait: if mu is
// taken, its holder may be stuck in the file system. Skipping is safe, the next
// reader past the end tries again.
func (r *Region) tryRefreshSize() {
	if r.mu.TryLock() {
		defer r.mu.Unlock()
		if !r.closed.Load() {
			_ = r.refreshSizeLocked()
		}
	}
}

// noteFileSize is called with the size of the file that the descriptor told a
// caller: if it is news, it is published. It is asked for again under mu,
// because another may have published a later one meanwhile.
func (r *Region) noteFileSize(fileSize int64) {
	if !r.unsized && !r.memoryOnly() && r.clampToWindow(fileSize) != r.size.Load() {
		r.refreshSize()
	}
}

// resolveRange checks a range that is only asked about, and returns its length:
// see resolveLocked. It takes mu only for a range past the known end.
func (r *Region) resolveRange(off, n int64) (int64, error) {
	if size := r.currentSize(); off >= 0 && off <= size && n >= ToEnd && n <= size-off {
		if n == ToEnd {
			n = size - off
		}
		return n, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resolveLocked(off, n)
}

// resolveLocked is the one place where a range is checked. It resolves [ToEnd]
// and returns the length. A range past the end is one error, after the
// descriptor was asked whether the file has grown; one that no file could have
// is another. mu is held.
func (r *Region) resolveLocked(off, n int64) (int64, error) {
	switch {
	case off < 0, n < ToEnd, n > math.MaxInt64-off:
		return 0, fmt.Errorf("no range of %d bytes at %d: %w", n, off, syscall.EINVAL)
	case n == 0:
		return 0, nil
	}
	if r.sizeStale.Load() || off+max(n, 0) > r.size.Load() {
		if err := r.refreshSizeLocked(); err != nil {
			return 0, err
		}
	}
	size := r.size.Load()
	end := off + n
	if n == ToEnd {
		end = max(size, off)
	}
	if off > size || end > size {
		return 0, fmt.Errorf("no range of %d bytes at %d in %d: %w", end-off, off, size, io.ErrUnexpectedEOF)
	}
	return end - off, nil
}

// clipRange is resolveRange for hints: what lies past the end is left out, and
// only a range that no file could have is an error.
func (r *Region) clipRange(off, n int64) (int64, error) {
	if off < 0 || n < ToEnd || n > math.MaxInt64-off {
		return r.resolveRange(off, n)
	}
	size := r.currentSize()
	if n != ToEnd && off+n > size {
		r.refreshSize()
		size = r.size.Load()
	}
	if n == ToEnd {
		n = math.MaxInt64 - off
	}
	return max(min(n, size-off), 0), nil
}

// mappedRange is the one way to get the memory of a range. It returns the
// mapping that shows all of the n bytes at off, and n with [ToEnd] resolved; no
// mapping for an empty range. It maps if need be. A range that the current
// mapping backs takes no lock: both were compared with the same mapping.
func (r *Region) mappedRange(off, n int64) (*mapping, int64, error) {
	r.upToDate() // or another is asking: then what memory shows is a second old at most
	if m, n, ok := r.shown(off, n); ok {
		return m, n, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mappedRangeLocked(off, n)
}

// shown is mappedRange for what needs no lock.
func (r *Region) shown(off, n int64) (*mapping, int64, bool) {
	m := r.m.Load()
	if m == nil || r.sizeStale.Load() || off < 0 {
		return nil, 0, false
	}
	if n == ToEnd {
		n = r.size.Load() - off
	}
	if n <= 0 || off > m.backed.Load() || n > m.backed.Load()-off {
		return nil, 0, false
	}
	return m, n, true
}

// mappedRangeLocked is mappedRange for a caller that holds mu.
func (r *Region) mappedRangeLocked(off, n int64) (*mapping, int64, error) {
	if r.closed.Load() {
		return nil, 0, os.ErrClosed
	}
	if err := r.neverOrSizelessLocked(); err != nil {
		return nil, 0, err
	}
	n, err := r.resolveLocked(off, n)
	if err != nil || n == 0 {
		return nil, 0, err
	}
	m, err := r.mappedToEndLocked()
	if err != nil && m == nil {
		return nil, 0, err
	}
	if size := r.size.Load(); off+n > size { // mapping asked again
		return nil, 0, fmt.Errorf("no range of %d bytes at %d in %d: %w", n, off, size, io.ErrUnexpectedEOF)
	}
	if m := r.m.Load(); off+n <= m.capacity {
		return m, n, nil
	}
	return nil, 0, notMapped(fmt.Errorf("not so far: %w", firstError(err, sys.Fault)))
}

// extend writes past the end, under the lock that a change of size holds.
func (r *Region) extend(p []byte, off int64, counted bool) (n int, err error) {
	r.mu.Lock()
	if r.eofPageDirty || r.eofPage.ZeroedByWriteback {
		n, err = r.extendPrepared(p, off, counted)
	} else {
		n, err = r.pwriteLocked(p, off, counted)
	}
	if err != nil {
		_ = r.refreshSizeLocked() // a part of it may have arrived
	} else if end := off + int64(n); end > r.size.Load() {
		r.setSize(end) // at least
		if !r.sizeStale.Load() {
			r.sizeStale.Store(true)
		}
	}
	r.mu.Unlock()
	return n, err
}

// extendPrepared is extend where the EOF page needs care. mu is held.
func (r *Region) extendPrepared(p []byte, off int64, counted bool) (int, error) {
	if r.prepareExtend(off) {
		defer r.pendingExtends.Add(-1)
	}
	return r.pwriteLocked(p, off, counted)
}

// Truncate changes the size of the file to size bytes, as [os.File.Truncate]
// does; the cursor stays. Bytes past size are gone, and are zero when the file
// grows again. With Options.Offset, size counts from the Region's first byte.
// Private and anonymous memory and windows have a fixed size: the error wraps
// [errors.ErrUnsupported].
//
// On Windows a file cannot be cut while slices of its memory are out, or a View
// is in progress: the error is the system's (ERROR_USER_MAPPED_FILE).
func (r *Region) Truncate(size int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed.Load():
		return wrap("truncate", r.name, os.ErrClosed)
	case r.memoryOnly() || r.window > 0:
		return wrap("truncate", r.name, errors.ErrUnsupported)
	case (size < 0 || r.base+size < 0) && r.fdWritable:
		return wrap("truncate", r.name, sys.BadSize)
	case r.unsized || !r.fdWritable:
		return r.f.Truncate(r.base + size)
	}
	if r.answersForStores() {
		_ = r.refreshSizeLocked() // a cut by somebody else must not be hidden by what comes now
	}
	undo := func() {}
	if size < r.size.Load() {
		// Nobody may write past the new end any more before it is there,
		// and a write through the descriptor that did notices that it was cut.
		undo = r.shrinkTo(size)
		r.unmapBeforeShrink()
	} else {
		r.zeroPastEOF()
	}
	err := r.f.Truncate(r.base + size)
	if err != nil && sys.MappingPinsSize && addrspace.Collect() { // our own earlier mappings may hold the file
		err = r.f.Truncate(r.base + size)
	}
	if err != nil {
		undo()
	}
	return firstError(err, wrap("truncate", r.name, r.refreshSizeLocked()))
}

// unmapBeforeShrink takes the mapping away where a mapping holds the file's
// size, unless its bytes are lent or escaped: then the system refuses, and says
// so. mu is held.
func (r *Region) unmapBeforeShrink() {
	if !sys.MappingPinsSize {
		return
	}
	m := r.m.Swap(nil)
	for _, s := range r.ranges {
		if s.InUse() {
			r.m.Store(m)
			return
		}
	}
	r.member.setMapped(false)
	_ = r.revokeAll()
}
