//go:build unix && !linux && !freebsd

package sys

import "golang.org/x/sys/unix"

// openSame opens path if it leads to the file of fd. It asks before, so as
// not to wait in the opening of a pipe, and after, because names change.
func openSame(fd uintptr, path string, flag int) (int, error) {
	var want, got unix.Stat_t
	if err := unix.Fstat(int(fd), &want); err != nil {
		return -1, err
	}
	if err := unix.Stat(path, &got); err != nil {
		return -1, err
	}
	if got.Dev != want.Dev || got.Ino != want.Ino {
		return -1, unix.ESTALE
	}
	file, err := unix.Open(path, flag, 0)
	if err != nil {
		return -1, err
	}
	err = unix.Fstat(file, &got)
	if err == nil && (got.Dev != want.Dev || got.Ino != want.Ino) {
		err = unix.ESTALE
	}
	if err != nil {
		unix.Close(file)
		return -1, err
	}
	return file, nil
}
