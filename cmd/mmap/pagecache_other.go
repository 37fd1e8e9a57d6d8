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

// clean writes what is dirty of the file.
func clean(f *os.File, _, _ int64) error { return f.Sync() }
