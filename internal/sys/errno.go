//go:build !plan9 && !windows

package sys

import (
	"errors"
	"syscall"
)

// The errors that the library itself returns.
const (
	NoSpace     = syscall.ENOSPC
	Fault       = syscall.EFAULT
	TooBig      = syscall.EFBIG
	BadSize     = syscall.EINVAL
	OutOfMemory = syscall.ENOMEM
)

// NoOffset reports whether err says that the file cannot be read or written at
// an offset.
func NoOffset(err error) bool { return err == syscall.ESPIPE }

// NoMemory reports whether err says that addresses, maps or memory ran out.
func NoMemory(err error) bool { return err == OutOfMemory }

// Transient reports whether err says that a call that writes out was refused or
// interrupted, with nothing lost by it.
func Transient(err error) bool { return errors.Is(err, syscall.EINTR) }

// BeforeStart reports whether err says that a Seek would lead before the first
// byte.
func BeforeStart(err error) bool { return err == syscall.EINVAL }

// IsFault reports whether err says that memory passed to a call was not there.
func IsFault(err error) bool { return errors.Is(err, Fault) }

// OverQuota reports whether err says that a quota is used up.
func OverQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }
