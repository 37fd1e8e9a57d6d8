//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// nonblock keeps an opening from waiting for the other end of a FIFO.
const nonblock = syscall.O_NONBLOCK

// identity tells files apart whatever their names are.
type identity struct{ dev, ino uint64 }

// identify returns what tells the file apart from all others.
func identify(info fs.FileInfo) (identity, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, false
	}
	return identity{uint64(st.Dev), uint64(st.Ino)}, true
}
