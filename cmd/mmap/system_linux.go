package main

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// seccomp reports whether a filter may forbid system calls here. Where nothing
// tells, one may.
var seccomp = sync.OnceValue(func() bool { return procStatus("Seccomp") != "0" })

// procStatus returns a line of /proc/self/status, or "".
func procStatus(name string) string {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kernel returns the version of the running system, or "".
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// kernelVersion returns the first two numbers of it.
func kernelVersion() (major, minor int) {
	first, rest, _ := strings.Cut(kernel(), ".")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits >= 0 {
		rest = rest[:digits]
	}
	major, _ = strconv.Atoi(first)
	minor, _ = strconv.Atoi(rest)
	return major, minor
}

// load returns the system's load averages, or "".
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return ""
	}
	return strings.Join(fields[:3], " ")
}
