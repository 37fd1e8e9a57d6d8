//go:build !linux

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// counts is what the system tells of a range, in pages.
type counts struct{ resident, dirty, writeback int64 }

// cachestat says that the system does not count a file's pages.
func cachestat(*os.File, int64, int64) (counts, error) { return counts{}, errors.ErrUnsupported }

// cachestatWorks says the same beforehand.
func cachestatWorks() bool { return false }

// load returns "": how busy the machine is takes more to find out here than it
// is worth.
func load() string { return "" }

// trusted is not asked: nothing counts pages.
func trusted(*os.File) bool { return false }

// inMemory returns "": nothing tells.
func inMemory(*os.File) string { return "" }

// pseudo returns "": nothing tells.
func pseudo(string) string { return "" }

// direct reports whether the file has no pages in the page cache: nothing tells.
func direct(*os.File) bool { return false }

// noCachestat says why dirty pages are not counted.
func noCachestat() string { return "the system does not tell (" + runtime.GOOS + ")" }

// exactly would ask the system to read no more than is read.
func exactly(*os.File) {}

// canDrop reports whether the system drops one file from its cache when asked.
const canDrop = false

// drop says that only Linux drops one file from its cache.
func drop(*os.File, int64, int64) error {
	return fmt.Errorf("no way is known to drop a file from the cache on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// lockLimit returns noLimit: what may be locked shows when it is tried.
func lockLimit() int64 { return noLimit }

// availableMemory returns noLimit: nothing tells.
func availableMemory() int64 { return noLimit }

// clean writes what is dirty of the file.
func clean(f *os.File, _, _ int64) error { return f.Sync() }
