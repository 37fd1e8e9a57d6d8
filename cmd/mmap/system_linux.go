package main

import (
	"os"
	"strconv"
	"strings"
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
// 6.5 on, and a seccomp filter that does not know it may end the process.
var cachestatWorks = sync.OnceValue(func() bool {
	major, minor := kernelVersion()
	return !seccomp() && (major > 6 || major == 6 && minor >= 5)
})

// seccomp reports whether a filter may forbid system calls here. Where nothing
// tells, one may.
var seccomp = sync.OnceValue(func() bool { return procStatus("Seccomp") != "0" })

// procStatus returns a line of /proc/self/status, or "".
func procStatus(name string) string {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kernel returns the version of the running system, or "".
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// kernelVersion returns the first two numbers of it.
func kernelVersion() (major, minor int) {
	first, rest, _ := strings.Cut(kernel(), ".")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits >= 0 {
		rest = rest[:digits]
	}
	major, _ = strconv.Atoi(first)
	minor, _ = strconv.Atoi(rest)
	return major, minor
}

// load returns the system's load averages, or "".
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return ""
	}
	return strings.Join(fields[:3], " ")
}

// fileSystems names file systems by the number that statfs(2) gives.
var fileSystems = map[uint32]string{
	unix.EXT4_SUPER_MAGIC:      "ext4",
	unix.XFS_SUPER_MAGIC:       "xfs",
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.RAMFS_MAGIC:           "ramfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	unix.FUSE_SUPER_MAGIC:      "FUSE",
	unix.NFS_SUPER_MAGIC:       "NFS",
	unix.SMB_SUPER_MAGIC:       "SMB",
	unix.SMB2_SUPER_MAGIC:      "SMB",
	unix.CIFS_SUPER_MAGIC:      "SMB",
	unix.V9FS_MAGIC:            "9p",
	unix.CEPH_SUPER_MAGIC:      "Ceph",
	unix.ECRYPTFS_SUPER_MAGIC:  "eCryptfs",
	unix.HUGETLBFS_MAGIC:       "hugetlbfs",
	unix.SQUASHFS_MAGIC:        "squashfs",
	unix.EROFS_SUPER_MAGIC_V1:  "erofs",
	unix.ISOFS_SUPER_MAGIC:     "iso9660",
	unix.MSDOS_SUPER_MAGIC:     "FAT",
	0x2fc12fc1:                 "ZFS",
	0x61756673:                 "aufs",
	0x2011bab0:                 "exFAT",
	0x7366746e:                 "NTFS",
	0xca451a4e:                 "bcachefs",
}

// trustworthy are the file systems whose files hold their own pages, so that
// cachestat(2) finds them. Of a stacked one (overlayfs, FUSE that passes
// through) it may count none though the pages are there.
var trustworthy = map[string]bool{"ext4": true, "xfs": true, "btrfs": true, "f2fs": true, "tmpfs": true, "ramfs": true,
	"NFS": true, "SMB": true, "9p": true, "Ceph": true, "squashfs": true, "erofs": true, "iso9660": true, "FAT": true,
	"exFAT": true, "bcachefs": true}

// pseudoFileSystems are those whose files the kernel makes as they are read.
var pseudoFileSystems = map[uint32]string{
	unix.PROC_SUPER_MAGIC:    "proc",
	unix.SYSFS_MAGIC:         "sysfs",
	unix.CGROUP_SUPER_MAGIC:  "cgroup",
	unix.CGROUP2_SUPER_MAGIC: "cgroup2",
	unix.DEBUGFS_MAGIC:       "debugfs",
	unix.TRACEFS_MAGIC:       "tracefs",
	unix.SECURITYFS_MAGIC:    "securityfs",
	unix.SELINUX_MAGIC:       "selinuxfs",
	unix.BPF_FS_MAGIC:        "bpf",
	unix.PSTOREFS_MAGIC:      "pstore",
	unix.EFIVARFS_MAGIC:      "efivarfs",
	unix.BINFMTFS_MAGIC:      "binfmt_misc",
	unix.DEVPTS_SUPER_MAGIC:  "devpts",
	0x62656570:               "configfs",
	0x6e736673:               "nsfs",
}

// fileSystem returns the name of the file system behind a statfs number.
func fileSystem(magic uint32) string {
	if name := fileSystems[magic]; name != "" {
		return name
	}
	if name := pseudoFileSystems[magic]; name != "" {
		return name
	}
	return "type 0x" + strconv.FormatUint(uint64(magic), 16)
}

// magicOf returns the number of the file system that f is on, or 0.
func magicOf(f *os.File) uint32 {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return 0
	}
	return uint32(st.Type)
}

// trusted reports whether cachestat(2) is to be believed when it counts no page
// of f.
func trusted(f *os.File) bool { return trustworthy[fileSystems[magicOf(f)]] }

// inMemory reports whether f's file system has its files in memory and nowhere
// else, or "".
func inMemory(f *os.File) string {
	switch name := fileSystems[magicOf(f)]; name {
	case "tmpfs", "ramfs", "hugetlbfs":
		return name
	}
	return ""
}

// pseudo returns the name of the file system that name is on if that makes its
// files as they are read, or "".
func pseudo(name string) string {
	var st unix.Statfs_t
	if unix.Statfs(name, &st) != nil {
		return ""
	}
	return pseudoFileSystems[uint32(st.Type)]
}

// direct reports whether the file has no pages in the page cache at all:
// with DAX, memory is the storage itself.
func direct(f *os.File) bool {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, 0, &st)
	return err == nil && st.Attributes_mask&st.Attributes&unix.STATX_ATTR_DAX != 0
}

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

// lockLimit returns how many bytes this process may lock.
func lockLimit() int64 {
	const capIPCLock = 14
	caps, _ := strconv.ParseUint(procStatus("CapEff"), 16, 64)
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit)
	if err != nil || caps&(1<<capIPCLock) != 0 || uint64(limit.Cur) >= uint64(noLimit) {
		return noLimit
	}
	return int64(limit.Cur)
}

// memInfo returns a line of /proc/meminfo in bytes, or noLimit.
func memInfo(name string) int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err == nil {
				return n * kiB
			}
		}
	}
	return noLimit
}

// availableMemory returns how many bytes programs can have: what the system
// says, or what is left of the cgroup's limit. What files have in the cache can
// be had.
func availableMemory() int64 {
	free := memInfo("MemAvailable")
	if limit, used := cgroupMemory(); limit != noLimit {
		free = min(free, max(limit-used, 0))
	}
	return free
}

// cgroupMemory returns the memory limit of this process's cgroup and what of
// it cannot be given back, or noLimit. (Both versions of cgroups, where they
// are commonly mounted.)
func cgroupMemory() (limit, used int64) {
	limit = noLimit
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) != 3:
		case fields[0] == "0":
			limit, used = lowest(limit, used, "/sys/fs/cgroup", fields[2], "memory.max", "anon")
		case fields[1] == "memory":
			limit, used = lowest(limit, used, "/sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes", "total_rss")
		}
	}
	return limit, used
}

// lowest returns the lowest limit on the way from the root to a cgroup, and
// what is used where it stands.
func lowest(limit, used int64, root, path, file, anon string) (int64, int64) {
	for {
		dir := root + strings.TrimSuffix(path, "/")
		text, _ := os.ReadFile(dir + "/" + file)
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n < limit && n < 1<<60 {
			limit, used = n, cgroupStat(dir, anon)
		}
		if path == "" || path == "/" {
			return limit, used
		}
		path = path[:strings.LastIndex(path, "/")]
	}
}

// cgroupStat returns a line of a cgroup's memory.stat.
func cgroupStat(dir, name string) int64 {
	text, _ := os.ReadFile(dir + "/memory.stat")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// clean writes what is dirty in a range of the file, and waits until that is
// done: dirty pages cannot be dropped. It does not make the file durable, which
// takes longer.
func clean(f *os.File, off, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := unix.SyncFileRange(int(f.Fd()), off, n, all)
	if err == unix.ENOSYS || err == unix.ESPIPE || err == unix.EPERM || err == unix.EINVAL {
		return f.Sync()
	}
	return os.NewSyscallError("sync_file_range", err)
}
