package mmapgo

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap"
)

// The protections, for the argument prot. RDWR, COPY and EXEC combine by or;
// COPY prevails over RDWR.
const (
	RDONLY = 0 // the memory can be read
	RDWR   = 2 // it can be written, and what is stored reaches the file
	COPY   = 4 // it can be written, and the file stays as it is (copy-on-write)
	EXEC   = 8 // it can be executed
)

// ANON, for the argument flags, makes memory that belongs to no file.
const ANON = 1

// MMap is a file, or part of one, mapped into memory.
type MMap []byte

// Map maps the whole file, as long as it is now. With ANON it fails, for want
// of a length: see [MapRegion].
func Map(f *os.File, prot, flags int) (MMap, error) {
	return MapRegion(f, -1, prot, flags, 0)
}

// MapRegion maps length bytes of the file from offset on, a multiple of the
// system's page size. A negative length means to the end of the file. A file
// too short for length is extended if prot is RDWR; otherwise the error wraps
// [io.ErrUnexpectedEOF]. A mapping of no bytes is an error wrapping
// [syscall.EINVAL].
//
// With ANON in flags, f and offset mean nothing, and the memory is zero.
func MapRegion(f *os.File, length int, prot, flags int, offset int64) (MMap, error) {
	if offset%int64(os.Getpagesize()) != 0 {
		return nil, fmt.Errorf("mmapgo: offset %d is not a multiple of the page size %d: %w",
			offset, os.Getpagesize(), syscall.EINVAL)
	}
	m, err := newMapping(f, int64(length), prot, flags&ANON != 0, offset)
	if err != nil {
		return nil, err
	}
	live.add(m)
	return m.bytes, nil
}

// newMapping makes what MapRegion returns. A length below 0 means to the end.
func newMapping(f *os.File, length int64, prot int, anonymous bool, offset int64) (*mapping, error) {
	if anonymous {
		if length <= 0 {
			return nil, fmt.Errorf("mmapgo: anonymous memory of %d bytes: %w", length, syscall.EINVAL)
		}
		r, err := mmap.Anonymous(length, &mmap.Options{Prot: protection(prot)})
		return handOut(r, err, 0, length)
	}
	extends := length > 0 && prot&(RDWR|COPY) == RDWR
	length, err := resolve(f, length, offset)
	if err != nil {
		return nil, err
	}
	r, base, err := openRegion(f, prot, offset, length)
	if err == nil && extends && r.Size() < base+length {
		// One byte, not the whole range: the rest stays a hole.
		if err = r.Allocate(base+length-1, 1); err != nil {
			r.Close()
		}
	}
	m, err := handOut(r, err, base, length)
	if err == nil {
		m.flushes = prot&COPY == 0
	}
	return m, err
}

// resolve returns how many bytes to map, and refuses a range that no file can
// have or no slice can show.
func resolve(f *os.File, length, offset int64) (int64, error) {
	if f == nil {
		return 0, fmt.Errorf("mmapgo: no file: %w", os.ErrInvalid)
	}
	if length < 0 {
		info, err := f.Stat()
		if err != nil {
			return 0, err
		}
		length = max(info.Size()-max(offset, 0), 0)
	}
	if length == 0 || length > math.MaxInt || offset < 0 || offset > math.MaxInt64-length {
		return 0, fmt.Errorf("mmapgo: cannot map %d bytes of %s from %d on: %w", length, f.Name(), offset, syscall.EINVAL)
	}
	return length, nil
}

// protection translates prot.
func protection(prot int) mmap.Prot {
	p := mmap.ProtRead
	if prot&(RDWR|COPY) != 0 {
		p |= mmap.ProtWrite
	}
	if prot&EXEC != 0 {
		p |= mmap.ProtExec
	}
	return p
}

// openRegion makes a Region of f that shows length bytes from offset on, and
// returns where in the Region they begin. A fixed window cannot be had of a
// file opened with O_APPEND: there it is the whole file.
func openRegion(f *os.File, prot int, offset, length int64) (r *mmap.Region, base int64, err error) {
	// A Prot that is asked for is a guarantee: the Region is mapped at once, or
	// Map fails.
	o := &mmap.Options{Prot: protection(prot), Private: prot&COPY != 0, Offset: offset, Length: length}
	r, err = mmap.Map(f, o)
	if !errors.Is(err, syscall.EINVAL) {
		return r, 0, err
	}
	o.Offset, o.Length = 0, 0
	if whole, werr := mmap.Map(f, o); werr == nil {
		return whole, offset, nil
	}
	return nil, 0, err
}

// handOut makes a mapping of length bytes of r from base on, or closes r.
func handOut(r *mmap.Region, err error, base, length int64) (*mapping, error) {
	if err != nil {
		return nil, err
	}
	b := r.Bytes()
	if int64(len(b)) < base+length {
		name := r.Name()
		r.Close()
		return nil, fmt.Errorf("mmapgo: %s ends before the %d bytes to map: %w", name, length, io.ErrUnexpectedEOF)
	}
	end := base + length
	return &mapping{region: r, base: base, bytes: b[base:end:end], start: address(b[base:])}, nil
}

// Flush puts what was stored in m on stable storage. Memory that belongs to no
// file, or was mapped with COPY, has nothing to write: Flush does nothing.
func (m MMap) Flush() error {
	return m.part("flush", func(p *mapping, off, n int64) error {
		if !p.flushes {
			return nil
		}
		return p.region.FlushRange(off, n)
	})
}

// Lock keeps the pages that hold m in memory (mlock(2), VirtualLock).
func (m MMap) Lock() error {
	return m.part("lock", func(p *mapping, off, n int64) error { return p.region.Lock(off, n) })
}

// Unlock takes Lock back.
func (m MMap) Unlock() error {
	return m.part("unlock", func(p *mapping, off, n int64) error { return p.region.Unlock(off, n) })
}

// View calls fn with the bytes of m. If touching them faults meanwhile, on this
// goroutine, fn ends and View returns a [*mmap.FaultError]; fn's own error is
// returned as it is. See [mmap.Region.View], also for what it cannot guard. The
// original has no such method.
func (m MMap) View(fn func(b []byte) error) error {
	return m.part("view", func(p *mapping, off, n int64) error { return p.region.View(off, n, fn) })
}

// part calls fn with the mapping that m lies in, and with m's place in its
// Region.
func (m MMap) part(op string, fn func(p *mapping, off, n int64) error) error {
	p, off := live.find(m)
	if p == nil {
		return errNotMapped(op)
	}
	return fn(p, p.base+off, int64(len(m)))
}

// Unmap ends the mapping and sets m to nil, whatever it returns. It does not
// wait for the disk: what was stored is in the system's cache. m must be the
// slice that Map or MapRegion returned, or a copy of it; for any other one, a
// part of it too, the error wraps [syscall.EINVAL] and no mapping ends.
func (m *MMap) Unmap() error {
	p := live.remove(*m)
	*m = nil
	if p == nil {
		return errNotMapped("unmap")
	}
	return p.region.Close()
}

// errNotMapped is the error for a slice that is none of ours.
func errNotMapped(op string) error {
	return fmt.Errorf("mmapgo: %s: the slice is no mapping of Map or MapRegion, or is unmapped: %w", op, syscall.EINVAL)
}
