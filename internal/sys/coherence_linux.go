package sys

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// CoherenceOf asks fstatfs(2). File systems of disks and of memory change a
// file's pages themselves. What is not known to do so is taken for a client of
// another host, which may find out that its pages are out of date.
func CoherenceOf(fd uintptr) Coherence {
	const xfs, zfs, jfs, ubifs, ntfs3 = 0x58465342, 0x2fc12fc1, 0x3153464a, 0x24051905, 0x7366746e
	var st unix.Statfs_t
	if unix.Fstatfs(int(fd), &st) != nil {
		return AfterRead
	}
	switch uint32(st.Type) {
	case unix.OVERLAYFS_SUPER_MAGIC:
		return AfterReopen
	case unix.EXT4_SUPER_MAGIC, xfs, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, zfs, unix.BCACHEFS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.HUGETLBFS_MAGIC, unix.DAXFS_MAGIC,
		unix.EROFS_SUPER_MAGIC_V1, unix.SQUASHFS_MAGIC, unix.CRAMFS_MAGIC, unix.ISOFS_SUPER_MAGIC, unix.UDF_SUPER_MAGIC,
		unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC, ntfs3, unix.NILFS_SUPER_MAGIC, unix.REISERFS_SUPER_MAGIC, jfs, ubifs:
		return Always
	}
	return AfterRead
}

// Reopened calls fn with a descriptor that is opened anew for reading, and
// closes it.
func Reopened(fd uintptr, fn func(fd uintptr)) error {
	name := "/proc/self/fd/" + strconv.Itoa(int(fd))
	anew, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(anew)
	fn(uintptr(anew))
	return nil
}
