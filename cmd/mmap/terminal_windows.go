package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// understands makes the console understand the orders that draw in place and
// colour, and reports whether it does: those before Windows 10 do not.
func understands(f *os.File) bool {
	var mode uint32
	console := windows.Handle(f.Fd())
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
