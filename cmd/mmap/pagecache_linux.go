package main

import (
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// counts is what cachestat(2) tells of a range, in pages.
type counts struct{ resident, dirty, writeback int64 }

// cachestat counts the pages of a range of the file that are in the cache, or
// returns ENOSYS where the kernel must not be asked.
func cachestat(f *os.File, off, n int64) (counts, error) {
	if !cachestatWorks() {
		return counts{}, unix.ENOSYS
	}
	var st unix.Cachestat_t
	err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: uint64(off), Len: uint64(n)}, &st, 0)
	return counts{int64(st.Cache), int64(st.Dirty), int64(st.Writeback)}, err
}

// cachestatWorks reports whether cachestat(2) may be called: Linux has it from
// 6.5 on, and a seccomp filter that does not know it may end the process, as
// Android's does.
var cachestatWorks = sync.OnceValue(func() bool {
	major, minor := kernelVersion()
	return runtime.GOOS != "android" && !seccomp() && (major > 6 || major == 6 && minor >= 5)
})

// noCachestat says why cachestat(2) is not called.
func noCachestat() string {
	if seccomp() {
		return "a seccomp filter is in force, which could end the process for asking by cachestat(2)"
	}
	return "Linux tells from 6.5 on (cachestat(2)); this is " + kernel()
}

// exactly asks the kernel to read what is read of f and no more.
func exactly(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM) }

// canDrop reports whether the system drops one file from its cache when asked.
const canDrop = true

// drop asks the system to drop a range of the file from its cache. It keeps
// pages that are dirty, mapped or locked.
func drop(f *os.File, off, n int64) error {
	return os.NewSyscallError("posix_fadvise", unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED))
}

// clean writes what is dirty in a range of the file, and waits until that is
// done: dirty pages cannot be dropped. It does not make the file durable, which
// takes longer; but a stacked file system writes its lower file only then.
func clean(f *os.File, off, n int64) error {
	if !trusted(f) {
		return f.Sync()
	}
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := unix.SyncFileRange(int(f.Fd()), off, n, all)
	if err == unix.ENOSYS || err == unix.ESPIPE || err == unix.EPERM || err == unix.EINVAL {
		return f.Sync()
	}
	return os.NewSyscallError("sync_file_range", err)
}
