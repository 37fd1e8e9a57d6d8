//go:build freebsd || netbsd

package sys

import "golang.org/x/sys/unix"

// Evict writes the file by fsync(2), and drops clean pages by posix_fadvise(2).
func Evict(fd uintptr, off, n int64) error {
	if err := SyncFile(fd); err != nil {
		return err
	}
	return unix.Fadvise(int(fd), off, n, unix.FADV_DONTNEED)
}
