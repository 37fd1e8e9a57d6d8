//go:build unix && !aix

package sys

import "golang.org/x/sys/unix"

// dup duplicates fd, closed on exec.
func dup(fd uintptr) (int, error) { return unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }
