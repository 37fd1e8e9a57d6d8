package mmap

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// UnreadByte moves the cursor back by one byte, whatever the last call was. At
// the beginning it returns an error wrapping EINVAL.
func (r *Region) UnreadByte() error {
	_, err := r.Seek(-1, io.SeekCurrent)
	return err
}

// Seek sets the cursor, as [os.File.Seek] does with the same limits and
// errors. In a window or private memory offsets count from the Region's first
// byte, and [io.SeekEnd] from its end.
func (r *Region) Seek(offset int64, whence int) (int64, error) {
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if r.cursor.inFD {
		return r.f.Seek(offset, whence)
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
	if r.closed.Load() {
		return 0, os.ErrClosed
	}
	ours := r.ownOffset && r.base == 0 && r.window == 0 && !r.memoryOnly()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.cursor.off // what overflows is negative
	case io.SeekEnd:
		if ours {
			return r.f.Seek(offset, whence)
		}
		end, err := r.fileEnd()
		if err != nil {
			return 0, err
		}
		offset += end
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
// duplicate.
func (r *Region) SyscallConn() (syscall.RawConn, error) {
	err := r.closedOr(nil)
	if err == nil && (r.memoryOnly() || r.window > 0 || r.base > 0 || !r.ownOffset && !r.unsized || !r.unrestricted()) {
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
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if r.closed.Load() {
		return wrap("SyscallConn", r.name, os.ErrClosed)
	}
	if r.cursor.inFD {
		return nil
	}
	if _, err := r.f.Seek(r.cursor.off, io.SeekStart); err != nil {
		return err
	}
	r.cursor.inFD = true
	return nil
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
