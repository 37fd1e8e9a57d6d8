//go:build !windows || go1.27

package sys

import (
	"os"
	"syscall"
)

// Close closes f; conn is f's.
func Close(f *os.File, _ syscall.RawConn) error { return f.Close() }
