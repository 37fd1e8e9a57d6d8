package sys

import "golang.org/x/sys/unix"

const (
	// MapsPastEOF: a page past the end of the file becomes accessible when the
	// file has grown over it.
	MapsPastEOF = true
	// Coherent is false: mapped pages and the buffer cache are two copies, and
	// Sync makes them one for a moment.
	Coherent = false
	// SyncFileCoversMemory: what was stored to a mapping takes a call of its own.
	SyncFileCoversMemory = false
	// Direct is 0: there is no O_DIRECT.
	Direct = 0
	// DataSync is O_DSYNC, which is O_SYNC.
	DataSync = unix.O_DSYNC

	mapNoReserve = unix.MAP_NORESERVE
	rlimitAS     = unix.RLIMIT_DATA // there is no RLIMIT_AS; this one counts private memory
)

// advices are the numbers of madvise(2).
var advices = map[Advice]int{
	Normal:     unix.MADV_NORMAL,
	Sequential: unix.MADV_SEQUENTIAL,
	Random:     unix.MADV_RANDOM,
	WillNeed:   unix.MADV_WILLNEED,
	DontNeed:   unix.MADV_DONTNEED,
	Free:       unix.MADV_FREE,
}

// reopen opens the name, while it is the same file's.
func reopen(fd uintptr, name string, flag int) (int, error) { return openSame(fd, name, flag) }

// DiskFull asks fstatfs(2), which counts below zero when the reserve is in use.
func DiskFull(fd uintptr) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(fd), &st) == nil && st.F_blocks > 0 && st.F_bavail <= 0
}
