package mmap

import (
	"fmt"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Protect sets what the pages that hold the n bytes from off on allow
// (mprotect(2)): [ProtNone], or ProtRead, ProtWrite and ProtExec combined; n
// may be [ToEnd], which includes what the file grows by. What is not allowed
// faults in memory, and ReadAt, WriteAt and their kin return EACCES for it:
// the descriptor is no way round. Writing to shared memory can only be allowed
// where the file is open for writing.
//
// Each boundary splits the system's map, as with [Region.Advise].
func (r *Region) Protect(off, n int64, p Prot) error {
	return wrap("mprotect", r.name, r.protect(off, n, p))
}

func (r *Region) protect(off, n int64, p Prot) error {
	if p&^(ProtRead|ProtWrite|ProtExec) != 0 && p != ProtNone {
		return fmt.Errorf("unknown protection %#x: %w", uint8(p), syscall.EINVAL)
	}
	want := sys.Prot(p &^ ProtNone)
	if want&sys.Write != 0 && !r.fdWritable && !r.memoryOnly() {
		return fmt.Errorf("writing to a file open for reading only: %w", syscall.EACCES)
	}
	c, err := r.pageSpanOf(off, n)
	if err != nil {
		return err
	}
	c.toCapacity()
	return r.changePages(c, func(a *pageAttr) { a.denied, a.granted = r.prot&^want, want&^r.prot },
		func(b []byte) error { return r.protectPages(c, b, want) })
}

// protectPages is sys.Protect. What can no longer be written must not be
// written without a look: a copy that faults may have stored behind the fault.
func (r *Region) protectPages(c pageSpan, b []byte, want sys.Prot) error {
	c.forget(b)
	if err := sys.Protect(b, want); err != nil {
		return err
	}
	return r.eachOldRange(c.lo, c.lo+int64(len(b)), func(b []byte) error { return sys.Protect(b, want) })
}

// Lock pins the pages that hold the n bytes from off on in memory (mlock(2));
// n may be [ToEnd]. Locks do not nest. When the system's limit is the reason
// for an error, the error names it (RLIMIT_MEMLOCK). See [Options] for a lock
// that follows growth.
func (r *Region) Lock(off, n int64) error {
	c, err := r.pageSpanOf(off, n)
	if err == nil && !c.empty() {
		c.toEnd = false // what is not there cannot be pinned
		err = r.changePages(c, func(a *pageAttr) { a.locked = true }, func(b []byte) error { return r.lock(c, b) })
	}
	return wrap("mlock", r.name, err)
}

// lock pins b, the section's memory. The kernel marks pages as locked even when
// it could not bring them in: what was not locked before is unlocked again.
func (r *Region) lock(c pageSpan, b []byte) error {
	err := lockPages(b)
	if err != nil {
		r.attrs.get().runs(c.lo, c.lo+int64(len(b)), func(a pageAttr, lo, hi int64) {
			if !a.locked && !a.released {
				_ = sys.Unlock(b[lo-c.lo : hi-c.lo])
			}
		})
	}
	return err
}

// Unlock undoes Lock for the pages that hold the n bytes from off on; n may be
// [ToEnd].
func (r *Region) Unlock(off, n int64) error {
	c, err := r.pageSpanOf(off, n)
	if err == nil && !c.empty() {
		c.toEnd = false
		err = r.changePages(c, func(a *pageAttr) { a.locked = false }, sys.Unlock)
	}
	return wrap("munlock", r.name, err)
}

// Release gives the memory of the pages that lie wholly inside the n bytes
// from off on back to the system (munmap(2) of a part): from then on [Region.View]
// and slices fault there. ReadAt and WriteAt go by the descriptor. The bytes of
// private and anonymous memory are lost, and reading or writing them is an
// error. There is no way back; n may be [ToEnd].
func (r *Region) Release(off, n int64) error {
	c, err := r.pageSpanOf(off, n)
	if err == nil && !c.empty() {
		c.wholePagesOnly()
		err = r.changePages(c, func(a *pageAttr) { *a = pageAttr{released: true} }, func(b []byte) error {
			c.forget(b)
			return firstError(sys.RevokePart(b), r.eachOldRange(c.lo, c.lo+int64(len(b)), sys.RevokePart))
		})
	}
	return wrap("munmap", r.name, err)
}
