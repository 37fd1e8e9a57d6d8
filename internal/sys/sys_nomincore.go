//go:build aix || openbsd || solaris

package sys

import "golang.org/x/sys/unix"

// Resident is unknown: OpenBSD took mincore(2) away, and on the others
// x/sys/unix has no way to it.
func Resident([]byte, []bool) error { return unix.ENOTSUP }
