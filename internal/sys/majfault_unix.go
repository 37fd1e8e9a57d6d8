//go:build unix

package sys

import "golang.org/x/sys/unix"

// MajorFaults returns how many faults of this process have waited for storage
// (ru_majflt of getrusage(2)).
func MajorFaults() int64 {
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return int64(use.Majflt)
}
