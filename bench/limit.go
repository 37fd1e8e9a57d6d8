//go:build linux && !386 && !arm && !mips && !mipsle

package main

import "github.com/seed-93fed273/mmap"

// limitResident bounds the bytes of files that the library keeps in memory.
var limitResident = func(bytes int64) { mmap.SetResidentLimit(bytes) }
