//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// The files of the slow file system are zeros. One page of each takes its time.
const (
	slowSize = 64 * miB   // of each
	slowAt   = 32*miB + 8 // in the page that is slow
)

// slowFS is the mounted file system.
type slowFS struct {
	files *fusefs.Files
	made  int
}

// mountSlowFS mounts it, on a directory of its own.
func mountSlowFS(l *lab, wait time.Duration) *slowFS {
	dir := l.path("slowfs")
	must(os.Mkdir(dir, 0o755))
	files, err := fusefs.MountFiles(dir, fusefs.Cached, wait)
	if errors.Is(err, fusefs.ErrUnavailable) {
		panic(skip(err.Error()))
	}
	must(err)
	f := &slowFS{files: files}
	l.atEnd(f.unmount)
	return f
}

// file makes a file whose slow page nobody has read.
func (f *slowFS) file() string {
	f.made++
	name := fmt.Sprint(f.made)
	must(f.files.New(name, slowSize, slowAt, 0))
	must(f.files.Arm(name, fusefs.ReadSlow))
	return filepath.Join(f.files.Dir, name)
}

// unmount ends it, once.
func (f *slowFS) unmount() {
	if f.files != nil {
		f.files.Close()
		f.files = nil
	}
}
