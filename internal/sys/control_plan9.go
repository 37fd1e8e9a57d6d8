package sys

import (
	"os"
	"runtime"
	"syscall"
)

// Control runs fn with f's descriptor. The RawConn of Plan 9 does nothing, so
// here a Close may come between.
func Control(f *os.File, _ syscall.RawConn, fn func(fd uintptr)) error {
	fd := f.Fd()
	if fd == ^uintptr(0) {
		return os.ErrClosed
	}
	fn(fd)
	runtime.KeepAlive(f)
	return nil
}
