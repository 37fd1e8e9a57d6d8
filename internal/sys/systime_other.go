//go:build !unix && !windows

package sys

import "time"

// SystemTime returns the seconds since 1970.
func SystemTime() int64 { return time.Now().Unix() }
