package sys

import "golang.org/x/sys/unix"

// Evict writes the dirty pages by sync_file_range(2), waits for them, and drops
// all clean ones by posix_fadvise(2). The pages of tmpfs and its kin are all that
// there is.
func Evict(fd uintptr, off, n int64) error {
	if EOFPageOf(fd).NoWriteback {
		return unix.EOPNOTSUPP
	}
	const write = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if err := ignoringEINTR(func() error { return unix.SyncFileRange(int(fd), off, n, write) }); err != nil {
		return err
	}
	return unix.Fadvise(int(fd), off, n, unix.FADV_DONTNEED)
}
