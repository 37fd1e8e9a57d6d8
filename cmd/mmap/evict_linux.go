package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache writes the file out, because dirty pages stay, and asks the system
// to drop what its cache has of it. Pages that are mapped and in use stay too.
func dropCache(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return os.NewSyscallError("posix_fadvise", err)
	}
	return nil
}
