//go:build !linux

package main

// holdEnv and holdFile are for tests that look at another process.
const holdEnv = "MMAP_TEST_HOLD"

func holdFile(string) {}

// asChild would prepare a process that becomes the command.
func asChild() {}
