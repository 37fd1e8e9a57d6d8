//go:build unix

package sys

import "golang.org/x/sys/unix"

// SystemTime returns the seconds since 1970 (gettimeofday(2)).
func SystemTime() int64 {
	var now unix.Timeval
	_ = unix.Gettimeofday(&now)
	sec, _ := now.Unix()
	return sec
}
