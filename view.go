// This file may use unsafe: it hands out memory as it lies.

package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// maxViewPopulate is the length up to which a View's bytes are brought in before
// the callback runs: a fault in Go code stops a processor, a system call does
// not.
const maxViewPopulate = 1 << 20

// View calls fn with the n bytes at off as they lie in memory, without a
// copy; n may be [ToEnd]. A fault in this Region during fn, in any function it
// calls on this goroutine, ends fn and makes View return a [*FaultError]. Any
// other panic, and [runtime.Goexit], passes as it is, and fn's own error is
// returned as it is.
//
// b is valid until fn returns. Stores to it are writes to the file, and
// faults where the memory does not allow writing. An empty range calls fn with
// an empty slice. A range past the end is an error wrapping
// [io.ErrUnexpectedEOF]. A Region that is served through its descriptor alone (see
// [OpenFile]) has no bytes to show: the error says why.
//
// The guard does not reach: other goroutines, cgo, sending a mapped array to a
// channel, storing under a mapped string in a map, println of a mapped string,
// and a fn that recovers by itself (as fmt does around String methods). A
// fault there is a crash, or is hidden. Locks that fn holds without defer stay
// held.
//
// Views may be nested, of this and of other Regions, and may run beside every
// other method. A View of up to 1 MiB is brought into memory before fn runs.
func (r *Region) View(off, n int64, fn func(b []byte) error) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	m, size, err := r.lend(off, n)
	if r.viewsCopy(err) {
		return r.viewCopy(off, n, fn)
	}
	if err != nil {
		return wrap("view", r.name, err)
	}
	n = size
	if m == nil {
		return r.callGuarded([]byte{}, fn)
	}
	if revokesSuperseded {
		defer m.mem.Leave()
	}
	r.syncIncoherent(off, n)
	if n <= maxViewPopulate && off+n > m.readLimit.Load() && r.f != nil && !r.isResident(m, off, n) && r.bringIn(m, off, n) {
		r.markResident(m, off, n)
	}
	if r.mayBeStored() {
		m.noteStore(off + n) // a Flush inside fn counts on it
		defer r.noteStored(m, off+n)
	}
	err = r.callGuarded(m.bytes(off, n), fn)
	runtime.KeepAlive(m)
	r.syncIncoherent(off, n)
	return err
}

// noteStored notes that something may have been stored to m up to end. If our own
// Truncate has replaced m meanwhile, what lies below the new end is in the file
// still, and the new mapping's to answer for.
func (r *Region) noteStored(m *mapping, end int64) {
	m.noteStore(end)
	if now := r.m.Load(); now != m && now != nil {
		now.noteStore(min(end, r.size.Load()))
	}
}

// lend is mappedRange for a View. That somebody is about to know the addresses is
// noted first, and then looked whether the mapping was replaced before: who
// replaces it looks afterwards. Where a replaced mapping is revoked at once the
// Views in it are counted, elsewhere it is enough that there was one.
func (r *Region) lend(off, n int64) (*mapping, int64, error) {
	for {
		m, n, err := r.mappedRange(off, n)
		if err != nil || m == nil {
			return m, n, err
		}
		if revokesSuperseded {
			m.mem.Enter()
		} else {
			m.mem.Lend()
		}
		if r.m.Load() == m || r.closing.Load() {
			return m, n, nil
		}
		if revokesSuperseded {
			m.mem.Leave()
		}
	}
}

// Bytes returns the Region's bytes as they lie in memory, as many as
// [Region.Size] tells; their capacity is their length. It returns nil for a
// Region that is empty, closed, or served through its descriptor alone.
//
// The slice is valid until Close, and keeps nothing alive: neither the Region
// nor the file. Later growth leaves it valid, and as long as it was. A fault
// in it outside [Region.View] (a truncated file, failing storage, a use after
// Close) is a crash, as with any memory. Where the file is not writable, so is
// the slice: a store is a fault.
func (r *Region) Bytes() []byte {
	if r.checkValid() != nil {
		return nil
	}
	m, n, err := r.escape(0, ToEnd)
	if err != nil || m == nil {
		return nil
	}
	return m.bytes(0, n)
}

// escape is mappedRange for bytes that the caller keeps until Close. They are
// known to be handed out, by the account of addresses and by Flush, before the
// caller has them: both under the lock under which the range was resolved.
func (r *Region) escape(off, n int64) (*mapping, int64, error) {
	if r.m.Load() == nil {
		_, _ = r.mapped() // so that the descriptor is asked about it, before its bytes are out
	}
	r.upToDate()
	if m, n, ok := r.shown(off, n); ok && m.mem.Escaped() && (off+n <= r.escapedEnd.Load() || !r.mayBeStored()) {
		return m, n, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m, n, err := r.mappedRangeLocked(off, n)
	if err != nil || m == nil {
		return nil, 0, err
	}
	m.mem.Escape()
	if r.mayBeStored() {
		raise(&r.escapedEnd, off+n)
	}
	return m, n, nil
}

// Slice returns n values of type T that lie in the Region starting at byte off,
// as they lie in memory; package sync/atomic works on them, also between
// processes that map the same file. T must hold no pointers of any kind and
// must not be empty, off must be aligned for T, and all bytes must be in the
// Region; otherwise the error wraps EINVAL, or [io.ErrUnexpectedEOF] past the
// end. n of 0 is an empty slice.
//
// The slice is valid until Close; its risks are those of [Region.Bytes]. The
// bytes have the processor's order and the compiler's layout.
func Slice[T any](r *Region, off int64, n int) ([]T, error) {
	if err := r.checkValid(); err != nil {
		return nil, err
	}
	p, err := typedPointer(r, off, int64(n), reflect.TypeFor[T]())
	if err != nil {
		return nil, wrap("slice", r.name, err)
	}
	if n == 0 {
		return []T{}, nil
	}
	return unsafe.Slice((*T)(p), n), nil
}

// Pointer returns the value of type T at byte off, as it lies in memory. What
// is said of [Slice] holds for it.
func Pointer[T any](r *Region, off int64) (*T, error) {
	if err := r.checkValid(); err != nil {
		return nil, err
	}
	p, err := typedPointer(r, off, 1, reflect.TypeFor[T]())
	if err != nil {
		return nil, wrap("pointer", r.name, err)
	}
	return (*T)(p), nil
}

// typedPointer checks that n values of type t may lie at off, and returns where. The
// bytes count as handed out.
func typedPointer(r *Region, off, n int64, t reflect.Type) (unsafe.Pointer, error) {
	size, err := r.typedLength(off, n, t)
	if err == nil {
		err = r.neverOrSizeless()
	}
	if err != nil {
		return nil, err
	}
	m, _, err := r.escape(off, size)
	if err != nil || m == nil {
		return nil, err
	}
	return m.addr(off), nil
}

// typedLength checks that n values of type t may lie at off, and returns how
// many bytes they have.
func (r *Region) typedLength(off, n int64, t reflect.Type) (int64, error) {
	size := int64(t.Size())
	switch {
	case size == 0:
		return 0, fmt.Errorf("%v has no bytes: %w", t, syscall.EINVAL)
	case !pointerFree(t):
		return 0, fmt.Errorf("%v holds pointers, which the collector cannot see in mapped memory: %w", t, syscall.EINVAL)
	case n < 0 || off < 0 || n > math.MaxInt64/size:
		return 0, fmt.Errorf("no %d values of %d bytes at %d: %w", n, size, off, syscall.EINVAL)
	}
	length := n * size
	if r.neverOrSizeless() == nil { // else View reads a copy, and finds out
		var err error
		if length, err = r.checkRange(off, length); err != nil {
			return 0, err
		}
	}
	// A mapping begins at a page: what is aligned in the file is in memory.
	if length > 0 && (r.lead()+off)%int64(t.Align()) != 0 {
		return 0, fmt.Errorf("byte %d is not aligned for %v: %w", off, t, syscall.EINVAL)
	}
	return length, nil
}

// pointerFreeTypes remembers what plain found: it is asked once a type.
var pointerFreeTypes sync.Map // of reflect.Type to bool

// pointerFree reports whether values of type t hold no pointers.
func pointerFree(t reflect.Type) bool {
	if known, ok := pointerFreeTypes.Load(t); ok {
		return known.(bool)
	}
	is := false
	switch t.Kind() {
	case reflect.Array:
		is = t.Len() == 0 || pointerFree(t.Elem())
	case reflect.Struct:
		is = true
		for i := range t.NumField() {
			is = is && pointerFree(t.Field(i).Type)
		}
	default:
		is = t.Kind() >= reflect.Bool && t.Kind() <= reflect.Complex128
	}
	pointerFreeTypes.Store(t, is)
	return is
}

// maxViewCopy bounds the copy that a View makes of a file without memory.
const maxViewCopy = min(1<<30, math.MaxInt/8)

// viewsCopy reports whether a View that found err gets a copy: there are no
// bytes in memory, and none that the callback could change.
func (r *Region) viewsCopy(err error) bool {
	return errors.Is(err, ErrNotMapped) && r.f != nil && !r.fdWritable && !r.memoryOnly()
}

// viewCopy is View for a Region whose file cannot be mapped and cannot be
// written: fn gets a copy, read through the descriptor. What has no size is read
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
	if n, err = r.copyLength(off, n); err != nil || n == 0 {
		return []byte{}, err
	}
	b, err = r.readRange(off, n)
	if err == nil && !toEnd && int64(len(b)) < n {
		err = fmt.Errorf("no range of %d bytes at %d: %w", n, off, io.ErrUnexpectedEOF)
	}
	return b[:len(b):len(b)], err
}

// copyLength checks a range of which a copy is wanted, and returns its length:
// ToEnd only if nothing tells.
func (r *Region) copyLength(off, n int64) (int64, error) {
	switch {
	case off < 0, n < ToEnd, n > math.MaxInt64-off:
		return 0, fmt.Errorf("no range of %d bytes at %d: %w", n, off, syscall.EINVAL)
	case n == 0:
		return 0, nil
	case r.unsized && (n == ToEnd || !r.seekable()):
		return 0, r.neverMapped
	case !r.unsized && (r.currentSize() > 0 || !r.generated(r.base)):
		return r.resolveRange(off, n)
	}
	return n, nil
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
	if r.direct && n > 0 {
		return r.readDirect(off, n)
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

// readDirect is readRange for O_DIRECT, which wants all that it reads, and where it
// puts it, to begin and end where pages do.
func (r *Region) readDirect(off, n int64) ([]byte, error) {
	lead := (r.base + off) & (pageSize - 1)
	room := make([]byte, alignUp(lead+n)+pageSize)
	room = room[-uintptr(dataPtr(room))&uintptr(pageSize-1):]
	got, err := countRead(r.f.ReadAt(room[:alignUp(lead+n)], r.base+off-lead))
	if err != nil && err != io.EOF {
		return nil, underlyingError(err)
	}
	return room[min(lead, int64(got)):min(lead+n, int64(got))], nil
}
