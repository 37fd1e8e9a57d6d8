package sys

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// MapsPastEOF is false: it is not documented what a page past the end of the
	// file shows when the file has grown over it.
	MapsPastEOF = false
	// Coherent: read(2) and write(2) work on the pages that are mapped.
	Coherent = true
	// SyncFileCoversMemory: what was stored to a mapping takes a call of its own.
	SyncFileCoversMemory = false
	// Direct is O_DIRECT.
	Direct = unix.O_DIRECT
	// DataSync is O_DSYNC.
	DataSync = unix.O_DSYNC

	mapNoReserve = 0 // there is no MAP_NORESERVE
	rlimitAS     = unix.RLIMIT_AS
)

// advices are the numbers of madvise(2).
var advices = map[Advice]int{
	Normal:     unix.MADV_NORMAL,
	Sequential: unix.MADV_SEQUENTIAL,
	Random:     unix.MADV_RANDOM,
	WillNeed:   unix.MADV_WILLNEED,
	DontNeed:   unix.MADV_DONTNEED,
}

// reopen opens the descriptor's entry in /proc, which is the file itself.
func reopen(fd uintptr, _ string, flag int) (int, error) {
	return openSame(fd, "/proc/"+strconv.Itoa(os.Getpid())+"/fd/"+strconv.Itoa(int(fd)), flag)
}

// dup duplicates fd. There is no F_DUPFD_CLOEXEC: the lock keeps a fork of
// this program from happening between the two calls.
func dup(fd uintptr) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	own, err := unix.FcntlInt(fd, unix.F_DUPFD, 0)
	if err == nil {
		unix.CloseOnExec(own)
	}
	return own, err
}
