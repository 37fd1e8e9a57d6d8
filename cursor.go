package mmap

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// lockForReading locks c for a call that takes the bytes at the cursor: not
// while they are handed on.
func (c *cursor) lockForReading() {
	c.Lock()
	if c.lent {
		c.waitForLent()
	}
}

// waitForLent waits until nobody hands on the bytes at the cursor. c is locked,
// before and after.
func (c *cursor) waitForLent() {
	for c.lent {
		c.Unlock()
		c.lending.Lock()
		c.Lock()
		c.lending.Unlock()
	}
}

// lend begins to hand on the bytes at the cursor piece by piece, without
// holding the mutex while somebody takes them.
func (c *cursor) lend() {
	c.lending.Lock()
	c.Lock()
	c.lent = true
	c.Unlock()
}

// takeBack ends what lend began.
func (c *cursor) takeBack() {
	c.Lock()
	c.lent = false
	c.Unlock()
	c.lending.Unlock()
}

// mayMoveFD reports whether the descriptor's offset is nobody else's and counts
// the Region's bytes, so that the cursor may be there.
func (r *Region) mayMoveFD() bool {
	return r.ownOffset && r.base == 0 && r.window == 0 && !r.memoryOnly()
}

// moveCursor moves the cursor into the descriptor, for good. The cursor is
// locked, and mayMoveFD.
func (r *Region) moveCursor() error {
	if r.cursor.inFD {
		return nil
	}
	if _, err := r.f.Seek(r.cursor.off, io.SeekStart); err != nil {
		return err
	}
	r.cursor.inFD = true
	return nil
}

// moveCursorFor moves the cursor into the descriptor after a read or a write at
// an offset failed with err, if that says that the file has none, and reports
// whether it did: what the kernel makes up can often be read at any offset, but
// written by write(2) alone. The cursor is locked.
func (r *Region) moveCursorFor(err error) bool {
	return sys.NoOffset(underlyingError(err)) && r.mayMoveFD() && r.moveCursor() == nil
}

// UnreadByte moves the cursor back by one byte, whatever the last call was. At
// the beginning it returns an error wrapping EINVAL.
func (r *Region) UnreadByte() error {
	_, err := r.Seek(-1, io.SeekCurrent)
	if err != nil && sys.BeforeStart(underlyingError(err)) {
		err = wrap("seek", r.name, syscall.EINVAL)
	}
	return err
}

// Seek sets the cursor, as [os.File.Seek] does with the same limits and
// errors. In a window or private memory offsets count from the Region's first
// byte, and [io.SeekEnd] from its end.
func (r *Region) Seek(offset int64, whence int) (int64, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if r.cursor.inFD {
		at, err := r.f.Seek(offset, whence)
		if err == nil && whence == io.SeekEnd {
			r.noteFileSize(at - offset)
		}
		return at, err
	}
	at, err := r.seek(offset, whence)
	if err != nil {
		return 0, wrap("seek", r.name, err)
	}
	r.cursor.off = at
	return at, nil
}

// seek finds where Seek leads. Inside the file that is arithmetic; about
// places beyond, the end, and other values of whence, the descriptor is asked.
func (r *Region) seek(offset int64, whence int) (int64, error) {
	if r.isClosed() {
		return 0, os.ErrClosed
	}
	ours := r.mayMoveFD()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.cursor.off // what overflows is negative
	case io.SeekEnd:
		if ours {
			at, err := r.f.Seek(offset, whence)
			if err == nil {
				r.noteFileSize(at - offset)
			}
			return at, err
		}
		end, err := r.fileEnd()
		if err != nil {
			return 0, err
		}
		offset += end // what overflows is negative
	default:
		if ours {
			return r.f.Seek(offset, whence)
		}
		return 0, syscall.EINVAL
	}
	if ours && uint64(offset) > uint64(r.size.Load()) {
		return r.f.Seek(offset, io.SeekStart)
	}
	if offset < 0 {
		return 0, syscall.EINVAL
	}
	return offset, nil
}

// fileEnd asks the descriptor where the Region ends.
func (r *Region) fileEnd() (int64, error) {
	if r.memoryOnly() {
		return r.size.Load(), nil
	}
	info, err := r.fstat()
	if err == nil {
		r.noteFileSize(info.Size)
	}
	return r.clampToWindow(info.Size), err
}

// SyscallConn returns the descriptor for system calls that package syscall and
// this package do not have; net uses it for sendfile. Its first use moves the
// cursor into the descriptor, for good: from then on Read, Write and Seek are
// the descriptor's. What a callback writes, or cuts off, is to this Region as
// if another process had done it. No lock is held while a callback runs.
//
// The error wraps [errors.ErrUnsupported] for private and anonymous memory,
// for a Region of a part of a file, and for one whose descriptor is a mere
// duplicate, unless it is that of a pipe or the like, which has no offset.
func (r *Region) SyscallConn() (syscall.RawConn, error) {
	if err := r.checkValid(); err != nil {
		return nil, err
	}
	inFD, err := r.cursorInFD()
	if err == nil && (!inFD && !r.mayMoveFD() || !r.unrestricted()) {
		err = errors.ErrUnsupported
	}
	if err != nil {
		return nil, wrap("SyscallConn", r.name, err)
	}
	return rawConn{r}, nil
}

// rawConn is the descriptor's, and moves the cursor at its first use.
type rawConn struct{ r *Region }

// moveCursorToFD moves the cursor into the descriptor.
func (c rawConn) moveCursorToFD() error {
	r := c.r
	r.cursor.lockForReading()
	defer r.cursor.Unlock()
	if r.isClosed() {
		return wrap("SyscallConn", r.name, os.ErrClosed)
	}
	return r.moveCursor()
}

// wrapErr gives an error of the descriptor its name.
func (c rawConn) wrapErr(err error) error {
	if err != nil {
		err = wrap("SyscallConn", c.r.name, c.r.closedOr(err))
	}
	return err
}

// Control implements [syscall.RawConn].
func (c rawConn) Control(f func(fd uintptr)) error {
	if err := c.moveCursorToFD(); err != nil {
		return err
	}
	return c.wrapErr(c.r.conn.Control(f))
}

// Read implements [syscall.RawConn].
func (c rawConn) Read(f func(fd uintptr) (done bool)) error {
	if err := c.moveCursorToFD(); err != nil {
		return err
	}
	return c.wrapErr(c.r.conn.Read(f))
}

// Write implements [syscall.RawConn].
func (c rawConn) Write(f func(fd uintptr) (done bool)) error {
	if err := c.moveCursorToFD(); err != nil {
		return err
	}
	return c.wrapErr(c.r.conn.Write(f))
}

// cursorInFD reports whether the cursor is the descriptor's.
func (r *Region) cursorInFD() (inFile bool, err error) {
	if r.isClosed() {
		return false, os.ErrClosed
	}
	r.cursor.Lock()
	defer r.cursor.Unlock()
	return r.cursor.inFD, nil
}
