//go:build !linux

package sys

// KeepsTail returns true: POSIX leaves open what becomes of bytes stored to
// memory past the end of a file.
func KeepsTail(uintptr) bool { return true }
