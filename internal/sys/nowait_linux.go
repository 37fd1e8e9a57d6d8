// This file may use unsafe: it hands addresses to system calls.

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// PreadNowait reads what the page cache has of p's bytes at off and starts reading
// the rest, without waiting for it (preadv2(2) with RWF_NOWAIT). It returns
// how many bytes came, from the first on; 0 when the first was not there. An
// error wraps errors.ErrUnsupported and says that it need not be asked again
// about this file: its file system cannot do so, or no file's can.
//
// p is not empty, and off is an offset that a file can have. What is wrong with
// the file or with p itself is left to a read that waits.
func PreadNowait(fd uintptr, p []byte, off int64) (int, error) {
	if noPreadv2.err() != nil {
		return 0, unix.ENOTSUP
	}
	// Slice and array stay on the stack: Preadv2 would allocate.
	vec := unix.Iovec{Base: &p[0]}
	vec.SetLen(len(p))
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, fd, uintptr(unsafe.Pointer(&vec)), 1,
		uintptr(off), uintptr(uint64(off)>>32), unix.RWF_NOWAIT)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR, unix.EIO, unix.EFAULT:
		return 0, nil
	case unix.ENOSYS, unix.EPERM, unix.EINVAL:
		noPreadv2.errno.Store(uintptr(errno)) // nothing in the arguments earns EINVAL
	}
	return 0, unix.ENOTSUP
}
