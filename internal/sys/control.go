//go:build !plan9

package sys

import (
	"os"
	"syscall"
)

// Control runs fn with f's descriptor, which stays open meanwhile; conn is f's.
func Control(_ *os.File, conn syscall.RawConn, fn func(fd uintptr)) error { return conn.Control(fn) }
