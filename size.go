package mmap

import (
	"github.com/seed-93fed273/mmap/internal/sys"
)

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
		if size > m.capacity && sys.MapsPastEOF && r.sizeToRemap(size) {
			grown, err := r.remap(size, 0)
			if r.noteMapped(size, err); err == nil {
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
	return r.mapErr == nil || size/2 >= r.unmappable
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

// noteShrink is called when the file was found cut from old to size by
// somebody else. mu is held.
func (r *Region) noteShrink(old, size int64) {
	r.noteEOFPage()
	dirty := max(r.storedEnd().Load(), r.flushEnd)
	escaped := min(r.escapedEnd.Load(), old)
	switch {
	case size < dirty:
		r.lost = r.lost.and(loss{size, dirty, true})
	case size < escaped:
		r.lost = r.lost.and(loss{size, escaped, false})
	}
}

// noteEOFPage is called when the file has become shorter under a writable
// mapping. mu is held.
func (r *Region) noteEOFPage() {
	if r.effectiveProt()&sys.Write != 0 && r.m.Load() != nil {
		r.eofPageDirty = true
	}
}
