// This file may use unsafe: it hands addresses to system calls.

package sys

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CheckResidencyVisible returns an error if the kernel does not tell this process which
// pages of the file are resident: mincore(2) then calls all of them so.
// cachestat(2), of Linux 6.5, applies the same rule and says EPERM. Where it
// may not be called the rule is worked out: the file is owned by this process,
// or writable for it.
func CheckResidencyVisible(fd uintptr) error {
	if mayCachestat() {
		_, err := CacheStat(fd, 0, 1)
		if err == nil || err == unix.EPERM {
			return err
		}
	}
	var file unix.Stat_t
	uid := unix.Geteuid()
	if uid == 0 || unix.Fstat(int(fd), &file) == nil && int(file.Uid) == uid {
		return nil
	}
	if flags, err := openFlags(fd); err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY {
		return nil
	}
	if unix.Access("/proc/self/fd/"+strconv.Itoa(int(fd)), unix.W_OK) == nil {
		return nil
	}
	return unix.EPERM
}

// Resident calls mincore(2), which tells the truth only to those who own the
// file or may write it, and calls everything resident to others.
func Resident(b []byte, in []bool) error {
	if err := noMincore.err(); err != nil {
		return err
	}
	vec := make([]byte, len(in))
	_, _, errno := unix.Syscall(unix.SYS_MINCORE,
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		uintptr(unsafe.Pointer(unsafe.SliceData(vec))))
	if errno != 0 {
		return noMincore.learn(errno)
	}
	for i, v := range vec {
		in[i] = v&1 != 0
	}
	return nil
}
