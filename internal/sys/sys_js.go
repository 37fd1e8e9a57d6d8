package sys

import (
	"io"
	"os"
	"syscall"
)

// Stat asks fstat.
func Stat(fd uintptr) (Info, error) {
	var st syscall.Stat_t
	err := syscall.Fstat(int(fd), &st)
	kind := st.Mode & syscall.S_IFMT
	return Info{Size: st.Size, Regular: kind == syscall.S_IFREG, Dir: kind == syscall.S_IFDIR}, err
}

// SyncFile is fsync.
func SyncFile(fd uintptr) error { return syscall.Fsync(int(fd)) }

// openFlags finds out by trying how f was opened: it reads a byte and writes
// none. Whether f is synchronous it cannot tell.
func openFlags(f *os.File) (flag int, known bool) {
	var b [1]byte
	_, err := f.ReadAt(b[:], 0)
	_, werr := f.Write(nil)
	return access(f, err == nil || err == io.EOF, werr == nil)
}
