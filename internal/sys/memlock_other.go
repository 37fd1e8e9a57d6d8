//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sys

// LockLimit returns math.MaxUint64: this system has no such limit to name.
func LockLimit() uint64 { return 1<<64 - 1 }
