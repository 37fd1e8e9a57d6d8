//go:build !linux || 386 || arm || mips || mipsle

package main

import (
	"fmt"
	"os"
)

// The comparison makes files cold, freezes file systems and reads /proc: it
// knows Linux alone, and of 1 GiB files on 64 bits. The benchmarks of the library's own tests run everywhere.
func main() {
	fmt.Fprintln(os.Stderr, "bench: this comparison runs on 64-bit Linux only; elsewhere: go test -bench . in the library's folder")
	os.Exit(2)
}
