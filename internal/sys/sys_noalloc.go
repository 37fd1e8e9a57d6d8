//go:build aix || dragonfly || netbsd || openbsd

package sys

import "golang.org/x/sys/unix"

// Allocate is unknown: there is no such call, x/sys/unix has no way to it, or
// no file system implements it.
func Allocate(uintptr, int64, int64) error { return unix.ENOTSUP }

// PunchHole is unknown, for the same reasons.
func PunchHole(uintptr, int64, int64) error { return unix.ENOTSUP }
