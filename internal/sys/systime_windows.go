package sys

import "golang.org/x/sys/windows"

// SystemTime returns the seconds since 1970.
func SystemTime() int64 {
	var now windows.Filetime
	windows.GetSystemTimeAsFileTime(&now)
	return now.Nanoseconds() / 1e9
}
