package sys

import (
	"math/bits"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
	// DataSync is O_DSYNC, of FreeBSD 13; earlier kernels ignore it.
	DataSync = 0x1000000

	mapNoReserve = 0 // inaccessible memory reserves nothing
	rlimitAS     = unix.RLIMIT_AS
)

// The kernel's interface as far as x/sys/unix has it not.
const (
	sysShmOpen2     = 571 // FreeBSD 13
	sysFspacectl    = 580 // FreeBSD 14
	shmAnon         = 1
	shmAllowSealing = 1
	spacectlDealloc = 1
	deallocPresent  = 65 // _PC_DEALLOC_PRESENT
	oEmptyPath      = 0x2000000
	fAddSeals       = 19
	fSealShrink     = 2
	fSealGrow       = 4
	fSealWrite      = 8
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

// reopen opens fd itself anew, by the empty path of FreeBSD 14; to earlier
// kernels that is ENOENT.
func reopen(fd uintptr, _ string, flag int) (int, error) {
	return unix.Openat(int(fd), "", flag|oEmptyPath, 0)
}

// Allocate calls posix_fallocate(2), which returns its error instead of
// setting errno. A file system that cannot (ZFS) says EINVAL.
func Allocate(fd uintptr, off, n int64) error {
	err := ignoringEINTR(func() error {
		if errno := fallocate(fd, off, n); errno != 0 {
			return errno
		}
		return nil
	})
	if err == unix.EINVAL {
		return unix.EOPNOTSUPP
	}
	return err
}

// fallocate passes two 64-bit arguments: in one register each, in two each,
// or, on arm, in pairs that begin at an even one.
func fallocate(fd uintptr, off, n int64) unix.Errno {
	var code uintptr
	var errno unix.Errno
	switch {
	case bits.UintSize == 64:
		code, _, errno = unix.Syscall(unix.SYS_POSIX_FALLOCATE, fd, uintptr(off), uintptr(n))
	case runtime.GOARCH == "arm":
		code, _, errno = unix.Syscall6(unix.SYS_POSIX_FALLOCATE, fd, 0,
			uintptr(off), uintptr(off>>32), uintptr(n), uintptr(n>>32))
	default:
		code, _, errno = unix.Syscall6(unix.SYS_POSIX_FALLOCATE, fd,
			uintptr(off), uintptr(off>>32), uintptr(n), uintptr(n>>32), 0)
	}
	if errno == 0 {
		errno = unix.Errno(code)
	}
	return errno
}

// PunchHole calls fspacectl(2), of FreeBSD 14, where the file system says that it
// frees the blocks: the others write zeros, and earlier kernels kill a process
// for an unknown call.
func PunchHole(fd uintptr, off, n int64) error {
	can, _, _ := unix.Syscall(unix.SYS_FPATHCONF, fd, deallocPresent, 0)
	if can != 1 {
		return unix.EOPNOTSUPP
	}
	rest := [2]int64{off, n} // offset and length, updated to what is not done
	for rest[1] > 0 {
		before := rest
		at := uintptr(unsafe.Pointer(&rest))
		_, _, errno := unix.Syscall6(sysFspacectl, fd, spacectlDealloc, at, 0, at, 0)
		if errno != 0 && errno != unix.EINTR {
			return errno
		}
		if errno == 0 && rest == before {
			return unix.EIO
		}
	}
	return nil
}

// hasSeals says that this is FreeBSD 13 or later.
var hasSeals = sync.OnceValue(func() bool {
	version, err := unix.SysctlUint32("kern.osreldate")
	return err == nil && version >= 1300139
})

// NewMemFile opens an anonymous object of shared memory.
func NewMemFile(name string, size int64) (*os.File, error) {
	fd, err := openMemory(name)
	if err != nil {
		return nil, err
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openMemory calls shm_open2, or shm_open(2) before FreeBSD 13. Both close
// the descriptor on exec.
func openMemory(name string) (int, error) {
	text, err := unix.BytePtrFromString(name)
	if err != nil {
		return -1, err
	}
	var fd uintptr
	var errno unix.Errno
	if hasSeals() {
		fd, _, errno = unix.Syscall6(sysShmOpen2, shmAnon, unix.O_RDWR|unix.O_CLOEXEC, 0,
			shmAllowSealing, uintptr(unsafe.Pointer(text)), 0)
	} else {
		fd, _, errno = unix.Syscall(unix.SYS_SHM_OPEN, shmAnon, unix.O_RDWR, 0)
	}
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// Seal adds seals by fcntl(2) F_ADD_SEALS.
func Seal(fd uintptr, s Seals) error {
	if !hasSeals() {
		return unix.ENOTSUP
	}
	seals := 0
	if s&SealShrink != 0 {
		seals |= fSealShrink
	}
	if s&SealGrow != 0 {
		seals |= fSealGrow
	}
	if s&SealWrite != 0 {
		seals |= fSealWrite
	}
	_, err := unix.FcntlInt(fd, fAddSeals, seals)
	return err
}
