// This file may use unsafe: it shows bytes as values of another type.

package mmap

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// ViewSlice is [Region.View] for n values of type T that lie in the Region from
// byte off on. The slice is valid until fn returns; a fault during fn is a
// [*FaultError]. What T must be, and what is refused, is said at [Slice]; unlike
// a Slice nothing is handed out for longer than fn runs. n of 0 calls fn with an
// empty slice.
func ViewSlice[T any](r *Region, off int64, n int, fn func(s []T) error) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	size, err := r.typedLength(off, int64(n), reflect.TypeFor[T]())
	if err != nil {
		return wrap("view", r.name, err)
	}
	return r.View(off, size, func(b []byte) error {
		return fn(unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n))
	})
}

// viewChunk is the length of the pieces of [Region.ViewChunks] that nobody asked
// otherwise for: long enough that what a View costs does not count, and short
// enough that what comes is still in the processor's cache when fn reads it.
const viewChunk = 1 << 20

// ViewChunks calls fn for piece after piece of the n bytes at off, as
// [Region.View] does for one; n may be [ToEnd], which is the end at the time of
// the call. fn gets the offset of a piece and its bytes as they lie in memory,
// valid until it returns. Pieces are size bytes long (0: 1 MiB), the last one as
// long as what is left. Each begins overlap bytes before the end of the one
// before, so that a search misses nothing that lies across a boundary. An empty
// range calls fn not at all.
//
// While fn has one piece the next is being read, and each is brought into
// memory inside a system call before fn gets it: a file that is not cached
// stalls no other goroutine and no collection, however long it is.
//
// An error of fn ends it and is returned as it is. A fault is a [*FaultError];
// if the file was cut, its Err wraps [io.ErrUnexpectedEOF] and says where the
// file ends now. A negative size or overlap, and an overlap that is not less
// than the size, is an error wrapping EINVAL. The rest is said at View.
func (r *Region) ViewChunks(off, n, size, overlap int64, fn func(off int64, b []byte) error) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	if size == 0 {
		size = viewChunk
	}
	if size < 0 || overlap < 0 || overlap >= size {
		return wrap("view", r.name, fmt.Errorf("pieces of %d bytes that overlap by %d: %w", size, overlap, syscall.EINVAL))
	}
	unmapped := r.neverOrSizeless()
	if unmapped == nil {
		_, unmapped = r.mapped()
	}
	if n != 0 && r.viewsCopy(unmapped) {
		return r.copyChunks(off, n, size, overlap, fn)
	}
	length, err := r.checkRange(off, n)
	if err != nil {
		return wrap("view", r.name, err)
	}
	if length == 0 && n != 0 && r.neverOrSizeless() != nil {
		return r.View(off, n, func([]byte) error { return nil }) // why there are no bytes
	}
	at, end := off, off+length
	var failed error // of fn
	show := func(b []byte) error { failed = fn(at, b); return failed }
	for at < end {
		c := min(size, end-at)
		next := at + c
		if next < end {
			r.startReading(next, min(size, end-next))
		}
		r.bringInRange(at, c)
		if err := r.View(at, c, show); err != nil {
			if failed != nil {
				return err
			}
			return r.cutShort(at, err)
		}
		if next == end {
			break
		}
		at = next - overlap
	}
	return nil
}

// copyChunks is ViewChunks where a View shows a copy. How much there is says the
// reading alone: the size of such a file may be made up.
func (r *Region) copyChunks(off, n, size, overlap int64, fn func(off int64, b []byte) error) error {
	length, err := r.copyLength(off, n)
	if err != nil {
		return wrap("view", r.name, r.closedOr(err))
	}
	for at, end := off, off+length; ; {
		want := size
		if length != ToEnd {
			want = min(size, end-at)
		}
		b, err := r.readRange(at, want)
		got := int64(len(b))
		if err == nil && got < want && n != ToEnd {
			err = fmt.Errorf("no range of %d bytes at %d: %w", n, off, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return wrap("view", r.name, r.closedOr(err))
		}
		if at == off && got > 0 || got > overlap {
			if err := r.callGuarded(b[:got:got], func(b []byte) error { return fn(at, b) }); err != nil {
				return err
			}
		}
		if at += got; got < want || length != ToEnd && at == end {
			return nil
		}
		at -= overlap
	}
}

// startReading starts the reading of a range that is not known to be resident.
// It is a hint.
func (r *Region) startReading(off, n int64) {
	if m, n, ok := r.shown(off, n); ok && off+n > m.readLimit.Load() && !m.residency.resident.Contains(m.pageRange(off, n)) {
		_ = sys.Advise(m.pagesOf(off, n), sys.WillNeed)
		runtime.KeepAlive(m)
	}
}

// bringInRange brings a range in. Where that fails the file may have been cut:
// then View must not show what the Region believed to be there.
func (r *Region) bringInRange(off, n int64) {
	m, n, err := r.mappedRange(off, n)
	if err != nil || m == nil || r.f == nil || off+n <= m.readLimit.Load() || r.isResident(m, off, n) {
		return
	}
	if r.bringIn(m, off, n) {
		r.markResident(m, off, n)
	} else {
		r.refreshSize()
	}
}

// cutShort turns the error of a piece that begins at off into one that says where
// the file ends, if that was the reason.
func (r *Region) cutShort(off int64, err error) error {
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	var fault *FaultError
	if errors.As(err, &fault) {
		off = fault.Off
	}
	r.refreshSize()
	size := r.size.Load()
	return &FaultError{Op: "view", Path: r.name, Off: max(off, size), Err: fmt.Errorf("the file ends at byte %d now: %w", size, io.ErrUnexpectedEOF)}
}
