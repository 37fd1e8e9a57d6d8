//go:build unix && !linux && !freebsd

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// NewMemFile makes a temporary file: there is no call for a file of memory, so
// a file system keeps the bytes.
func NewMemFile(name string, size int64) (*os.File, error) { return unlinkedFile("", name, size) }

// Seal is unknown here.
func Seal(uintptr, Seals) error { return unix.ENOTSUP }
