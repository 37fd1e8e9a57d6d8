package sys

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Stat asks fstat(2). Regular is what a file server serves (#M): the rest are
// devices.
func Stat(fd uintptr) (Info, error) {
	// A message begins with the length of the rest, in two bytes. A buffer
	// that is too small gets these two alone.
	buf := make([]byte, 2+syscall.STATFIXLEN+16*4)
	for {
		n, err := syscall.Fstat(int(fd), buf)
		if err != nil {
			return Info{}, err
		}
		if n < 2 {
			return Info{}, syscall.ErrShortStat
		}
		if size := 2 + int(buf[0]) + int(buf[1])<<8; n == 2 && size > len(buf) {
			buf = make([]byte, size)
			continue
		}
		dir, err := syscall.UnmarshalDir(buf[:n])
		if err != nil {
			return Info{}, err
		}
		isDir := dir.Mode&syscall.DMDIR != 0
		return Info{Size: dir.Length, Regular: !isDir && dir.Type == 'M', Dir: isDir}, nil
	}
}

// SyncFile is fwstat(2) with a message that changes nothing: the file server
// commits the file to stable storage.
func SyncFile(fd uintptr) error {
	var dir syscall.Dir
	dir.Null()
	var buf [syscall.STATFIXLEN]byte
	n, err := dir.Marshal(buf[:])
	if err != nil {
		return err
	}
	return syscall.Fwstat(int(fd), buf[:n])
}

// openFlags reads how f was opened from its line in dup(3): the second field
// is r, w or rw.
func openFlags(f *os.File) (flag int, known bool) {
	text, err := os.ReadFile("#d/" + strconv.Itoa(int(f.Fd())) + "ctl")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, false
	}
	return access(f, strings.Contains(fields[1], "r"), strings.Contains(fields[1], "w"))
}
