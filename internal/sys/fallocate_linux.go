package sys

import "golang.org/x/sys/unix"

// Allocate calls fallocate(2).
func Allocate(fd uintptr, off, n int64) error {
	return ignoringEINTR(func() error { return unix.Fallocate(int(fd), 0, off, n) })
}

// PunchHole calls fallocate(2) for a hole.
func PunchHole(fd uintptr, off, n int64) error {
	return ignoringEINTR(func() error {
		return unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
}

// AllocateBlock calls fallocate(2) so that the size stays.
func AllocateBlock(fd uintptr, off int64) error {
	return ignoringEINTR(func() error { return unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, off, 1) })
}
