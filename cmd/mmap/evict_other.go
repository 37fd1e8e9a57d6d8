//go:build !linux

package main

import (
	"errors"
	"fmt"
	"runtime"
)

// dropCache says that only Linux lets the cache of one file be dropped.
func dropCache(string) error {
	return fmt.Errorf("bench knows no way to drop a file's cache on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
