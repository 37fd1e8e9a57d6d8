package sys

import "golang.org/x/sys/unix"

const (
	// MapsPastEOF: a page past the end of the file becomes accessible when the
	// file has grown over it.
	MapsPastEOF = true
	// Coherent: the buffer cache is unified.
	Coherent = true
	// SyncFileCoversMemory: fsync(2) writes out what was stored to mappings.
	SyncFileCoversMemory = true
	// Direct is O_DIRECT.
	Direct = unix.O_DIRECT
	// DataSync is 0: there is no O_DSYNC.
	DataSync = 0

	mapNoReserve = unix.MAP_NORESERVE
	rlimitAS     = unix.RLIMIT_AS
)

// advices are the numbers of madvise(2). MADV_NOCORE is DontDump.
var advices = map[Advice]int{
	Normal:     unix.MADV_NORMAL,
	Sequential: unix.MADV_SEQUENTIAL,
	Random:     unix.MADV_RANDOM,
	WillNeed:   unix.MADV_WILLNEED,
	DontNeed:   unix.MADV_DONTNEED,
	Free:       unix.MADV_FREE,
	DontDump:   unix.MADV_NOCORE,
	DoDump:     unix.MADV_CORE,
}

// reopen opens the name, while it is the same file's.
func reopen(fd uintptr, name string, flag int) (int, error) { return openSame(fd, name, flag) }
