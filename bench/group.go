//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// memoryGroup is a control group that bounds the memory of the processes in
// it, the page cache that they fill included.
type memoryGroup struct{ dir string }

// memoryGroup makes a group for that many bytes, in version 1 or 2 of the
// memory controller, whichever the system has. It goes with the lab, or when
// remove is called.
func (l *lab) memoryGroup(bytes int64) *memoryGroup {
	var tried []string
	for _, mount := range groupMounts() {
		dir, err := os.MkdirTemp(mount.dir, "mmap-bench-")
		if err == nil {
			g := &memoryGroup{dir}
			if err = g.limit(mount.limit, bytes); err == nil {
				l.atEnd(g.remove)
				return g
			}
			g.remove()
		}
		tried = append(tried, err.Error())
	}
	panic(skip("no memory control group can be made: " + strings.Join(append(tried, "needs root and the memory controller"), "; ")))
}

// groupMount is where groups can be made, and the file of a group that holds
// its limit.
type groupMount struct{ dir, limit string }

// groupMounts finds them in the table of mounts. A controller is in one version
// at a time.
func groupMounts() (found []groupMount) {
	for line := range strings.Lines(string(must1(os.ReadFile("/proc/self/mounts")))) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		dir, kind, options := f[1], f[2], strings.Split(f[3], ",")
		switch kind {
		case "cgroup":
			for _, o := range options {
				if o == "memory" {
					found = append(found, groupMount{dir, "memory.limit_in_bytes"})
				}
			}
		case "cgroup2":
			controllers, _ := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
			if strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " memory ") {
				// The groups below get the controller only if that is said here.
				_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory"), 0)
				found = append(found, groupMount{dir, "memory.max"})
			}
		}
	}
	return found
}

// limit sets how many bytes the group may have.
func (g *memoryGroup) limit(file string, bytes int64) error {
	f, err := os.OpenFile(filepath.Join(g.dir, file), os.O_WRONLY, 0) // it must be there
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprint(f, bytes)
	return err
}

// remove takes the group away. Its processes have ended.
func (g *memoryGroup) remove() { os.Remove(g.dir) }
