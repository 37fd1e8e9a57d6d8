//go:build !go1.27

package sys

import (
	"os"
	"runtime"
	"syscall"
)

// Close closes f; conn is f's. A read or a write of a disk file takes two locks in
// package os, and in Go 1.26 a Close that comes between the two waits for ever
// (internal/poll.FD.readWriteLock; mended in Go 1.27). Nobody is between while the
// first is held here: so it is held until f is marked as closed.
func Close(f *os.File, conn syscall.RawConn) error {
	disk := false
	if err := conn.Control(func(fd uintptr) { disk = Seekable(fd) }); err != nil || !disk {
		return f.Close() // a reader of a pipe may hold the lock for as long as it likes
	}
	closed := make(chan error, 1)
	err := conn.Read(func(uintptr) bool {
		go func() { closed <- f.Close() }()
		for conn.Control(func(uintptr) {}) == nil {
			runtime.Gosched()
		}
		return true
	})
	if err != nil {
		return f.Close()
	}
	return <-closed
}
