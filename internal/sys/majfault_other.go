//go:build !unix

package sys

// MajorFaults returns 0: nobody tells. (Windows counts them for all processes
// in one answer of several milliseconds, which is too dear to be asked for
// every second.)
func MajorFaults() int64 { return 0 }
