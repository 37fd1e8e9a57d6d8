//go:build !linux

package main

// lockLimit returns noLimit: what may be locked shows when it is tried.
func lockLimit() int64 { return noLimit }

// availableMemory returns noLimit: nothing tells.
func availableMemory() int64 { return noLimit }
