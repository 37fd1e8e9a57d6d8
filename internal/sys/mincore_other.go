//go:build !linux

package sys

// CheckResidencyVisible returns nil: only Linux hides which pages are resident.
func CheckResidencyVisible(uintptr) error { return nil }
