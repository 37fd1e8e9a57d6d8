//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import "golang.org/x/sys/unix"

// LockLimit returns RLIMIT_MEMLOCK in bytes; math.MaxUint64 stands for none.
func LockLimit() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) != nil {
		return 1<<64 - 1
	}
	return uint64(limit.Cur)
}
