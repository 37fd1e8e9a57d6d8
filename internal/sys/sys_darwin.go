package sys

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// MapsPastEOF: a page past the end of the file becomes accessible when the
	// file has grown over it.
	MapsPastEOF = true
	// Coherent: the buffer cache is unified.
	Coherent = true
	// SyncFileCoversMemory: what was stored to a mapping takes a call of its own.
	SyncFileCoversMemory = false
	// Direct is 0: there is F_NOCACHE instead, no flag of open(2).
	Direct = 0
	// DataSync is O_DSYNC.
	DataSync = unix.O_DSYNC

	mapNoReserve = unix.MAP_NORESERVE
	rlimitAS     = unix.RLIMIT_AS
)

// advices are the numbers of madvise(2). MADV_PAGEOUT is the kernel's own: it
// answers ENOTSUP to others.
var advices = map[Advice]int{
	Normal:     unix.MADV_NORMAL,
	Sequential: unix.MADV_SEQUENTIAL,
	Random:     unix.MADV_RANDOM,
	WillNeed:   unix.MADV_WILLNEED,
	DontNeed:   unix.MADV_DONTNEED,
	Free:       unix.MADV_FREE,
}

// reopen opens the path that the kernel knows for fd (F_GETPATH).
func reopen(fd uintptr, _ string, flag int) (int, error) {
	// fcntl(2) fills MAXPATHLEN bytes. FcntlFstore is x/sys/unix's only way
	// to pass it a pointer; words, not bytes, for the alignment it declares.
	var path [1024 / 8]uint64
	err := unix.FcntlFstore(fd, unix.F_GETPATH, (*unix.Fstore_t)(unsafe.Pointer(&path)))
	if err != nil {
		return -1, err
	}
	text, _, _ := bytes.Cut((*[1024]byte)(unsafe.Pointer(&path))[:], []byte{0})
	return openSame(fd, string(text), flag)
}

// SyncFile is fcntl(2) with F_FULLFSYNC, because fsync(2) leaves the bytes in
// the drive's cache. Where the file system does not know it, it is
// F_BARRIERFSYNC, and else fsync(2). File systems say that in many ways: SMB by
// ENOTSUP, WebDAV and FUSE by EINVAL, ZFS by ENOTTY.
func SyncFile(fd uintptr) (err error) {
	for _, command := range [...]int{unix.F_FULLFSYNC, unix.F_BARRIERFSYNC} {
		err = ignoringEINTR(func() error {
			_, err := unix.FcntlInt(fd, command, 0)
			return err
		})
		switch err {
		case nil, unix.EBADF, unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EROFS:
			return err
		}
	}
	return ignoringEINTR(func() error { return unix.Fsync(int(fd)) })
}

// Allocate is Reserve, and zeros appended up to the end of the range: ftruncate(2)
// would cut off what another process appends meanwhile.
func Allocate(fd uintptr, off, n int64) error {
	if err := Reserve(fd, off, n); err != nil {
		return err
	}
	file, err := reopen(fd, "", unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	return growByAppending(fd, off+n, func(_ uintptr, p []byte) (n int, err error) {
		err = ignoringEINTR(func() error {
			n, err = unix.Write(file, p)
			return err
		})
		return max(n, 0), err
	})
}

// Reserve reserves blocks past the end of the file (F_PREALLOCATE). Holes before
// the end cannot be filled, so a sparse file is refused with ENOTSUP when the
// range begins before its end.
func Reserve(fd uintptr, off, n int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		return err
	}
	if off < st.Size && st.Blocks*512 < st.Size {
		return unix.ENOTSUP
	}
	more := off + n - st.Size
	if more <= 0 {
		return nil
	}
	store := unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: more}
	return ignoringEINTR(func() error { return unix.FcntlFstore(fd, unix.F_PREALLOCATE, &store) })
}

// PunchHole is fcntl(2) with F_PUNCHHOLE. Its argument, fpunchhole_t, is the
// beginning of fstore_t: flags, a reserved word, offset and length. A hole
// begins and ends at a block of the file system; other ranges are refused with
// ENOTSUP.
func PunchHole(fd uintptr, off, n int64) error {
	hole := unix.Fstore_t{Offset: off, Length: n}
	err := ignoringEINTR(func() error { return unix.FcntlFstore(fd, unix.F_PUNCHHOLE, &hole) })
	if err == unix.EINVAL {
		return unix.ENOTSUP
	}
	return err
}
