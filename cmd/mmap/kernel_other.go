//go:build !unix

package main

// kernel returns "": the system's version takes more to find out here than it
// is worth.
func kernel() string { return "" }
