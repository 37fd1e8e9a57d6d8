package mmap

import (
	"errors"
	"os"
	"runtime"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

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

// pwrite writes p at off through the descriptor. An [os.File.WriteAt] that fails
// says that nothing arrived. Counted, what did is counted, and the cursor is
// locked.
func (r *Region) pwrite(p []byte, off int64, counted bool) (n int, err error) {
	if !counted || !sys.CountsWrites {
		return countWrite(r.f.WriteAt(p, r.base+off))
	}
	n, err = countWrite(r.cursor.write.call(&r.descriptor, p, r.base+off))
	if err != nil {
		err = wrap("write", r.name, err)
	}
	return n, err
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
	if r.answersForStores() || sys.MappingPinsSize {
		// A cut by somebody else must not be hidden by what comes now, nor growth
		// by somebody else hide that this makes the file shorter.
		_ = r.refreshSizeLocked()
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

// pwriteLocked is pwrite for a caller that holds mu, and with it off Close.
func (r *Region) pwriteLocked(p []byte, off int64, counted bool) (n int, err error) {
	w := &r.cursor.write
	if !counted || !sys.CountsWrites || !w.known || r.closed.Load() {
		return r.pwrite(p, off, counted)
	}
	n, err = countWrite(sys.Pwrite(w.fd, p, r.base+off))
	runtime.KeepAlive(r.f)
	if err != nil {
		err = wrap("write", r.name, err)
	}
	return n, err
}
