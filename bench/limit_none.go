//go:build linux && !386 && !arm && !mips && !mipsle && !residentlimit

package main

// limitResident is nil as long as the library has no SetResidentLimit. When it
// has, this file goes, and so does the tag residentlimit of limit.go.
var limitResident func(bytes int64)
