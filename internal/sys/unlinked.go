//go:build unix && !freebsd

package sys

import "os"

// unlinkedFile makes a temporary file of size bytes in dir and removes its name.
// It is called name nevertheless.
func unlinkedFile(dir, name string, size int64) (*os.File, error) {
	temp, err := os.CreateTemp(dir, "mmap-*")
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
