package mmap

import (
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// callGuarded calls fn with b and turns a fault in this Region into an error.
// The caller keeps b mapped.
func (r *Region) callGuarded(b []byte, fn func(b []byte) error) (err error) {
	old := debug.SetPanicOnFault(true)
	done := false
	defer func() {
		debug.SetPanicOnFault(old)
		if done {
			return
		}
		v := recover()
		if v == nil {
			return // runtime.Goexit
		}
		off, ours := r.faultOffset(v)
		if !ours {
			panic(v)
		}
		err = &FaultError{Op: "view", Path: r.name, Off: off, Err: r.diagnose(off, 0)}
	}()
	err = fn(b)
	done = true
	return err
}

// faultOffset returns the offset in the Region of a fault, if it was in one of
// its mappings, whenever that was made. All of them begin at the same byte of
// the file.
func (r *Region) faultOffset(v any) (off int64, ours bool) {
	addr, ok := faultAddr(v)
	if !ok {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.ranges {
		if off, ok := s.Offset(addr); ok && !s.Gone() {
			return max(off-r.lead(), 0), true
		}
	}
	return 0, false
}

// diagnose finds out why touching byte off faulted: by asking the descriptor,
// and then the memory inside a system call. Access is Read or Write where it
// is known what the touch was.
func (r *Region) diagnose(off int64, access sys.Prot) error {
	return countFault(r.causeOf(off, access))
}

// causeOf is diagnose, uncounted.
func (r *Region) causeOf(off int64, access sys.Prot) error {
	switch {
	case r.closing.Load():
		return r.closedOr(nil)
	case r.anyReleased(off, 1):
		return sys.Fault
	case r.effectiveProt()&sys.Read == 0, access&^r.effectiveProt() != 0, r.permittedPrefix(off, 1, sys.Read|access) == 0:
		return syscall.EACCES
	case r.f != nil:
		if err := r.diagnoseRead(off); err != nil {
			return err
		}
	}
	if r.effectiveProt()&sys.Write == 0 || r.permittedPrefix(off, 1, sys.Write) == 0 {
		return syscall.EACCES // it can be read, so it was a store
	}
	return r.diagnoseStore(off)
}

// diagnoseRead says what is wrong with reading byte off of the file.
func (r *Region) diagnoseRead(off int64) error {
	info, err := r.fstat()
	if err != nil {
		return err
	}
	r.noteFileSize(info.Size)
	if off >= r.clampToWindow(info.Size) {
		return io.ErrUnexpectedEOF
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	_, err = r.f.ReadAt(buf[:1], r.base+off)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return underlyingError(err)
}

// diagnoseStore says what is wrong with storing to byte off. The page itself only
// tells that it cannot be done; the descriptor tells why.
func (r *Region) diagnoseStore(off int64) error {
	m := r.m.Load()
	if m == nil || off >= m.capacity {
		return sys.Fault
	}
	defer runtime.KeepAlive(m)
	page := m.pagesOf(off, 1)
	if r.memoryOnly() || sys.PopulateStores && sys.Populate(page, true) == nil {
		return r.closedOr(sys.Fault)
	}
	if err := r.diagnoseRead(off); err != nil {
		return err // it was cut since
	}
	var err error = sys.Fault
	cerr := r.withFD(func(fd uintptr) { err = whyUnwritable(fd, r.base+off) })
	return r.closedOr(firstError(cerr, err))
}

// whyUnwritable asks the system why the byte at off of the file cannot be stored to.
// That it can be by now says nothing: the file may have been cut for a moment. xfs
// never counts its free blocks down to none, and a store fails for want of one while
// fallocate(2) still finds it: so the last question is how many there are.
func whyUnwritable(fd uintptr, off int64) error {
	err := sys.Reserve(fd, off, 1)
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		err = sys.TryWrite(fd, off)
	}
	if err == nil && sys.DiskFull(fd) {
		return sys.NoSpace
	}
	return firstError(err, sys.Fault)
}
