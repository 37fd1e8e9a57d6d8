//go:build unix && !linux && !darwin

package sys

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// SyncFile is fsync(2). FreeBSD's memory that no file system keeps (shm_open(2))
// has nothing to write to: there that is EINVAL.
func SyncFile(fd uintptr) error {
	err := ignoringEINTR(func() error { return unix.Fsync(int(fd)) })
	if err == unix.EINVAL && runtime.GOOS == "freebsd" {
		return nil
	}
	return err
}
