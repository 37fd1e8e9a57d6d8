//go:build !windows

package main

import "os"

// understands reports whether the terminal understands the orders that draw in
// place: all but those that say they are dumb do.
func understands(*os.File) bool { return os.Getenv("TERM") != "dumb" }
