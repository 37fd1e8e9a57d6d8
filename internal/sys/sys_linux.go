package sys

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// MapsPastEOF: the page cache is one, and a page past the end of the file
	// becomes accessible when the file has grown over it.
	MapsPastEOF = true
	// Coherent: read(2) and write(2) work on the pages that are mapped.
	Coherent = true
	// SyncFileCoversMemory: fsync(2) writes out what was stored to mappings.
	SyncFileCoversMemory = true
	// Direct is O_DIRECT.
	Direct = unix.O_DIRECT
	// DataSync is O_DSYNC.
	DataSync = unix.O_DSYNC

	mapNoReserve = unix.MAP_NORESERVE
	rlimitAS     = unix.RLIMIT_AS
)

// AddressSpace returns the bytes of addresses that the process may use.
func AddressSpace() uint64 { return addressSpace() }

// MaxMaps reads vm.max_map_count once; 65530 is the kernel's default.
var MaxMaps = sync.OnceValue(func() int {
	text, err := os.ReadFile("/proc/sys/vm/max_map_count")
	if n, bad := strconv.Atoi(string(bytes.TrimSpace(text))); err == nil && bad == nil && n > 0 {
		return n
	}
	return 65530
})

// Reopen opens a regular file or a block device anew through its descriptor's entry in /proc,
// which leads to the same inode whatever its name is now, even to a deleted
// one. Where that fails, and for what is not a regular file, it duplicates.
func Reopen(f *os.File) (own *os.File, flag int, alone bool, err error) {
	err = control(f, func(fd uintptr) error {
		if flag, err = openFlags(fd); err != nil {
			return err
		}
		info, err := Stat(fd)
		if err == nil && (info.Regular || info.Block) {
			name := "/proc/self/fd/" + strconv.Itoa(int(fd))
			if file, err := unix.Open(name, flag|unix.O_CLOEXEC, 0); err == nil {
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

// Sync is msync(2) with MS_SYNC: the same call inside the kernel as fdatasync(2),
// so it commits the size with the bytes.
func Sync(_ uintptr, b []byte) error {
	return ignoringEINTR(func() error { return unix.Msync(b, unix.MS_SYNC) })
}

// SyncMemory is Sync.
func SyncMemory(b []byte) error { return Sync(0, b) }

// SyncFile is fdatasync(2).
func SyncFile(fd uintptr) error {
	return ignoringEINTR(func() error { return unix.Fdatasync(int(fd)) })
}

// StartWriteback is sync_file_range(2): MS_ASYNC does nothing on Linux.
func StartWriteback(fd uintptr, off, n int64, _ []byte) error {
	err := unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
	if errors.Is(err, errors.ErrUnsupported) || err == unix.ESPIPE {
		return nil // nothing was promised
	}
	return err
}

// DiskFull asks fstatfs(2). A file system that shares out its last blocks wants
// more than one for a page (xfs: as many as the file's records may come to need), so
// it is full already when few are left.
func DiskFull(fd uintptr) bool {
	const few = 256
	var st unix.Statfs_t
	return unix.Fstatfs(int(fd), &st) == nil && st.Blocks > 0 && st.Bavail <= min(few, st.Blocks/64)
}

// ignoringEINTR makes the call again while a signal interrupts it.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// advices are the numbers of madvise(2), in the order of [Advice].
var advices = [...]int{
	Normal:        unix.MADV_NORMAL,
	Sequential:    unix.MADV_SEQUENTIAL,
	Random:        unix.MADV_RANDOM,
	WillNeed:      unix.MADV_WILLNEED,
	DontNeed:      unix.MADV_DONTNEED,
	Free:          unix.MADV_FREE,
	Cold:          unix.MADV_COLD,
	PageOut:       unix.MADV_PAGEOUT,
	HugePage:      unix.MADV_HUGEPAGE,
	NoHugePage:    unix.MADV_NOHUGEPAGE,
	Collapse:      unix.MADV_COLLAPSE,
	PopulateRead:  unix.MADV_POPULATE_READ,
	PopulateWrite: unix.MADV_POPULATE_WRITE,
	DontFork:      unix.MADV_DONTFORK,
	DoFork:        unix.MADV_DOFORK,
	DontDump:      unix.MADV_DONTDUMP,
	DoDump:        unix.MADV_DODUMP,
	Mergeable:     unix.MADV_MERGEABLE,
	Unmergeable:   unix.MADV_UNMERGEABLE,
}

// HasAdvice reports whether this kernel has the advice, as far as is known: what
// it refused once, it has not.
func HasAdvice(a Advice) bool { return int(a) < len(advices) && noAdvice[a].err() == nil }

// Advise calls madvise(2).
func Advise(b []byte, a Advice) error {
	if !HasAdvice(a) {
		return unix.ENOTSUP
	}
	err := ignoringEINTR(func() error { return unix.Madvise(b, advices[a]) })
	if isRefusal(err) && a != Collapse && adviceRefused(a) {
		return unix.ENOTSUP
	}
	return err
}

// CacheStat calls cachestat(2), of Linux 6.5, if it may be called: see
// mayCachestat. An overlay looks for the pages in its own inode, which never has
// any: it does not tell.
func CacheStat(fd uintptr, off, n int64) (Cache, error) {
	if !mayCachestat() {
		return Cache{}, unix.ENOSYS
	}
	var st unix.Cachestat_t
	at := unix.CachestatRange{Off: uint64(off), Len: uint64(n)}
	err := unix.Cachestat(uint(fd), &at, &st, 0)
	switch {
	case err == unix.ENOSYS:
		noCachestat.Store(true)
		yesCachestat.Store(false)
	case err == nil && st.Cache == 0 && isOverlay(fd):
		err = unix.ENOTSUP
	}
	return Cache{
		Cached:          st.Cache,
		Dirty:           st.Dirty,
		Writeback:       st.Writeback,
		Evicted:         st.Evicted,
		RecentlyEvicted: st.Recently_evicted,
	}, err
}

// isOverlay reports whether the file lies in an overlay.
func isOverlay(fd uintptr) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(fd), &st) == nil && uint32(st.Type) == unix.OVERLAYFS_SUPER_MAGIC
}

// DiscardPages is MADV_DONTNEED, which on private memory forgets what was stored.
func DiscardPages(b []byte, _ Prot, _ bool) error { return unix.Madvise(b, unix.MADV_DONTNEED) }

// NewMemFile calls memfd_create(2), or makes a file in /dev/shm where the system
// refuses that (Linux before 3.17). The latter takes no seals.
func NewMemFile(name string, size int64) (*os.File, error) {
	if noMemfd.err() != nil {
		return unlinkedFile("/dev/shm", name, size)
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if noMemfd.learn(err); noMemfd.err() != nil {
		return unlinkedFile("/dev/shm", name, size)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Seal adds seals by fcntl(2) F_ADD_SEALS.
func Seal(fd uintptr, s Seals) error {
	if noMemfd.err() != nil {
		return unix.ENOTSUP
	}
	bits := 0
	if s&SealShrink != 0 {
		bits |= unix.F_SEAL_SHRINK
	}
	if s&SealGrow != 0 {
		bits |= unix.F_SEAL_GROW
	}
	if s&SealWrite != 0 {
		bits |= unix.F_SEAL_WRITE
	}
	_, err := unix.FcntlInt(fd, unix.F_ADD_SEALS, bits)
	return err
}
