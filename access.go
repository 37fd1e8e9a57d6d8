package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// ErrNotMapped says that there is no memory to show, or to promise something
// of: the file is served by its descriptor. It wraps [errors.ErrUnsupported].
// Errors that wrap it say the reason, and wrap the system's error if that is
// one.
var ErrNotMapped error = errNotMapped{}

// errNotMapped is the type of ErrNotMapped.
type errNotMapped struct{}

func (errNotMapped) Error() string { return "not mapped" }
func (errNotMapped) Unwrap() error { return errors.ErrUnsupported }

// notMappedError is ErrNotMapped with its reason.
type notMappedError struct{ why error }

func (e *notMappedError) Error() string   { return "not mapped: " + e.why.Error() }
func (e *notMappedError) Unwrap() []error { return []error{ErrNotMapped, e.why} }

// notMapped returns err as the reason of an ErrNotMapped. What is no such
// reason, an empty file and a closed Region, stays what it is.
func notMapped(err error) error {
	if err == nil || err == errEmpty || err == os.ErrClosed || errors.Is(err, ErrNotMapped) {
		return err
	}
	return &notMappedError{err}
}

// errViewOnly is why AccessMemory cannot be had of a file that is mapped
// privately for want of better.
var errViewOnly = errors.New("the file system shares no mappings: memory may differ from what the descriptor reads")

// errGenerated is why a file without a size has no memory.
var errGenerated = errors.New("the file has no size: its bytes are made up as they are read")

// Mapped returns nil if memory serves this Region, or will once that is
// needed, and otherwise an error that wraps [ErrNotMapped] and says why the
// descriptor does. A Region that was not mapped so far is mapped now, so that
// the answer is certain. An empty file can be mapped when it has bytes. After
// Close the error wraps [os.ErrClosed].
func (r *Region) Mapped() error {
	if err := r.checkValid(); err != nil {
		return err
	}
	err := r.closedOr(nil)
	if err == nil {
		err = r.neverOrSizeless()
	}
	if err == nil {
		_, err = r.mapped()
	}
	if err == errEmpty {
		err = nil
	}
	return wrap("mapped", r.name, err)
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

// mayMapPrivately reports whether a mapping that was refused with err may be a
// private one: nobody writes through this Region, so that it differs only in what
// it shows of the writes of others, and for that reason serves View and its kin
// alone.
func (r *Region) mayMapPrivately(err error) bool {
	return sys.RefusesShared(err) && !r.fdWritable && !r.memoryOnly() && r.flags&sys.SyncMap == 0 && r.serve != AccessMemory
}

// privately is mayMapPrivately for a file that is to be opened.
func (d *descriptor) privately(flag int, o Options) bool {
	return !writable(flag) && !o.Private && !o.MapSync && o.Access != AccessMemory
}

// maxViewCopy bounds the copy that a View makes of a file without memory.
const maxViewCopy = min(1<<30, math.MaxInt/8)

// viewsCopy reports whether a View that found err gets a copy: there are no
// bytes in memory, and none that the callback could change.
func (r *Region) viewsCopy(err error) bool {
	return errors.Is(err, ErrNotMapped) && r.f != nil && !r.fdWritable && !r.memoryOnly()
}

// viewCopy is View for a Region whose file cannot be mapped and cannot be
// written: fn gets a copy, read by the descriptor. What has no size is read
// up to its end for ToEnd; a device may have none, and is refused then.
func (r *Region) viewCopy(off, n int64, fn func(b []byte) error) error {
	b, err := r.copyRange(off, n)
	if err != nil {
		return wrap("view", r.name, r.closedOr(err))
	}
	return r.callGuarded(b, fn)
}

// copyRange returns a copy of n bytes at off; n may be ToEnd.
func (r *Region) copyRange(off, n int64) (b []byte, err error) {
	toEnd := n == ToEnd
	switch {
	case off < 0, n < ToEnd, n > math.MaxInt64-off:
		return nil, fmt.Errorf("no range of %d bytes at %d: %w", n, off, syscall.EINVAL)
	case n == 0:
		return []byte{}, nil
	case r.unsized && (toEnd || !r.seekable()):
		return nil, r.neverMapped
	case !r.unsized && (r.currentSize() > 0 || !r.generated(r.base)):
		n, err = r.resolveRange(off, n)
	}
	if err == nil {
		b, err = r.readRange(off, n)
	}
	if err == nil && !toEnd && int64(len(b)) < n {
		err = fmt.Errorf("no range of %d bytes at %d: %w", n, off, io.ErrUnexpectedEOF)
	}
	return b[:len(b):len(b)], err
}

// readRange reads n bytes at off, or up to the end of the file if that comes
// first or n is ToEnd.
func (r *Region) readRange(off, n int64) ([]byte, error) {
	most := int64(maxViewCopy)
	if n > most {
		return nil, notMapped(fmt.Errorf("%d bytes are too many for a copy", n))
	}
	if n != ToEnd {
		most = n
	}
	b := make([]byte, 0, max(n, 512))
	for {
		p := b[len(b):min(int64(cap(b)), most)]
		got, err := r.ReadAt(p, off+int64(len(b)))
		b = b[:len(b)+got]
		switch {
		case err == io.EOF || err == nil && int64(len(b)) == n:
			return b, nil
		case err != nil:
			return nil, underlyingError(err)
		case int64(len(b)) == most:
			return nil, notMapped(fmt.Errorf("more than %d bytes are too many for a copy", most))
		}
		b = append(b, 0)[:len(b)]
	}
}
