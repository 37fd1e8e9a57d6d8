package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// EOFPageOf says what the file system does with what follows a file's end. File
// systems that live in the page cache keep what was stored there. All others
// clear the rest of the last block, and older kernels (Linux 6.1) do not clear
// what follows it in the page. FUSE sweeps since Linux 6.17.
func EOFPageOf(fd uintptr) EOFPage {
	var st unix.Statfs_t
	if unix.Fstatfs(int(fd), &st) != nil {
		return EOFPage{}
	}
	switch uint32(st.Type) {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return EOFPage{KeepsStores: true, NoWriteback: true}
	case unix.HUGETLBFS_MAGIC:
		return EOFPage{KeepsStores: true, NoWriteback: true, GrowsFile: true}
	case unix.FUSE_SUPER_MAGIC:
		return EOFPage{KeepsStores: true, ZeroedByWriteback: true}
	}
	return EOFPage{KeepsStores: int64(st.Bsize) < int64(os.Getpagesize())}
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
