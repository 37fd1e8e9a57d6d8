//go:build !linux

package sys

import (
	"io/fs"
	"os"
)

// OpenFile is [os.OpenFile] and Stat.
func OpenFile(name string, flag int, perm fs.FileMode) (*os.File, Info, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, Info{}, err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, Info{}, err
	}
	var info Info
	if cerr := Control(f, conn, func(fd uintptr) { info, err = Stat(fd) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		f.Close()
		return nil, Info{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, info, nil
}

// RefusesShared is false: here a file that cannot be mapped shared cannot be
// mapped at all.
func RefusesShared(error) bool { return false }
