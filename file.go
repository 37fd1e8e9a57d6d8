package mmap

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Name returns the name of the file as it was given to Open, or that of the
// file given to Map.
func (r *Region) Name() string {
	if r == nil {
		return ""
	}
	return r.name
}

// Stat describes the file, as [os.File.Stat] does, and takes over its size as
// [Region.Refresh] does. Anonymous memory has none:
// the error wraps [errors.ErrUnsupported].
func (r *Region) Stat() (fs.FileInfo, error) {
	if err := r.checkValid(); err != nil {
		return nil, err
	}
	if err := r.noFile(); err != nil {
		return nil, wrap("stat", r.name, err)
	}
	info, err := r.f.Stat()
	if err == nil {
		r.noteFileSize(info.Size())
	}
	return info, err
}

// Fd returns the descriptor for a call that takes none but a number; the
// Region closes it, also when the collector finds the Region unused, so that it must
// be kept alive meanwhile ([runtime.KeepAlive]). Its offset is nobody's: it need
// not be the cursor. Unlike [os.File.Fd] it leaves a descriptor that does not
// block in that mode. What is written or cut off through it is to this Region as
// if another process had done it. [Region.SyscallConn] is safer. Without a
// descriptor, for anonymous memory and after Close, Fd returns ^uintptr(0).
func (r *Region) Fd() uintptr {
	fd := ^uintptr(0)
	if r.checkValid() == nil && r.noFile() == nil {
		_ = r.withFD(func(n uintptr) { fd = n })
	}
	return fd
}

// Chmod changes the mode of the file, as [os.File.Chmod] does. Anonymous
// memory has none: the error wraps [errors.ErrUnsupported].
func (r *Region) Chmod(mode fs.FileMode) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	if err := r.noFile(); err != nil {
		return wrap("chmod", r.name, err)
	}
	return r.f.Chmod(mode)
}

// Chown changes the owner and the group of the file, as [os.File.Chown] does;
// -1 leaves one as it is. Anonymous memory has none: the error wraps
// [errors.ErrUnsupported].
func (r *Region) Chown(uid, gid int) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	if err := r.noFile(); err != nil {
		return wrap("chown", r.name, err)
	}
	return r.f.Chown(uid, gid)
}

// SetDeadline sets the time after which reads and writes of what can be waited
// for (pipes, terminals) fail with [os.ErrDeadlineExceeded], as
// [os.File.SetDeadline] does; the zero time means never. For a file on a disk,
// for memory, and where the system cannot wait for the descriptor the error wraps
// [os.ErrNoDeadline].
func (r *Region) SetDeadline(t time.Time) error {
	return r.deadline(t, (*os.File).SetDeadline)
}

// SetReadDeadline is [Region.SetDeadline] for reads alone.
func (r *Region) SetReadDeadline(t time.Time) error {
	return r.deadline(t, (*os.File).SetReadDeadline)
}

// SetWriteDeadline is [Region.SetDeadline] for writes alone.
func (r *Region) SetWriteDeadline(t time.Time) error {
	return r.deadline(t, (*os.File).SetWriteDeadline)
}

// deadline sets a deadline by what os calls it.
func (r *Region) deadline(t time.Time, set func(*os.File, time.Time) error) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	err := r.noFile()
	if errors.Is(err, errors.ErrUnsupported) {
		err = os.ErrNoDeadline
	}
	if err != nil {
		return wrap("setdeadline", r.name, err)
	}
	if err = set(r.f, t); err != nil {
		err = r.closedOr(err) // os says of a closed file something of its own
	}
	return wrap("setdeadline", r.name, err)
}

// noFile says why there is no file to ask: the Region is closed, or memory
// alone.
func (r *Region) noFile() error {
	switch {
	case r.isClosed():
		return os.ErrClosed
	case r.f == nil:
		return errors.ErrUnsupported
	}
	return nil
}
