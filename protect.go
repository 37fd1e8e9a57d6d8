package mmap

import (
	"fmt"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Protect sets what the pages that hold the n bytes at off allow
// (mprotect(2)): [ProtNone], or ProtRead, ProtWrite and ProtExec combined; n
// may be [ToEnd], which includes what the file grows by. What is not allowed
// faults in memory, and ReadAt, WriteAt and their kin return EACCES for it:
// the descriptor is no way round. Writing to shared memory can only be allowed
// where the file is open for writing.
//
// Each boundary splits the system's map, as with [Region.Advise].
func (r *Region) Protect(off, n int64, p Prot) error {
	if err := r.checkValid(); err != nil {
		return err
	}
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
	return r.changePages(off, n, pageChange{
		update:  func(a *pageAttr) { a.denied, a.granted = r.prot&^want, want&^r.prot },
		follows: true,
		call: func(s pageSpan) error {
			// What can no longer be written must not be written without a
			// look: a copy that faults may have stored behind the fault.
			s.forget()
			return sys.Protect(s.bytes(), want)
		},
		old: func(b []byte) error { return sys.Protect(b, want) },
	})
}

// Lock pins the pages that hold the n bytes at off in memory (mlock(2));
// n may be [ToEnd]. Locks do not nest. When the system's limit is the reason
// for an error, the error names it (RLIMIT_MEMLOCK). See [Options] for a lock
// that follows growth.
func (r *Region) Lock(off, n int64) error {
	return r.pin(off, n, "mlock", pageChange{update: func(a *pageAttr) { a.locked = true }, call: r.lock})
}

// pin is Lock and Unlock. What is not there cannot be pinned: the change does
// not follow growth.
func (r *Region) pin(off, n int64, op string, c pageChange) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	return wrap(op, r.name, r.changePages(off, n, c))
}

// lock pins the pages of s. The kernel marks pages as locked even when it could
// not bring them in: what was not locked before is unlocked again.
func (r *Region) lock(s pageSpan) error {
	b := s.bytes()
	err := lockPages(b)
	if err != nil {
		r.attrs.get().runs(s.lo, s.hi, func(a pageAttr, lo, hi int64) {
			if !a.locked && !a.released {
				_ = sys.Unlock(b[lo-s.lo : hi-s.lo])
			}
		})
	}
	return err
}

// Unlock undoes Lock for the pages that hold the n bytes at off; n may be
// [ToEnd].
func (r *Region) Unlock(off, n int64) error {
	return r.pin(off, n, "munlock", pageChange{
		update: func(a *pageAttr) { a.locked = false },
		call:   func(s pageSpan) error { return sys.Unlock(s.bytes()) },
	})
}

// Release gives the memory of the pages that lie wholly inside the n bytes
// starting at off back to the system (munmap(2) of a part): from then on [Region.View]
// and slices fault there. ReadAt and WriteAt go through the descriptor. The bytes of
// private and anonymous memory are lost, and reading or writing them is an
// error. There is no way back; n may be [ToEnd].
func (r *Region) Release(off, n int64) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	return wrap("munmap", r.name, r.changePages(off, n, pageChange{
		update: func(a *pageAttr) { *a = pageAttr{released: true} },
		whole:  true,
		call: func(s pageSpan) error {
			s.forget()
			return sys.RevokePart(s.bytes())
		},
		old: sys.RevokePart,
	}))
}
