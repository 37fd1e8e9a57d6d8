package sys

import (
	"encoding/binary"
	"os"
	"syscall"
	"unsafe"
)

// Stat asks fd_filestat_get.
func Stat(fd uintptr) (Info, error) {
	var st syscall.Stat_t
	err := syscall.Fstat(int(fd), &st)
	return Info{
		Size:    int64(st.Size),
		Regular: st.Filetype == syscall.FILETYPE_REGULAR_FILE,
		Dir:     st.Filetype == syscall.FILETYPE_DIRECTORY,
	}, err
}

// SyncFile is fd_sync.
func SyncFile(fd uintptr) error { return syscall.Fsync(int(fd)) }

// openFlags asks for f's rights. Some runtimes grant both to every file, and
// nothing else tells how it was opened.
func openFlags(f *os.File) (flag int, known bool) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, false
	}
	var st fdstat
	bad := syscall.EBADF
	err = conn.Control(func(fd uintptr) { bad = fdstatGet(int32(fd), unsafe.Pointer(&st)) })
	rights := binary.LittleEndian.Uint64(st[8:])
	read, write := rights&syscall.RIGHT_FD_READ != 0, rights&syscall.RIGHT_FD_WRITE != 0
	if err != nil || bad != 0 || read == write {
		return 0, false
	}
	flag, known = access(f, read, write)
	if binary.LittleEndian.Uint16(st[2:])&syscall.FDFLAG_SYNC != 0 {
		flag |= os.O_SYNC
	}
	return flag, known
}

// fdstat is the interface's fdstat: the type, the flags at 2, the rights at 8.
type fdstat [24]byte

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_get
func fdstatGet(fd int32, st unsafe.Pointer) syscall.Errno
