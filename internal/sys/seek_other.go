//go:build !windows

package sys

import (
	"io"
	"syscall"
)

// Seekable reports whether the file has an offset to move: pipes, terminals
// and sockets have none. Asking moves nothing.
func Seekable(fd uintptr) bool {
	_, err := syscall.Seek(int(fd), 0, io.SeekCurrent)
	return err == nil
}
