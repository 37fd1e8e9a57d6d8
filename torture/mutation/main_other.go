//go:build !linux

package main

import "fmt"

// main says that there is nothing to run: the library is tried on the system on
// which most of its tests run.
func main() { fmt.Println("skipped: mutation: it needs Linux") }
