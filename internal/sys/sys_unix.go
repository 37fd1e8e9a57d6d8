//go:build unix

package sys

import (
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mappable says that this system maps files at all.
const Mappable = true

// MappingPinsSize is false: a file may shrink under its mappings.
const MappingPinsSize = false

// AppendWrites is false: a file opened with O_RDONLY is never written.
const AppendWrites = false

// PopulateStores says that Populate fails where a store would fault.
const PopulateStores = true

// PageSize returns the size of a page in bytes.
func PageSize() int { return pageSize }

// Granularity returns the alignment of a file offset in bytes: a page.
func Granularity() int { return pageSize }

var pageSize = os.Getpagesize()

// prot translates p into the bits of mmap(2).
func (p Prot) prot() int {
	bits := unix.PROT_NONE
	if p&Read != 0 {
		bits |= unix.PROT_READ
	}
	if p&Write != 0 {
		bits |= unix.PROT_WRITE
	}
	if p&Exec != 0 {
		bits |= unix.PROT_EXEC
	}
	return bits
}

// Stat asks fstat(2), and a block device for its size.
func Stat(fd uintptr) (Info, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(fd), &st)
	for err == unix.EINTR {
		err = unix.Fstat(int(fd), &st)
	}
	if err != nil {
		return Info{}, err
	}
	kind := uint32(st.Mode) & unix.S_IFMT
	info := Info{
		Size:    int64(st.Size),
		Regular: kind == unix.S_IFREG,
		Dir:     kind == unix.S_IFDIR,
		Changed: nanoseconds(st.Ctim) + 31*nanoseconds(st.Mtim),
	}
	if kind == unix.S_IFBLK {
		if size, ok := deviceSize(fd); ok {
			info.Size, info.Block = size, true
		}
	}
	return info, nil
}

// nanoseconds returns a time as one number.
func nanoseconds(t unix.Timespec) int64 { return int64(t.Sec)*1e9 + int64(t.Nsec) }

// Map calls mmap(2) without the table, and the lock, of syscall.Mmap.
func Map(fd uintptr, off int64, n int, p Prot, f Flag, hint uintptr) ([]byte, error) {
	bits, err := f.flags()
	if err != nil {
		return nil, err
	}
	file := int(fd)
	if f&Anonymous != 0 {
		file, off = -1, 0
	}
	// The hint comes from the caller of the library and is never dereferenced.
	at := *(*unsafe.Pointer)(unsafe.Pointer(&hint))
	at, err = unix.MmapPtr(file, off, at, uintptr(n), p.prot(), bits)
	if err == unix.EINVAL && f&SyncMap != 0 {
		err = unix.EOPNOTSUPP // Linux before 4.15
	}
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(at), n), nil
}

// flags translates f into the bits of mmap(2).
func (f Flag) flags() (int, error) {
	bits := unix.MAP_SHARED
	if f&(Private|Anonymous) != 0 {
		bits = unix.MAP_PRIVATE
	}
	if f&Anonymous != 0 {
		bits |= unix.MAP_ANON
	}
	if f&NoReserve != 0 {
		bits |= mapNoReserve
	}
	if f&SyncMap != 0 {
		if mapSync == 0 || bits != unix.MAP_SHARED {
			return 0, unix.EOPNOTSUPP
		}
		bits = mapSync
	}
	return bits, nil
}

// Revoke replaces the mapping by inaccessible memory in one step. At the
// limit of maps, or under mlockall(2), the kernel refuses the replacement but
// not the weaker means: taking all rights away.
func Revoke(b []byte) error {
	at := unsafe.Pointer(unsafe.SliceData(b))
	_, err := unix.MmapPtr(-1, 0, at, uintptr(len(b)), unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED|mapNoReserve)
	if err != nil {
		err = unix.Mprotect(b, unix.PROT_NONE)
	}
	return err
}

// RevokePart is Revoke: mmap(2) with MAP_FIXED works on a part as on the whole.
func RevokePart(b []byte) error { return Revoke(b) }

// Unmap calls munmap(2).
func Unmap(b []byte) error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
}

// Protect calls mprotect(2).
func Protect(b []byte, p Prot) error { return unix.Mprotect(b, p.prot()) }

// Lock calls mlock(2).
func Lock(b []byte) error { return unix.Mlock(b) }

// Unlock calls munlock(2).
func Unlock(b []byte) error { return unix.Munlock(b) }

// addressSpace returns RLIMIT_AS where it is lower than what a process can
// address here.
func addressSpace() uint64 {
	space := addressable()
	var limit unix.Rlimit
	if unix.Getrlimit(rlimitAS, &limit) == nil && uint64(limit.Cur) < space {
		space = uint64(limit.Cur)
	}
	return space
}

// addressable measures how many bytes of addresses a process has: 2^47 on
// amd64, and as few as 2^38 on small 64-bit systems. It asks for one page in
// the third quarter of ever smaller spaces until the system places it there.
var addressable = sync.OnceValue(func() uint64 {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		return 3 << 30
	}
	space := uint64(1) << 47
	for ; space > 1<<32; space >>= 1 {
		hint := uintptr(space / 4 * 3)
		at, err := unix.MmapPtr(-1, 0, *(*unsafe.Pointer)(unsafe.Pointer(&hint)), uintptr(pageSize),
			unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve)
		if err != nil {
			continue
		}
		_ = unix.MunmapPtr(at, uintptr(pageSize))
		if uintptr(at) == hint {
			break
		}
	}
	return space
})

// OpenFlags says how f was opened, as Reopen does, and opens nothing.
func OpenFlags(f *os.File) (flag int, err error) {
	err = control(f, func(fd uintptr) error {
		flag, err = openFlags(fd)
		return err
	})
	return flag, err
}

// duplicate is Reopen for a file that cannot be opened anew.
func duplicate(f *os.File, fd uintptr) (*os.File, error) {
	own, err := dup(fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(own), f.Name()), nil
}

// openFlags says how fd was opened, in the terms of os.OpenFile.
func openFlags(fd uintptr) (int, error) {
	bits, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil {
		return 0, err
	}
	return bits & (unix.O_ACCMODE | os.O_APPEND | os.O_SYNC | DataSync | Direct | keptFlags), nil
}
