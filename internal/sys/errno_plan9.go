package sys

import (
	"errors"
	"syscall"
)

// The errors that the library itself returns.
var (
	NoSpace     error = syscall.NewError("no space left on device")
	Fault       error = syscall.NewError("bad address")
	OutOfMemory error = syscall.NewError("out of memory")
	BadSize     error = syscall.EINVAL
	TooBig      error = syscall.NewError("file too large")
)

// NoOffset is false: every file has offsets on Plan 9.
func NoOffset(error) bool { return false }

// NoMemory is false: nothing is mapped on Plan 9.
func NoMemory(error) bool { return false }

// Transient is false: nothing is mapped on Plan 9.
func Transient(error) bool { return false }

// BeforeStart reports whether err says that a Seek would lead before the first
// byte: no other call of seek(2) fails.
func BeforeStart(err error) bool {
	_, is := err.(syscall.ErrorString)
	return is
}

// IsFault reports whether err says that memory passed to a call was not there.
func IsFault(err error) bool { return errors.Is(err, Fault) }

// OverQuota is false: a used-up quota is a full disk here.
func OverQuota(error) bool { return false }
