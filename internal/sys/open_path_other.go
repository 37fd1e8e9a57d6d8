//go:build !linux && !freebsd

package sys

// PathOnly is 0: there are no descriptors that only name a file.
const PathOnly = 0
