//go:build !plan9 && !windows

package sys

import "syscall"

// The errors that the library itself returns.
const (
	NoSpace     = syscall.ENOSPC
	Fault       = syscall.EFAULT
	TooBig      = syscall.EFBIG
	OutOfMemory = syscall.ENOMEM
)

// NoMemory reports whether err says that addresses, maps or memory ran out.
func NoMemory(err error) bool { return err == OutOfMemory }
