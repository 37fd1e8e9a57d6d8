//go:build unix

package main

import (
	"os"
	"syscall"
)

// stopSignals ask the command to stop and to clean up. SIGHUP is the terminal
// that goes away.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
