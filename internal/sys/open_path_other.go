//go:build !linux && !freebsd

package sys

const (
	// PathOnly is 0: there are no descriptors that only name a file.
	PathOnly = 0

	// keptFlags is 0: a file opened anew keeps what package os knows.
	keptFlags = 0
)
