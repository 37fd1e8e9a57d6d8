package mmap

import (
	"fmt"
	"io"
	"math"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

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

// mappedRange is the one way to get the memory of a range. It returns the
// mapping that shows all of the n bytes at off, and n with [ToEnd] resolved; no
// mapping for an empty range. It maps if need be. A range that the current
// mapping backs takes no lock: both were compared with the same mapping.
func (r *Region) mappedRange(off, n int64) (m *mapping, size int64, err error) {
	r.upToDate() // or another is asking: then what memory shows is a second old at most
	if m, n, ok := r.shown(off, n); ok {
		return m, n, nil
	}
	for range 2 {
		r.mu.Lock()
		m, size, err = r.mappedRangeLocked(off, n)
		r.mu.Unlock()
		if err != nil || m == nil || r.serves(m) || r.m.Load() == m {
			break
		} // it was made just now, and asking the descriptor has replaced it
	}
	return m, size, err
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

// Size returns the number of bytes of the Region as it last saw the file: what
// others appended since is noticed by a read past this end. 0 after Close.
func (r *Region) Size() int64 {
	if r == nil {
		return 0
	}
	size := r.currentSize()
	if r.isClosed() { // perhaps before it could be asked for
		return 0
	}
	return size
}

// Len is Size as an int, and the greatest int where it does not fit.
func (r *Region) Len() int { return int(min(r.Size(), math.MaxInt)) }

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

// Refresh asks the descriptor for the size and takes over what it says, growth
// and cuts by others alike: from then on Size, Len, Bytes and ranges to the end
// go by it, and memory serves no byte past it. It returns the Region's size. The
// size of private and anonymous memory is fixed, and that of what has no size
// (a pipe) is 0.
func (r *Region) Refresh() (size int64, err error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		err = os.ErrClosed
	} else {
		err = r.refreshSizeLocked()
	}
	if err != nil {
		return 0, wrap("refresh", r.name, err)
	}
	return r.size.Load(), nil
}

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

// neverOrSizeless returns why the Region can have no memory now: because of how
// and what was opened, or because it is a file of no size that has bytes all the
// same.
func (r *Region) neverOrSizeless() error {
	if r.neverMapped != nil {
		return r.neverMapped
	}
	if r.memoryOnly() || r.currentSize() > 0 || !r.generated(r.base) {
		return nil
	}
	return notMapped(errGenerated)
}

// neverOrSizelessLocked is neverOrSizeless for a caller that holds mu.
func (r *Region) neverOrSizelessLocked() error {
	if r.neverMapped == nil && r.sizeStale.Load() {
		if err := r.refreshSizeLocked(); err != nil {
			return err
		}
	}
	return r.neverOrSizeless() // finds no stale size
}
