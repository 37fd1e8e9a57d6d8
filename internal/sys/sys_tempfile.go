//go:build unix && !linux && !freebsd

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// NewMemFile makes a temporary file and removes its name: there is no call for a
// file of memory, so a file system keeps the bytes.
func NewMemFile(name string, size int64) (*os.File, error) {
	temp, err := os.CreateTemp("", "mmap-*")
	if err != nil {
		return nil, err
	}
	defer temp.Close()
	if err := os.Remove(temp.Name()); err != nil {
		return nil, err
	}
	if err := temp.Truncate(size); err != nil {
		return nil, err
	}
	var file int
	err = control(temp, func(fd uintptr) error {
		file, err = dup(fd)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(file), name), nil
}

// Seal is unknown here.
func Seal(uintptr, Seals) error { return unix.ENOTSUP }
