package sys

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Allocate calls fallocate(2). File systems without it (ext3, ramfs, NFSv3, many
// of FUSE) can only grow by zeros that are appended.
func Allocate(fd uintptr, off, n int64) error {
	err := fallocate(fd, 0, off, n)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if info, bad := Stat(fd); bad != nil || off < info.Size {
		return err
	}
	return growByAppending(fd, off+n, appendTo)
}

// Reserve calls fallocate(2) so that the size stays.
func Reserve(fd uintptr, off, n int64) error {
	return fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// PunchHole calls fallocate(2) for a hole.
func PunchHole(fd uintptr, off, n int64) error {
	return fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func fallocate(fd uintptr, mode uint32, off, n int64) error {
	return ignoringEINTR(func() error { return unix.Fallocate(int(fd), mode, off, n) })
}

// appendTo is pwritev2(2) with RWF_APPEND, of Linux 4.16: as if the file had been
// opened with O_APPEND.
func appendTo(fd uintptr, p []byte) (int, error) {
	if !mayPwritev2() {
		return 0, unix.ENOTSUP
	}
	vec := unix.Iovec{Base: unsafe.SliceData(p)}
	vec.SetLen(len(p))
	n, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, fd, uintptr(unsafe.Pointer(&vec)), 1, 0, 0, unix.RWF_APPEND)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// TryWrite is a pwritev2(2) of a byte that is nowhere: file and file system are
// looked at as for any write, and only then that there is nothing to write.
func TryWrite(fd uintptr, off int64) error {
	if !mayPwritev2() {
		return nil
	}
	vec := [2]uintptr{1, 1} // an address that is never mapped, and a length
	_, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, fd, uintptr(unsafe.Pointer(&vec)), 1,
		uintptr(off), uintptr(uint64(off)>>32), 0)
	if errno == 0 || errno == unix.EFAULT || errno == unix.EINTR || errors.Is(errno, errors.ErrUnsupported) {
		return nil
	}
	return errno
}
