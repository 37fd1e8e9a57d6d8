//go:build unix && !linux && !darwin

package sys

import "golang.org/x/sys/unix"

// SyncFile is fsync(2).
func SyncFile(fd uintptr) error {
	return ignoringEINTR(func() error { return unix.Fsync(int(fd)) })
}
