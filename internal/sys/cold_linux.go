package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// PreadNowait reads what the page cache has of p's bytes at off and starts reading
// the rest, without waiting for it (preadv2(2) with RWF_NOWAIT). It returns
// how many bytes came, from the first on; 0 when the first was not there.
// File systems that cannot do so return an error wrapping
// errors.ErrUnsupported.
func PreadNowait(fd uintptr, p []byte, off int64) (int, error) {
	// Slice and array stay on the stack: Preadv2 would allocate.
	vec := unix.Iovec{Base: &p[0]}
	vec.SetLen(len(p))
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, fd, uintptr(unsafe.Pointer(&vec)), 1,
		uintptr(off), uintptr(uint64(off)>>32), unix.RWF_NOWAIT)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// MajorFaults returns how many faults of this process have waited for storage.
func MajorFaults() int64 {
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return int64(use.Majflt)
}
