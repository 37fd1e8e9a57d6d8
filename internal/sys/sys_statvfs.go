//go:build netbsd || solaris

package sys

import "golang.org/x/sys/unix"

// DiskFull asks fstatvfs(2).
func DiskFull(fd uintptr) bool {
	var st unix.Statvfs_t
	return unix.Fstatvfs(int(fd), &st) == nil && st.Blocks > 0 && st.Bavail == 0
}
