package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

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
