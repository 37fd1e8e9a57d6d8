package mmap

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// File returns a descriptor for the Region's file, to be handed to another
// process (as one of exec.Cmd's ExtraFiles, or by SCM_RIGHTS), which maps it
// with [Map]. The caller closes it. The error wraps [errors.ErrUnsupported] for
// private and anonymous memory without [Options].Share.
func (r *Region) File() (*os.File, error) {
	if err := r.checkValid(); err != nil {
		return nil, err
	}
	if err := r.closedOr(nil); err != nil || r.memoryOnly() {
		return nil, wrap("dup", r.name, firstError(err, errors.ErrUnsupported))
	}
	f, _, _, err := sys.Reopen(r.f)
	return f, wrap("dup", r.name, err)
}

// Seal forbids for good what s names, on memory made with Options.Share or any
// other memfd (Linux, FreeBSD; elsewhere the error wraps
// [errors.ErrUnsupported]). With SealWrite this Region too becomes read-only:
// its bytes must not have been handed out writable by [Region.Bytes], or the
// error wraps EBUSY, and so it does when another process has them mapped
// writable. A View in progress ends with a [*FaultError]: its memory is taken
// away, whatever it does with it. A file that cannot be sealed is EINVAL.
func (r *Region) Seal(s Seals) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return wrap("seal", r.name, r.seal(s))
}

// seal is Seal for who holds mu.
func (r *Region) seal(s Seals) error {
	switch {
	case r.closed.Load():
		return os.ErrClosed
	case r.memoryOnly() || r.unsized:
		return syscall.EINVAL
	case s&^(SealShrink|SealGrow|SealWrite) != 0:
		return fmt.Errorf("unknown seal %#x: %w", uint8(s), syscall.EINVAL)
	case s == 0:
		return nil
	}
	if err := r.addSeals(0); err != nil {
		return err // it has none, or no more
	}
	sealed, layout := r.writeSealed.Load(), r.attrs.get()
	if s&SealWrite != 0 {
		if err := r.dropWritableMappings(); err != nil {
			return err
		}
	}
	err := r.addSeals(s)
	if err != nil {
		r.writeSealed.Store(sealed)
		r.attrs.set(layout)
	}
	return err
}

// addSeals makes the system call.
func (r *Region) addSeals(s Seals) (err error) {
	cerr := r.withFD(func(fd uintptr) { err = sys.Seal(fd, sys.Seals(s)) })
	return firstError(cerr, err)
}

// dropWritableMappings takes writable mappings away; the next one is read-only. mu is
// held.
func (r *Region) dropWritableMappings() error {
	if r.escapedEnd.Load() > 0 {
		return fmt.Errorf("writable bytes were handed out: %w", syscall.EBUSY)
	}
	_, found := r.attrs.get().firstWhere(0, math.MaxInt64, grantsWriting)
	if m := r.m.Load(); found && m != nil && m.mem.Escaped() {
		return fmt.Errorf("bytes were handed out, and made writable: %w", syscall.EBUSY)
	}
	if r.effectiveProt()&sys.Write == 0 && !found {
		return nil // there never was a writable mapping
	}
	if found {
		r.attrs.set(r.attrs.get().update(0, math.MaxInt64, true, func(a *pageAttr) { a.granted &^= sys.Write }))
	}
	r.writeSealed.Store(true)
	r.m.Store(nil)
	r.member.setMapped(false)
	return r.revokeAll()
}
