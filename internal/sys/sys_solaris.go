package sys

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// MapsPastEOF: a page past the end of the file becomes accessible when the
	// file has grown over it.
	MapsPastEOF = true
	// Coherent: read(2) and write(2) show and change mapped pages.
	Coherent = true
	// SyncFileCoversMemory: what was stored to a mapping takes a call of its own.
	SyncFileCoversMemory = false
	// Direct is O_DIRECT.
	Direct = unix.O_DIRECT
	// DataSync is O_DSYNC.
	DataSync = unix.O_DSYNC

	mapNoReserve = unix.MAP_NORESERVE
	rlimitAS     = unix.RLIMIT_AS
)

// advices are the numbers of madvise(3C). MADV_PURGE is missing because its
// number means something else on Solaris than on illumos.
var advices = map[Advice]int{
	Normal:     unix.MADV_NORMAL,
	Sequential: unix.MADV_SEQUENTIAL,
	Random:     unix.MADV_RANDOM,
	WillNeed:   unix.MADV_WILLNEED,
	DontNeed:   unix.MADV_DONTNEED,
	Free:       unix.MADV_FREE,
}

// reopen opens the descriptor's entry in /proc, which is the file itself.
func reopen(fd uintptr, _ string, flag int) (int, error) {
	return openSame(fd, "/proc/"+strconv.Itoa(os.Getpid())+"/fd/"+strconv.Itoa(int(fd)), flag)
}

// Allocate is fcntl(2) with F_ALLOCSP, as posix_fallocate(3C). A file system
// that cannot (ZFS) says EINVAL.
func Allocate(fd uintptr, off, n int64) error {
	return space(fd, unix.F_ALLOCSP, off, n)
}

// PunchHole is fcntl(2) with F_FREESP. A file system that frees space at the end
// of a file only (UFS) says EINVAL. What lies past the end is zeros already,
// and must not be named: ZFS would grow the file up to it.
func PunchHole(fd uintptr, off, n int64) error {
	info, err := Stat(fd)
	if err != nil {
		return err
	}
	if n = min(n, info.Size-off); n <= 0 { // and 0 would mean all that follows
		return nil
	}
	return space(fd, unix.F_FREESP, off, n)
}

// space calls fcntl(2) on a range of the file.
func space(fd uintptr, cmd int, off, n int64) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: off, Len: n}
	err := ignoringEINTR(func() error { return unix.FcntlFlock(fd, cmd, &lock) })
	if err == unix.EINVAL {
		return unix.ENOTSUP
	}
	return err
}
