package sys

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// The errors that the library itself returns.
const (
	NoSpace     = windows.ERROR_DISK_FULL
	Fault       = windows.ERROR_NOACCESS
	OutOfMemory = windows.ERROR_NOT_ENOUGH_MEMORY
	TooBig      = windows.ERROR_FILE_TOO_LARGE
	BadSize     = windows.ERROR_INVALID_PARAMETER
)

// NoOffset is false: ReadFile and WriteFile ignore the offset of what has none.
func NoOffset(error) bool { return false }

// NoMemory reports whether err says that addresses, maps or memory ran out.
func NoMemory(err error) bool {
	return err == windows.ERROR_NOT_ENOUGH_MEMORY ||
		err == windows.ERROR_COMMITMENT_LIMIT || err == windows.ERROR_INVALID_ADDRESS
}

// Transient reports whether err says that a call that writes out was refused or
// interrupted, with nothing lost by it: the pages are as dirty as before.
// ERROR_LOCK_VIOLATION is what NTFS now and then says of a flush beside a
// transaction of its own log.
func Transient(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case windows.ERROR_LOCK_VIOLATION, windows.ERROR_INVALID_PARAMETER, windows.ERROR_ACCESS_DENIED,
		windows.ERROR_NO_SYSTEM_RESOURCES, windows.ERROR_WORKING_SET_QUOTA, windows.ERROR_OPERATION_ABORTED:
		return true
	}
	return false
}

// BeforeStart reports whether err says that a Seek would lead before the first
// byte.
func BeforeStart(err error) bool { return err == windows.ERROR_NEGATIVE_SEEK || err == syscall.EINVAL }

// IsFault reports whether err says that memory passed to a call was not there.
// Sockets have a number of their own for that.
func IsFault(err error) bool {
	return errors.Is(err, Fault) || errors.Is(err, windows.WSAEFAULT)
}

// OverQuota is false: a used-up quota is a full disk here.
func OverQuota(error) bool { return false }
