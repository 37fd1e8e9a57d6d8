//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

// kernel returns the version of the running system, or "".
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
