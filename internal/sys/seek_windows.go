package sys

import "golang.org/x/sys/windows"

// Seekable reports whether the file has an offset to move: what is on a disk
// has.
func Seekable(fd uintptr) bool {
	kind, err := windows.GetFileType(windows.Handle(fd))
	return err == nil && kind == windows.FILE_TYPE_DISK
}
