//go:build !linux

package sys

// TryWrite knows nothing.
func TryWrite(uintptr, int64) error { return nil }
