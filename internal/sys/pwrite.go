//go:build !windows

package sys

import (
	"io"
	"syscall"
)

// CountsWrites says that Pwrite counts what arrived before an error.
const CountsWrites = true

// Pwrite calls pwrite(2) until all of p has arrived, or an error says why not.
func Pwrite(fd uintptr, p []byte, off int64) (n int, err error) {
	const most = 1 << 30 // some systems refuse more at once
	for n < len(p) {
		m, err := syscall.Pwrite(int(fd), p[n:min(len(p), n+most)], off+int64(n))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, io.ErrUnexpectedEOF
		}
		n += m
	}
	return n, nil
}
