//go:build unix && !linux

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapSync is 0: persistent memory is mapped as such by Linux only.
const mapSync = 0

// AddressSpace returns the bytes of addresses that the process may use.
func AddressSpace() uint64 { return addressSpace() }

// MaxMaps returns a large constant: memory alone limits the maps of a process.
// (DragonFly has vm.max_proc_mmap, a million unless somebody lowered it.)
func MaxMaps() int { return 1 << 20 }

// Reopen opens a regular file anew where the system has a way that leads to
// the same inode. Where that fails, and for what is not a regular file, it
// duplicates.
func Reopen(f *os.File) (own *os.File, flag int, alone bool, err error) {
	err = control(f, func(fd uintptr) error {
		if flag, err = openFlags(fd); err != nil {
			return err
		}
		info, err := Stat(fd)
		if err == nil && info.Regular {
			if file, err := reopen(fd, f.Name(), flag|unix.O_CLOEXEC); err == nil {
				own, alone = os.NewFile(uintptr(file), f.Name()), true
				return nil
			}
		}
		own, err = duplicate(f, fd)
		return err
	})
	return own, flag, alone, err
}

// control runs fn on f's descriptor, which stays open meanwhile.
func control(f *os.File, fn func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = fn(fd) }); err != nil {
		return os.ErrClosed
	}
	return inner
}

// Populate is unknown here: no call brings pages in and waits for them, and
// none prepares them for stores.
func Populate([]byte, bool) error { return unix.ENOTSUP }

// Sync is SyncMemory, then SyncFile. msync alone does not do: it leaves the
// drive's cache alone (darwin), writes to the buffer cache only (OpenBSD), or
// leaves behind the metadata of holes that were filled.
func Sync(fd uintptr, b []byte) error {
	if err := SyncMemory(b); err != nil {
		return err
	}
	return SyncFile(fd)
}

// SyncMemory is msync(2) with MS_SYNC. Where memory and descriptor differ, it
// also makes memory forget, and so show what the descriptor does. Pages that
// are locked cannot forget: EBUSY.
func SyncMemory(b []byte) error {
	err := error(unix.EBUSY)
	if !Coherent {
		err = ignoringEINTR(func() error { return unix.Msync(b, unix.MS_SYNC|unix.MS_INVALIDATE) })
	}
	if err == unix.EBUSY {
		err = ignoringEINTR(func() error { return unix.Msync(b, unix.MS_SYNC) })
	}
	return err
}

// StartWriteback is msync(2) with MS_ASYNC. Without memory there is nothing to
// start: the kernel writes what came by write(2) in its own time.
func StartWriteback(_ uintptr, _, _ int64, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return ignoringEINTR(func() error { return unix.Msync(b, unix.MS_ASYNC) })
}

// ignoringEINTR makes the call again while a signal interrupts it.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// HasAdvice reports whether this system has the advice.
func HasAdvice(a Advice) bool {
	_, ok := advices[a]
	return ok
}

// Advise calls madvise(2).
func Advise(b []byte, a Advice) error {
	advice, ok := advices[a]
	if !ok {
		return unix.ENOTSUP
	}
	return ignoringEINTR(func() error { return unix.Madvise(b, advice) })
}

// CacheStat is unknown here.
func CacheStat(uintptr, int64, int64) (Cache, error) { return Cache{}, unix.ENOTSUP }

// DiscardPages maps fresh memory over anonymous pages, in one step: MADV_DONTNEED
// keeps what was stored, and MADV_FREE leaves open whether it does. The copies
// of a file's pages cannot be taken back.
func DiscardPages(b []byte, p Prot, anonymous bool) error {
	if !anonymous {
		return unix.ENOTSUP
	}
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)),
		p.prot(), unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED)
	return err
}
