package sys

import (
	"errors"

	"golang.org/x/sys/windows"
)

// The errors that the library itself returns.
const (
	NoSpace     = windows.ERROR_DISK_FULL
	Fault       = windows.ERROR_NOACCESS
	OutOfMemory = windows.ERROR_NOT_ENOUGH_MEMORY
	TooBig      = windows.ERROR_FILE_TOO_LARGE
)

// NoOffset is false: ReadFile and WriteFile ignore the offset of what has none.
func NoOffset(error) bool { return false }

// NoMemory reports whether err says that addresses, maps or memory ran out.
func NoMemory(err error) bool {
	return err == windows.ERROR_NOT_ENOUGH_MEMORY ||
		err == windows.ERROR_COMMITMENT_LIMIT || err == windows.ERROR_INVALID_ADDRESS
}

// IsFault reports whether err says that memory passed to a call was not there.
// Sockets have a number of their own for that.
func IsFault(err error) bool {
	return errors.Is(err, Fault) || errors.Is(err, windows.WSAEFAULT)
}

// OverQuota is false: a used-up quota is a full disk here.
func OverQuota(error) bool { return false }
