package main

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelFeatures looks at the system calls that came late or that a sandbox
// forbids.
func (e *examination) kernelFeatures() {
	if seccomp() {
		e.add(note, "seccomp", "a filter is in force: a container or a sandbox", "cachestat(2) is never called, because a filter may end the process for it; whether a page is in memory is asked by preadv2(2).")
	} else {
		e.add(fine, "seccomp", "no filter", "")
	}
	e.cachestat()
	e.populate()
	e.memfd()
}

// cachestat tries cachestat(2), on the folder's own descriptor.
func (e *examination) cachestat() {
	f, err := os.Open(e.dir)
	if err == nil {
		defer f.Close()
		_, err = cachestat(f, 0, 1)
	}
	if !cachestatWorks() {
		e.add(note, "cachestat", "not used: "+noCachestat(), "That a file is in memory is learned page by page: the first reads of each page are as fast as os.File's.")
		return
	}
	if errors.Is(err, unix.ENOSYS) {
		e.add(note, "cachestat", err.Error(), "That a file is in memory is learned page by page.")
		return
	}
	e.add(fine, "cachestat", "the kernel counts cached pages", "A file that is wholly in memory is known to be so by one call.")
}

// populate tries MADV_POPULATE_READ.
func (e *examination) populate() {
	b, err := unix.Mmap(-1, 0, int(pageSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err == nil {
		defer unix.Munmap(b)
		err = unix.Madvise(b, unix.MADV_POPULATE_READ)
	}
	if err != nil {
		e.add(note, "populate", fmt.Sprintf("MADV_POPULATE_READ: %v (Linux has it from 5.14 on)", err), "Cold pages are read by pread(2) before memory serves them; Populate only starts the reading.")
		return
	}
	e.add(fine, "populate", "MADV_POPULATE_READ works", "Cold pages are brought in inside a system call, so that no goroutine's page fault stops the others.")
}

// memfd tries memfd_create(2).
func (e *examination) memfd() {
	fd, err := unix.MemfdCreate("mmap-doctor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		e.add(note, "memfd", err.Error(), "Anonymous with Share cannot be had.")
		return
	}
	unix.Close(fd)
	e.add(fine, "memfd", "memfd_create(2) works, with seals", "")
}

// limits looks at what bounds maps, memory and addresses.
func (e *examination) limits() {
	e.mapCount()
	e.lockedMemory()
	e.addresses()
	e.memory()
	if text, _ := os.ReadFile("/proc/sys/vm/overcommit_memory"); strings.TrimSpace(string(text)) == "2" {
		e.add(note, "overcommit", "vm.overcommit_memory is 2", "Private writable maps count in full against the limit; NoReserve has no effect.")
	}
}

// mapCount looks at how many maps a process may have, and who has most.
func (e *examination) mapCount() {
	text, _ := os.ReadFile("/proc/sys/vm/max_map_count")
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		e.add(note, "max_map_count", "not told", "The library assumes 65530.")
		return
	}
	most, who := mostMaps()
	value := fmt.Sprintf("%d maps a process; the library takes %d at most", limit, limit/4)
	if most > 0 {
		value += fmt.Sprintf("; most has %s: %d", who, most)
	}
	switch {
	case most > limit*3/4:
		e.add(hurts, "max_map_count", value, "At the limit a process cannot map, and the Go heap of one dies: raise vm.max_map_count.")
	case limit < 65530:
		e.add(hurts, "max_map_count", value, "That is below the kernel's default: raise vm.max_map_count.")
	default:
		e.add(fine, "max_map_count", value, "A Region takes one map, and more where parts of it are protected or advised apart. Beyond the library's share, files go by the descriptor.")
	}
}

// mostMaps returns the process that has most maps, of those that may be looked
// into.
func mostMaps() (most int, who string) {
	tables, _ := filepath.Glob("/proc/[0-9]*/maps")
	for _, table := range tables {
		text, err := os.ReadFile(table)
		if n := strings.Count(string(text), "\n"); err == nil && n > most {
			dir := filepath.Dir(table)
			comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
			most, who = n, fmt.Sprintf("process %s (%s)", filepath.Base(dir), strings.TrimSpace(string(comm)))
		}
	}
	return most, who
}

// lockedMemory looks at what may be locked.
func (e *examination) lockedMemory() {
	limit := lockLimit()
	if limit == noLimit {
		e.add(fine, "locked memory", "no limit", "")
		return
	}
	grade := fine
	if limit < 64*kiB {
		grade = note
	}
	e.add(grade, "locked memory", size(limit)+" (ulimit -l)", "Lock, and Options.Lock at opening, fail beyond it and name the limit.")
}

// addresses looks at how many addresses there are.
func (e *examination) addresses() {
	width := addressBits()
	value, grade, meaning := fmt.Sprintf("%d bits", width), fine, ""
	if width < 40 {
		grade, meaning = note, "Large files do not fit: they go by the descriptor, and reading is as fast as os.File's."
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err == nil && uint64(limit.Cur) < uint64(noLimit) {
		value += fmt.Sprintf(", limited to %s (ulimit -v)", size(int64(limit.Cur)))
		grade, meaning = note, "Files that do not fit go by the descriptor. Go's own heap needs addresses too."
		if uint64(limit.Cur) < 4*giB {
			grade = hurts
		}
	}
	e.add(grade, "addresses", value, meaning)
}

// addressBits returns how many bits the addresses of a process have, as the
// highest map shows: the stack lies near their end.
func addressBits() int {
	highest := uint64(0)
	text, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(line, "-")
		end, _, _ := strings.Cut(rest, " ")
		if n, err := strconv.ParseUint(end, 16, 64); err == nil && !strings.Contains(line, "[vsyscall]") {
			highest = max(highest, n)
		}
	}
	return bits.Len64(max(highest, 1) - 1)
}

// memory looks at how much there is.
func (e *examination) memory() {
	free, whole := memInfo("MemAvailable"), memInfo("MemTotal")
	limit, _ := cgroupMemory()
	switch {
	case limit != noLimit:
		e.add(note, "memory", fmt.Sprintf("%s by the cgroup's limit, %s available", size(limit), size(availableMemory())),
			"Cached pages count against the limit until the kernel takes them back, which it does before it kills. A hot set above the limit is read from the disk again and again.")
	case free == noLimit || whole == noLimit:
		e.add(note, "memory", "not told", "")
	default:
		e.add(fine, "memory", fmt.Sprintf("%s, %s available, no cgroup limit", size(whole), size(free)), "")
	}
}

// systemNotes say what is to be known of some file systems.
var systemNotes = map[string]struct{ grade, meaning string }{
	"overlayfs": {note, "A file of a lower layer that is opened for reading is another file once somebody writes to it: the library notices within a second. cachestat(2) counts nothing here, so residency is learned page by page."},
	"FUSE":      {note, "A server in user space answers each page: a slow one makes cold reads slow, and changes that it makes by itself are noticed within a second."},
	"NFS":       {note, "Changes by other machines are noticed within a second. A file that another machine cuts gives errors, not a crash, through the methods and View; slices from Bytes can crash the program."},
	"tmpfs":     {note, "Files live in memory and swap: warm, evict and Flush have nothing to do, and nothing survives a restart."},
	"ramfs":     {note, "Files live in memory and can never be taken out of it."},
	"hugetlbfs": {note, "Only huge pages can be mapped: lengths have to be multiples of them."},
	"ZFS":       {note, "ZFS has a cache of its own beside the page cache: mapped files are in memory twice."},
}

// fileSystem looks at the file system; f is a file on it, or nil.
func (e *examination) fileSystem(f *os.File) {
	var st unix.Statfs_t
	if err := unix.Statfs(e.dir, &st); err != nil {
		e.add(note, "file system", err.Error(), "")
		return
	}
	magic := uint32(st.Type)
	name := fileSystem(magic)
	about := systemNotes[name]
	switch name {
	case "SMB", "9p", "Ceph":
		about = systemNotes["NFS"]
	}
	if pseudoFileSystems[magic] != "" {
		about.grade, about.meaning = note, "The kernel makes these files as they are read: they are read by the descriptor."
	}
	value := name
	if st.Flags&unix.ST_RDONLY != 0 {
		value += ", read-only"
	}
	if st.Flags&unix.ST_SYNCHRONOUS != 0 {
		value += ", sync"
	}
	if about.grade == "" {
		about.grade = fine
	}
	e.add(about.grade, "file system", value, about.meaning)
	e.space(st)
	if f != nil && direct(f) {
		e.add(note, "DAX", "memory is the storage itself", "There is no page cache: stat and warm have nothing to tell. Options.MapSync works.")
	}
}

// space looks at how much is free.
func (e *examination) space(st unix.Statfs_t) {
	if st.Blocks == 0 {
		return // it has no blocks to run out of
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	if free <= 0 {
		e.add(hurts, "space", "the file system is full", "A store into a hole of a file faults; the library's calls return ENOSPC for it. Allocate reserves blocks beforehand.")
		return
	}
	e.add(fine, "space", size(free)+" free", "")
}

// fileFeatures tries what not every file system has, on a file made for it.
func (e *examination) fileFeatures(f *os.File) {
	p := make([]byte, pageSize)
	if _, err := unix.Preadv2(int(f.Fd()), [][]byte{p}, 0, unix.RWF_NOWAIT); err != nil && err != unix.EAGAIN {
		e.add(note, "preadv2", fmt.Sprintf("RWF_NOWAIT: %v", err), "A read of a page that is not known to be in memory goes by pread(2), which waits.")
	} else {
		e.add(fine, "preadv2", "RWF_NOWAIT works", "Whether a page is in memory is asked while it is read.")
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, pageSize); err != nil {
		e.add(note, "fallocate", err.Error(), "Allocate writes zeros instead, or fails where others could be writing.")
	} else if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, pageSize); err != nil {
		e.add(note, "fallocate", "blocks can be reserved, not given back: "+err.Error(), "Discard writes zeros instead.")
	} else {
		e.add(fine, "fallocate", "blocks can be reserved and given back", "")
	}
}
