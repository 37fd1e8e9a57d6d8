//go:build darwin || dragonfly || freebsd || netbsd

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// sysMincore is the number of mincore(2) on all of these. x/sys/unix
	// deprecates the numbers of darwin, and has no other way to this call.
	sysMincore = 78
	// mincoreResident is MINCORE_INCORE.
	mincoreResident = 1
)

// Resident calls mincore(2).
func Resident(b []byte, in []bool) error {
	vec := make([]byte, len(in))
	_, _, errno := unix.Syscall(sysMincore,
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		uintptr(unsafe.Pointer(unsafe.SliceData(vec))))
	if errno != 0 {
		return errno
	}
	for i, v := range vec {
		in[i] = v&mincoreResident != 0
	}
	return nil
}
