package sys

import (
	"golang.org/x/sys/unix"
)

// EOFPageOf asks fstatfs(2). Only what the name of a file system settles is
// taken from it: tmpfs, ramfs and hugetlbfs live in the page cache, and FUSE
// zeroes the EOF page when it writes it back, since Linux 6.17.
func EOFPageOf(fd uintptr) EOFPage {
	var st unix.Statfs_t
	if unix.Fstatfs(int(fd), &st) != nil {
		return EOFPage{}
	}
	switch uint32(st.Type) {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return EOFPage{NoWriteback: true}
	case unix.HUGETLBFS_MAGIC:
		return EOFPage{NoWriteback: true, GrowsFile: true}
	case unix.FUSE_SUPER_MAGIC:
		return EOFPage{ZeroedByWriteback: true}
	}
	return EOFPage{}
}

// AwaitWrites makes two calls that change nothing and take the inode's lock,
// which a write holds until the new size is there: a write of no bytes, and a
// hole far behind any end (an overlay returns from the former at once).
func AwaitWrites(fd uintptr) {
	_, _ = unix.Pwrite(int(fd), nil, 0)
	const far, page = 1 << 62, 1 << 16
	_ = unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, far, page)
}

// IsPseudo asks fstatfs(2) for the file systems that print what the kernel
// knows. Their files have no size, and a call returns what it pleases.
func IsPseudo(fd uintptr) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(fd), &st) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC,
		unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return true
	}
	return false
}

// WriteBack is sync_file_range(2): it flushes no device and writes no metadata.
func WriteBack(fd uintptr, off int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	return unix.SyncFileRange(int(fd), off, 0, all)
}
