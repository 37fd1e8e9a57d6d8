package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// KeepsTail reports whether the file system shows, when a file grows, what was
// stored to memory past its former end: those that live in the page cache do.
// All others clear the rest of the last block, and older kernels (Linux 6.1) do
// not clear what follows it in the page.
func KeepsTail(fd uintptr) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(fd), &st) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.HUGETLBFS_MAGIC, unix.FUSE_SUPER_MAGIC:
		return true
	}
	return int64(st.Bsize) < int64(os.Getpagesize())
}
