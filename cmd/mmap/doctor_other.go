//go:build !linux

package main

import (
	"os"
	"runtime"
)

// kernelFeatures says that the system does not tell.
func (e *examination) kernelFeatures() {
	e.add(note, "page cache", "not told: "+runtime.GOOS+" does not count a file's pages for this program", "What the library knows of residency it learns from its own calls.")
}

// limits says that the system does not tell.
func (e *examination) limits() {
	e.add(note, "limits", "not told: this program does not know how to ask "+runtime.GOOS, "A map that fails for a limit is replaced by the descriptor.")
}

// fileSystem says that the system does not tell.
func (e *examination) fileSystem(*os.File) {
	e.add(note, "file system", "not told: this program does not know how to ask "+runtime.GOOS, "On network file systems, changes by other machines are seen late.")
}

// fileFeatures has nothing to try.
func (e *examination) fileFeatures(*os.File) {}
