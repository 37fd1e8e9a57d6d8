//go:build darwin || dragonfly || freebsd

package sys

import "golang.org/x/sys/unix"

// CoherenceOf asks fstatfs(2) whether the file system is a local one.
func CoherenceOf(fd uintptr) Coherence {
	var st unix.Statfs_t
	if unix.Fstatfs(int(fd), &st) == nil && uint64(st.Flags)&unix.MNT_LOCAL != 0 {
		return Always
	}
	return AfterRead
}

// Reopened is unknown here, and nothing needs it.
func Reopened(uintptr, func(fd uintptr)) error { return unix.ENOTSUP }
