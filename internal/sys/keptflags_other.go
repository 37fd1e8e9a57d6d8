//go:build unix && !linux && !freebsd

package sys

// keptFlags is 0: a file opened anew keeps what package os knows.
const keptFlags = 0
