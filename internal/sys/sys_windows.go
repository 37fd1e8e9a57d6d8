package sys

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

const (
	// Mappable says that this system maps files at all.
	Mappable = true
	// MapsPastEOF is false: a view ends with the page in which its file ends,
	// and a longer section would make the file longer.
	MapsPastEOF = false
	// MappingPinsSize: to cut a file inside a view is ERROR_USER_MAPPED_FILE.
	MappingPinsSize = true
	// AppendWrites: package os adds FILE_APPEND_DATA to whatever rights a file is opened with.
	AppendWrites = true
	// Coherent: ReadFile and WriteFile work on the pages that are mapped, unless
	// IsRemote.
	Coherent = true
	// PopulateStores is false: Populate does not look whether pages can be stored to.
	PopulateStores = false
	// RemoteDiffers: mappings of a file on another host are not kept coherent.
	RemoteDiffers = true
	// SyncFileCoversMemory: what was stored to a mapping takes a call of its own.
	SyncFileCoversMemory = false
	// Direct is FILE_FLAG_NO_BUFFERING, which os.OpenFile accepts.
	Direct = windows.O_FILE_FLAG_NO_BUFFERING
	// DataSync: there is only os.O_SYNC, FILE_FLAG_WRITE_THROUGH.
	DataSync = 0
)

// What golang.org/x/sys/windows has no names for.
const (
	memReplacePlaceholder  = 0x4000  // MapViewOfFile3: into a placeholder
	memReservePlaceholder  = 0x40000 // VirtualAlloc2: addresses for a view
	memPreservePlaceholder = 2       // UnmapViewOfFile2: leave the addresses taken

	memPrivate = 0x20000 // VirtualQuery: memory without a section

	fileAccessInformation     = 8  // NtQueryInformationFile: rights of the handle
	fileModeInformation       = 16 // NtQueryInformationFile: how it was opened
	fileFsDeviceInformation   = 4  // NtQueryVolumeInformationFile
	fileFsFullSizeInformation = 7  // NtQueryVolumeInformationFile
)

var (
	kernelbase = windows.NewLazySystemDLL("kernelbase.dll")
	kernel32   = windows.NewLazySystemDLL("kernel32.dll")
	ntdll      = windows.NewLazySystemDLL("ntdll.dll")

	// Windows 10 of 2018 and Windows Server 2019 are the first with these.
	virtualAlloc2    = kernelbase.NewProc("VirtualAlloc2")
	mapViewOfFile3   = kernelbase.NewProc("MapViewOfFile3")
	unmapViewOfFile2 = kernelbase.NewProc("UnmapViewOfFile2")

	getSystemInfo         = kernel32.NewProc("GetSystemInfo")
	prefetchVirtualMemory = kernel32.NewProc("PrefetchVirtualMemory")
	queryWorkingSetEx     = kernel32.NewProc("K32QueryWorkingSetEx")
	virtualQuery          = kernel32.NewProc("VirtualQuery")
	reOpenFile            = kernel32.NewProc("ReOpenFile")

	ntQueryVolumeInformationFile = ntdll.NewProc("NtQueryVolumeInformationFile")
)

// call calls a procedure that older systems lack, without pointers into the
// Go heap or stack, and in which zero means failure.
func call(proc *windows.LazyProc, args ...uintptr) (uintptr, error) {
	if proc.Find() != nil {
		return 0, errors.ErrUnsupported
	}
	result, _, errno := syscall.SyscallN(proc.Addr(), args...)
	return result, failure(result, 0, errno)
}

// failure turns what syscall.SyscallN returned into an error, if it is zero.
// Pointers are converted in the call of SyscallN itself: it keeps them valid
// without moving what they point to to the heap.
func failure(result, _ uintptr, errno syscall.Errno) error {
	if result == 0 {
		return errno
	}
	return nil
}

// process is the handle that means the calling process.
var process = uintptr(windows.CurrentProcess())

// address returns where b begins.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// system asks GetSystemInfo once.
var system = sync.OnceValue(func() systemInfo {
	var info systemInfo
	getSystemInfo.Call(uintptr(unsafe.Pointer(&info)))
	return info
})

// systemInfo is SYSTEM_INFO.
type systemInfo struct {
	_           uint32
	pageSize    uint32
	lowest      uintptr
	highest     uintptr
	_           uintptr
	_, _        uint32
	granularity uint32
	_           uint32
}

// PageSize returns the size of a page in bytes.
func PageSize() int { return int(system().pageSize) }

// Granularity returns the alignment of a file offset in bytes, which is that
// of addresses: 64 KiB.
func Granularity() int { return int(system().granularity) }

// AddressSpace returns the bytes of addresses that the process may use.
func AddressSpace() uint64 { return uint64(system().highest-system().lowest) + 1 }

// MaxMaps is a number that no process reaches: the system has no such limit.
func MaxMaps() int { return 1 << 20 }

// page translates p into the protection of a page, for memory whose stores
// are private copies or for any other.
func (p Prot) page(copies bool) uint32 {
	bits := [...]uint32{
		0:                   windows.PAGE_NOACCESS,
		Read:                windows.PAGE_READONLY,
		Write:               windows.PAGE_READWRITE,
		Read | Write:        windows.PAGE_READWRITE,
		Exec:                windows.PAGE_EXECUTE,
		Exec | Read:         windows.PAGE_EXECUTE_READ,
		Exec | Write:        windows.PAGE_EXECUTE_READWRITE,
		Exec | Read | Write: windows.PAGE_EXECUTE_READWRITE,
	}[p&(Read|Write|Exec)]
	if copies && p&Write != 0 {
		bits <<= 1 // PAGE_WRITECOPY and PAGE_EXECUTE_WRITECOPY
	}
	return bits
}

// access translates p into the rights that MapViewOfFile asks of a section.
func (p Prot) access(copies bool) uint32 {
	bits := uint32(windows.FILE_MAP_READ)
	switch {
	case p&Write == 0:
	case copies:
		bits = windows.FILE_MAP_COPY
	default:
		bits |= windows.FILE_MAP_WRITE
	}
	if p&Exec != 0 {
		bits |= windows.FILE_MAP_EXECUTE
	}
	return bits
}

// Stat asks GetFileInformationByHandle. What is not on a disk, as a pipe or a
// console, has no size.
func Stat(fd uintptr) (Info, error) {
	kind, err := windows.GetFileType(windows.Handle(fd))
	if err != nil || kind != windows.FILE_TYPE_DISK {
		return Info{}, err
	}
	info, err := stat(fd)
	dir := info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0
	return Info{Size: size(info), Regular: err == nil && !dir, Dir: dir}, err
}

// stat calls GetFileInformationByHandle.
func stat(fd uintptr) (info windows.ByHandleFileInformation, err error) {
	err = windows.GetFileInformationByHandle(windows.Handle(fd), &info)
	return info, err
}

// size returns the two halves of a file's size as one.
func size(info windows.ByHandleFileInformation) int64 {
	return int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow)
}

// ask returns a fact about an open file that is a single number.
func ask(fd uintptr, class uint32) (fact uint32, err error) {
	var status windows.IO_STATUS_BLOCK
	err = windows.NtQueryInformationFile(windows.Handle(fd), &status,
		(*byte)(unsafe.Pointer(&fact)), uint32(unsafe.Sizeof(fact)), class)
	if code, ok := err.(windows.NTStatus); ok {
		err = code.Errno()
	}
	return fact, err
}

// Reopen calls ReOpenFile with the rights of f's handle. Where that fails, as
// for a pipe, a file about to be deleted or one opened without sharing, it
// duplicates.
//
// A file opened with os.O_APPEND and os.O_TRUNC together has all rights, and
// its flag comes back without os.O_APPEND: the handle does not tell.
func Reopen(f *os.File) (own *os.File, flag int, alone bool, err error) {
	err = control(f, func(fd uintptr) error {
		rights, err := ask(fd, fileAccessInformation)
		if err != nil {
			return err
		}
		mode, err := ask(fd, fileModeInformation)
		if err != nil {
			return err
		}
		flag = openFlags(rights, mode)
		handle, err := reopen(fd, rights, mode)
		alone = err == nil
		if !alone {
			handle, err = duplicate(fd)
		}
		if err == nil {
			own = os.NewFile(uintptr(handle), f.Name())
		}
		return err
	})
	return own, flag, alone, err
}

// OpenFlags says how f was opened, as Reopen does, and opens nothing.
func OpenFlags(f *os.File) (flag int, err error) {
	err = control(f, func(fd uintptr) error {
		rights, err := ask(fd, fileAccessInformation)
		if err != nil {
			return err
		}
		mode, err := ask(fd, fileModeInformation)
		flag = openFlags(rights, mode)
		return err
	})
	return flag, err
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

// openFlags says how a handle was opened, in the terms of os.OpenFile: the
// right to append without the right to write elsewhere is os.O_APPEND.
func openFlags(rights, mode uint32) int {
	flag := os.O_RDONLY
	const stores = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA
	switch {
	case rights&stores == 0:
	case rights&windows.FILE_READ_DATA == 0:
		flag = os.O_WRONLY
	default:
		flag = os.O_RDWR
	}
	if rights&stores == windows.FILE_APPEND_DATA {
		flag |= os.O_APPEND
	}
	if mode&windows.FILE_WRITE_THROUGH != 0 {
		flag |= os.O_SYNC
	}
	if mode&windows.FILE_NO_INTERMEDIATE_BUFFERING != 0 {
		flag |= Direct
	}
	return flag
}

// reopen opens the file of fd anew. The right to delete it stays with fd.
func reopen(fd uintptr, rights, mode uint32) (windows.Handle, error) {
	attributes := uint32(0)
	if mode&windows.FILE_WRITE_THROUGH != 0 {
		attributes |= windows.FILE_FLAG_WRITE_THROUGH
	}
	if mode&windows.FILE_NO_INTERMEDIATE_BUFFERING != 0 {
		attributes |= windows.FILE_FLAG_NO_BUFFERING
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	handle, _, err := reOpenFile.Call(fd, uintptr(rights&^windows.DELETE), share, uintptr(attributes))
	if windows.Handle(handle) == windows.InvalidHandle {
		return 0, err
	}
	return windows.Handle(handle), nil
}

// duplicate is Reopen for a file that cannot be opened anew.
func duplicate(fd uintptr) (handle windows.Handle, err error) {
	self := windows.CurrentProcess()
	err = windows.DuplicateHandle(self, windows.Handle(fd), self, &handle,
		0, false, windows.DUPLICATE_SAME_ACCESS)
	return handle, err
}

// Map maps a view of a file into a placeholder, so that Revoke can leave the
// addresses taken, or allocates memory. NoReserve has no meaning here. Out of
// memory is ERROR_NOT_ENOUGH_MEMORY or ERROR_COMMITMENT_LIMIT, see [NoMemory].
func Map(fd uintptr, off int64, n int, p Prot, f Flag, hint uintptr) ([]byte, error) {
	var at uintptr
	var err error
	switch {
	case f&SyncMap != 0:
		err = errors.ErrUnsupported
	case f&Anonymous != 0:
		at, err = reserve(hint, func(hint uintptr) (uintptr, error) {
			return windows.VirtualAlloc(hint, uintptr(n), windows.MEM_RESERVE|windows.MEM_COMMIT, p.page(false))
		})
	default:
		return mapFile(fd, off, n, p, f&Private != 0, hint)
	}
	if err != nil {
		return nil, err
	}
	return memory(at, n), nil
}

// memory returns the slice that covers n bytes of mapped memory.
func memory(at uintptr, n int) []byte {
	// The address is the system's, and never one of the Go heap.
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), n)
}

// reserve calls alloc with the hint, rounded to what the system can do, and
// without it where that fails.
func reserve(hint uintptr, alloc func(hint uintptr) (uintptr, error)) (uintptr, error) {
	if hint &^= uintptr(Granularity() - 1); hint != 0 {
		if at, err := alloc(hint); err == nil {
			return at, nil
		}
	}
	return alloc(0)
}

// mapFile maps a view with all the rights that Protect may grant later, since
// VirtualProtect never exceeds those of the view, and lowers them to p. So a
// private view is charged for all its copies at once, whatever p is.
func mapFile(fd uintptr, off int64, n int, p Prot, copies bool, hint uintptr) ([]byte, error) {
	length, err := viewLength(fd, off, n)
	if err != nil {
		return nil, err
	}
	rights, err := ask(fd, fileAccessInformation)
	if err != nil {
		return nil, err
	}
	most := p | Read
	if copies || rights&windows.FILE_WRITE_DATA != 0 {
		most |= Write
	}
	handle := windows.Handle(fd)
	if p&Exec != 0 {
		if handle, err = executable(fd, rights); err != nil {
			return nil, err
		}
		defer windows.CloseHandle(handle)
	}
	// No size: a section never makes its file longer.
	section, err := windows.CreateFileMapping(handle, nil, most.page(copies), 0, 0, nil)
	if err != nil {
		return nil, err
	}
	defer windows.CloseHandle(section)
	at, err := placeView(section, off, n, length, most.page(copies), hint)
	if err != nil {
		at, err = windows.MapViewOfFile(section, most.access(copies), uint32(off>>32), uint32(off), uintptr(length))
	}
	if err != nil {
		return nil, err
	}
	b := memory(at, n)
	if p.page(copies) == most.page(copies) {
		return b, nil
	}
	if err := Protect(b, p); err != nil {
		Unmap(b)
		return nil, err
	}
	return b, nil
}

// executable opens the file of fd anew with the right to execute it, which
// package os does not ask for and a section of executable pages needs.
func executable(fd uintptr, rights uint32) (windows.Handle, error) {
	mode, err := ask(fd, fileModeInformation)
	if err != nil {
		return 0, err
	}
	return reopen(fd, rights|windows.FILE_EXECUTE, mode)
}

// viewLength returns how many of the n bytes of whole pages at off the file
// has. A view of more is STATUS_INVALID_VIEW_SIZE, one of less would not
// cover the pages asked for: only the last page may be part of the file.
func viewLength(fd uintptr, off int64, n int) (int, error) {
	info, err := stat(fd)
	if err != nil {
		return 0, err
	}
	length := min(int64(n), size(info)-off)
	if length <= int64(n-PageSize()) {
		return 0, windows.ERROR_HANDLE_EOF
	}
	return int(length), nil
}

// placeholders reports, after trying once, whether this system has them: some
// have the procedures only, and misunderstand the flags.
var placeholders = sync.OnceValue(func() bool {
	at, err := placeholder(0, uintptr(PageSize()))
	if err != nil {
		return false
	}
	return windows.VirtualFree(at, 0, windows.MEM_RELEASE) == nil &&
		mapViewOfFile3.Find() == nil && unmapViewOfFile2.Find() == nil
})

// placeholder takes n bytes of addresses for a view to replace.
func placeholder(hint, n uintptr) (uintptr, error) {
	return call(virtualAlloc2, process, hint, n,
		windows.MEM_RESERVE|memReservePlaceholder, windows.PAGE_NOACCESS, 0, 0)
}

// placeView maps length bytes at off into a placeholder of n bytes, which is
// length in whole pages: the system rounds the one to compare it with the
// other.
func placeView(section windows.Handle, off int64, n, length int, page uint32, hint uintptr) (uintptr, error) {
	if !placeholders() {
		return 0, errors.ErrUnsupported
	}
	at, err := reserve(hint, func(hint uintptr) (uintptr, error) {
		return placeholder(hint, uintptr(n))
	})
	if err != nil {
		return 0, err
	}
	args := []uintptr{uintptr(section), process, at, uintptr(off)}
	if unsafe.Sizeof(uintptr(0)) == 4 {
		args = append(args, uintptr(off>>32))
	}
	args = append(args, uintptr(length), memReplacePlaceholder, uintptr(page), 0, 0)
	if _, err := call(mapViewOfFile3, args...); err != nil {
		windows.VirtualFree(at, 0, windows.MEM_RELEASE)
		return 0, err
	}
	return at, nil
}

// Revoke turns a view back into its placeholder in one step, and so lets go of
// the file. Memory without a file, and a view without a placeholder, which
// holds its file until Unmap, are revoked as by Release.
func Revoke(b []byte) error {
	if placeholders() {
		_, err := call(unmapViewOfFile2, process, address(b), memPreservePlaceholder)
		if err == nil {
			return nil
		}
	}
	return RevokePart(b)
}

// RevokePart decommits memory, and takes all rights to a view away.
func RevokePart(b []byte) error {
	err := windows.VirtualFree(address(b), uintptr(len(b)), windows.MEM_DECOMMIT)
	if err != nil {
		var old uint32
		err = windows.VirtualProtect(address(b), uintptr(len(b)), windows.PAGE_NOACCESS, &old)
	}
	return err
}

// Unmap lets go of a view together with its addresses, or of what was left of
// it, or of memory: each of the two calls refuses what is for the other.
func Unmap(b []byte) error {
	if windows.UnmapViewOfFile(address(b)) == nil {
		return nil
	}
	return windows.VirtualFree(address(b), 0, windows.MEM_RELEASE)
}

// Protect calls VirtualProtect. Stores to a private view stay private, and
// rights that the file's handle does not give are ERROR_ACCESS_DENIED.
func Protect(b []byte, p Prot) error {
	r, err := query(b)
	if err != nil {
		return err
	}
	copies := r.firstProtect&(windows.PAGE_WRITECOPY|windows.PAGE_EXECUTE_WRITECOPY) != 0
	var old uint32
	err = windows.VirtualProtect(address(b), uintptr(len(b)), p.page(copies), &old)
	if err == windows.ERROR_INVALID_PARAMETER {
		err = windows.ERROR_ACCESS_DENIED // the only parameter in doubt
	}
	return err
}

// region is MEMORY_BASIC_INFORMATION: pages of one kind. The type of that name
// in golang.org/x/sys/windows has a field that 32-bit systems have not.
type region struct {
	_, _         uintptr
	firstProtect uint32 // of the whole mapping, when it was made
	size         uintptr
	state        uint32
	protect      uint32
	kind         uint32
}

// query asks VirtualQuery about the pages at the beginning of b.
func query(b []byte) (r region, err error) {
	err = failure(syscall.SyscallN(virtualQuery.Addr(), address(b),
		uintptr(unsafe.Pointer(&r)), unsafe.Sizeof(r)))
	return r, err
}

// Populate calls PrefetchVirtualMemory, which reads in one system call what
// is not in memory. The pages are mapped at the first touch, which then does
// not wait; what a touch would die of is not reported.
func Populate(b []byte, _ bool) error {
	entry := struct{ at, n uintptr }{address(b), uintptr(len(b))}
	return failure(syscall.SyscallN(prefetchVirtualMemory.Addr(), process, 1,
		uintptr(unsafe.Pointer(&entry)), 0))
}

// Lock calls VirtualLock, whose limit is the process's minimum working set:
// ERROR_WORKING_SET_QUOTA.
func Lock(b []byte) error { return windows.VirtualLock(address(b), uintptr(len(b))) }

// Unlock calls VirtualUnlock. As munlock(2) it does not mind pages that were
// not locked, for which the system refuses the whole range.
func Unlock(b []byte) error {
	err := windows.VirtualUnlock(address(b), uintptr(len(b)))
	if err != windows.ERROR_NOT_LOCKED {
		return err
	}
	for page := uintptr(PageSize()); len(b) > 0; b = b[page:] {
		err := windows.VirtualUnlock(address(b), page)
		if err != nil && err != windows.ERROR_NOT_LOCKED {
			return err
		}
	}
	return nil
}

// Sync writes the pages with FlushViewOfFile, which leaves them in the cache
// of the disk, and then calls FlushFileBuffers. That is denied to a handle
// without the right to store, through which there was nothing to write.
func Sync(fd uintptr, b []byte) error {
	if err := SyncMemory(b); err != nil {
		return err
	}
	err := SyncFile(fd)
	if err == windows.ERROR_ACCESS_DENIED {
		rights, bad := ask(fd, fileAccessInformation)
		if bad == nil && rights&(windows.FILE_WRITE_DATA|windows.FILE_APPEND_DATA) == 0 {
			return nil
		}
	}
	return err
}

// SyncMemory calls FlushViewOfFile. A conflict with the file system's own locks
// passes: the call is made again for up to two seconds.
func SyncMemory(b []byte) error {
	return retryLocked(func() error { return windows.FlushViewOfFile(address(b), uintptr(len(b))) })
}

// retryLocked calls fn again while it returns ERROR_LOCK_VIOLATION, after pauses
// of 1 ms to 1 s.
func retryLocked(fn func() error) error {
	for pause := time.Millisecond; ; pause *= 2 {
		err := fn()
		if err != windows.ERROR_LOCK_VIOLATION || pause > time.Second {
			return err
		}
		time.Sleep(pause)
	}
}

// SyncFile calls FlushFileBuffers.
func SyncFile(fd uintptr) error { return windows.FlushFileBuffers(windows.Handle(fd)) }

// StartWriteback calls FlushViewOfFile. For bytes that are not mapped there is no
// such call.
func StartWriteback(_ uintptr, _, _ int64, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return windows.FlushViewOfFile(address(b), uintptr(len(b)))
}

// DiskFull asks for the free space of the volume, quotas included.
func DiskFull(fd uintptr) bool {
	var status windows.IO_STATUS_BLOCK
	var space struct { // FILE_FS_FULL_SIZE_INFORMATION
		total, callers, actual     int64
		sectorsPerUnit, sectorSize uint32
	}
	code, _, _ := syscall.SyscallN(ntQueryVolumeInformationFile.Addr(), fd, uintptr(unsafe.Pointer(&status)),
		uintptr(unsafe.Pointer(&space)), unsafe.Sizeof(space), fileFsFullSizeInformation)
	return code == 0 && space.total > 0 && space.callers == 0
}

// IsRemote asks the volume whether it is another host's.
func IsRemote(fd uintptr) bool {
	const remote = 0x10 // FILE_REMOTE_DEVICE
	var status windows.IO_STATUS_BLOCK
	var device struct{ kind, characteristics uint32 } // FILE_FS_DEVICE_INFORMATION
	code, _, _ := syscall.SyscallN(ntQueryVolumeInformationFile.Addr(), fd, uintptr(unsafe.Pointer(&status)),
		uintptr(unsafe.Pointer(&device)), unsafe.Sizeof(device), fileFsDeviceInformation)
	return code == 0 && device.characteristics&remote != 0
}

// HasAdvice reports whether the system has anything like the advice.
func HasAdvice(a Advice) bool { return a == Normal || a == WillNeed || a == PopulateRead }

// Advise prefetches. Normal is what all memory is treated as anyway.
func Advise(b []byte, a Advice) error {
	switch a {
	case Normal:
		return nil
	case WillNeed, PopulateRead:
		return Populate(b, false)
	}
	return errors.ErrUnsupported
}

// Resident asks QueryWorkingSetEx, and so calls resident what this process
// touches without a fault; a page that waits in the system's cache is not.
func Resident(b []byte, in []bool) error {
	const valid = 1
	var pages [512]struct{ at, attributes uintptr }
	for i := 0; i < len(in); i += len(pages) {
		set := pages[:min(len(pages), len(in)-i)]
		for j := range set {
			set[j].at = address(b) + uintptr(i+j)*uintptr(PageSize())
		}
		err := failure(syscall.SyscallN(queryWorkingSetEx.Addr(), process,
			uintptr(unsafe.Pointer(&set[0])), uintptr(len(set))*unsafe.Sizeof(set[0])))
		if err != nil {
			return err
		}
		for j := range set {
			in[i+j] = set[j].attributes&valid != 0
		}
	}
	return nil
}

// CacheStat has no counterpart.
func CacheStat(uintptr, int64, int64) (Cache, error) { return Cache{}, errors.ErrUnsupported }

// Allocate appends zeros up to off+n: a file that is neither sparse nor
// compressed has the blocks before its end. For the others there is no such
// call. (SetFileInformationByHandle would cut off what others append meanwhile.)
func Allocate(fd uintptr, off, n int64) error {
	info, err := stat(fd)
	if err != nil {
		return err
	}
	const thin = windows.FILE_ATTRIBUTE_SPARSE_FILE | windows.FILE_ATTRIBUTE_COMPRESSED
	if info.FileAttributes&thin != 0 {
		return errors.ErrUnsupported
	}
	return growByAppending(fd, off+n, appendTo)
}

// setSize sets one of the sizes of a file.
func setSize(fd uintptr, class uint32, size int64) error {
	return windows.SetFileInformationByHandle(windows.Handle(fd), class,
		(*byte)(unsafe.Pointer(&size)), uint32(unsafe.Sizeof(size)))
}

// appendTo writes p at the end of the file, wherever that is, which an offset of
// all ones stands for.
func appendTo(fd uintptr, p []byte) (int, error) {
	var done uint32
	end := windows.Overlapped{Offset: math.MaxUint32, OffsetHigh: math.MaxUint32}
	err := windows.WriteFile(windows.Handle(fd), p, &done, &end)
	return int(done), err
}

// CountsWrites is false: a write to a full disk writes nothing here.
const CountsWrites = false

// Pwrite is not asked for here.
func Pwrite(uintptr, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }

// PunchHole makes the file sparse, or zeros would take blocks, and zeros the
// bytes.
func PunchHole(fd uintptr, off, n int64) error {
	hole := [2]int64{off, off + n}
	err := deviceControl(fd, windows.FSCTL_SET_SPARSE, nil, 0)
	if err == nil {
		err = deviceControl(fd, windows.FSCTL_SET_ZERO_DATA, (*byte)(unsafe.Pointer(&hole)), uint32(unsafe.Sizeof(hole)))
	}
	if err == windows.ERROR_INVALID_FUNCTION {
		err = errors.ErrUnsupported // FAT
	}
	return err
}

// deviceControl calls DeviceIoControl for what has input only.
func deviceControl(fd uintptr, code uint32, in *byte, n uint32) error {
	var done uint32
	return windows.DeviceIoControl(windows.Handle(fd), code, in, n, nil, 0, &done, nil)
}

// DiscardPages decommits and commits the pages of memory. A touch in between faults.
// A view has no means to forget its copies.
func DiscardPages(b []byte, _ Prot, _ bool) error {
	for len(b) > 0 {
		r, err := query(b)
		if err != nil {
			return err
		}
		if r.kind != memPrivate {
			return errors.ErrUnsupported
		}
		n := min(uintptr(len(b)), r.size)
		if r.state == windows.MEM_COMMIT { // not released
			if err := recommit(address(b), n, r.protect); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

// recommit replaces pages by pages of zeros.
func recommit(at, n uintptr, page uint32) error {
	if err := windows.VirtualFree(at, n, windows.MEM_DECOMMIT); err != nil {
		return err
	}
	_, err := windows.VirtualAlloc(at, n, windows.MEM_COMMIT, page)
	return err
}

// NewMemFile creates a file among the temporary ones that the system keeps in
// memory while it can, and that is gone with its last handle. It does have a
// name until then.
func NewMemFile(name string, size int64) (*os.File, error) {
	path := filepath.Join(os.TempDir(), "mmap-"+strconv.FormatUint(rand.Uint64(), 36))
	name16, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := windows.CreateFile(name16, windows.GENERIC_READ|windows.GENERIC_WRITE|windows.DELETE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, windows.CREATE_NEW,
		windows.FILE_ATTRIBUTE_TEMPORARY|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
	if err != nil {
		return nil, err
	}
	if err := setSize(uintptr(handle), windows.FileEndOfFileInfo, size); err != nil {
		windows.CloseHandle(handle)
		return nil, err
	}
	return os.NewFile(uintptr(handle), name), nil
}

// Seal has no counterpart.
func Seal(uintptr, Seals) error { return errors.ErrUnsupported }
