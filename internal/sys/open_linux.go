package sys

import (
	"errors"
	"io/fs"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// PathOnly is O_PATH: such a descriptor names a file and reads nothing.
	PathOnly = unix.O_PATH

	// keptFlags are flags of open(2), beside those of package os, that a
	// file keeps when it is opened anew.
	keptFlags = unix.O_NOATIME | PathOnly
)

// OpenFile opens a file as [os.OpenFile] does. A regular file is not shown to
// the poller of the runtime, which could not wait for it anyway: that saves
// four system calls. Everything else is: pipes, terminals and devices can be
// waited for, and Close ends a Read of them. The Info is that of fstat(2).
func OpenFile(name string, flag int, perm fs.FileMode) (*os.File, Info, error) {
	fd, err := open(name, flag, perm)
	if err != nil {
		return nil, Info{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	info, err := Stat(uintptr(fd))
	if err != nil {
		unix.Close(fd)
		return nil, Info{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	info.Seekable = Seekable(uintptr(fd))
	if info.Regular || flag&unix.O_NONBLOCK != 0 {
		return os.NewFile(uintptr(fd), name), info, nil
	}
	_ = unix.SetNonblock(fd, true) // it makes NewFile try the poller
	f := os.NewFile(uintptr(fd), name)
	if errors.Is(f.SetDeadline(time.Time{}), os.ErrNoDeadline) {
		_ = unix.SetNonblock(fd, false)
	}
	return f, info, nil
}

// open calls openat(2) with the mode bits that package os gives it.
func open(name string, flag int, perm fs.FileMode) (fd int, err error) {
	mode := uint32(perm.Perm())
	for _, bit := range [...]struct {
		of fs.FileMode
		is uint32
	}{{fs.ModeSetuid, unix.S_ISUID}, {fs.ModeSetgid, unix.S_ISGID}, {fs.ModeSticky, unix.S_ISVTX}} {
		if perm&bit.of != 0 {
			mode |= bit.is
		}
	}
	for {
		fd, err = unix.Open(name, flag|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// deviceSize asks a block device for its size in bytes (BLKGETSIZE64).
func deviceSize(fd uintptr) (size int64, ok bool) {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size)))
	return size, errno == 0
}

// RefusesShared reports whether err of [Map] says that the file can be mapped
// privately at most: FUSE's direct_io and 9p without a cache say ENODEV or
// EINVAL, what the kernel makes up for itself (BTF) says EACCES.
func RefusesShared(err error) bool {
	return err == unix.ENODEV || err == unix.EINVAL || err == unix.EACCES || err == unix.EOPNOTSUPP
}
