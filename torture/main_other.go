//go:build !linux

package main

import "fmt"

// main says that there is nothing to run: mounts, loop devices, FUSE and the
// ways to cut their power are Linux's.
func main() { fmt.Println("skipped: torture: it needs Linux") }
