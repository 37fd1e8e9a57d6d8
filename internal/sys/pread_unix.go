//go:build unix

package sys

import "golang.org/x/sys/unix"

// HasPread says that Pread works.
const HasPread = true

// maxRead is how much one call of os reads at most: some systems refuse more.
const maxRead = 1 << 30

// Pread is one pread(2), and may return less than there is.
func Pread(fd uintptr, p []byte, off int64) (int, error) {
	p = p[:min(len(p), maxRead)]
	for {
		n, err := unix.Pread(int(fd), p, off)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}
