package sys

import "golang.org/x/sys/unix"

// AllocateBlock calls fallocate(2) so that the size stays.
func AllocateBlock(fd uintptr, off int64) error {
	return ignoringEINTR(func() error { return unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, off, 1) })
}
