//go:build aix || darwin || dragonfly || freebsd

package sys

import "golang.org/x/sys/unix"

// DiskFull asks fstatfs(2). The BSDs count below zero when the reserve is in use.
func DiskFull(fd uintptr) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(fd), &st) == nil && st.Blocks > 0 && int64(st.Bavail) <= 0
}
