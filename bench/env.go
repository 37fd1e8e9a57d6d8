//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// describe says on what machine, and by which command, the figures were made.
func (l *lab) describe() string {
	var b strings.Builder
	line := func(key, value string) { fmt.Fprintf(&b, "- %s: %s\n", key, value) }
	line("command", "`"+strings.Join(append([]string{"go -C bench run ."}, publicArgs(os.Args[1:])...), " ")+"`")
	line("date", time.Now().UTC().Format("2006-01-02"))
	line("kernel", kernel())
	line("file system", l.fsName)
	line("CPU", fmt.Sprintf("%d × %s", runtime.NumCPU(), cpuModel()))
	line("Go", runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH)
	line("C compiler", l.compilerName())
	line("load average", fmt.Sprintf("%s before, %s after each row", l.loadBefore, strings.Join(l.loads, ", ")))
	return b.String()
}

// publicArgs leaves out of the command what says only where on this machine
// things lie.
func publicArgs(args []string) (out []string) {
	for i := 0; i < len(args); i++ {
		switch name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "="); {
		case name != "dir" && name != "o":
			out = append(out, args[i])
		case !joined:
			i++
		}
	}
	return out
}

// kernel is what uname(2) calls it.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// cpuModel is the first one that the kernel lists.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// loadAverage is how many threads wanted to run during the last minute: above
// half the cores, the figures are somebody else's too.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

// fsNames are the file systems by the number that statfs(2) gives them.
var fsNames = map[int64]string{
	unix.EXT4_SUPER_MAGIC:      "ext4",
	unix.XFS_SUPER_MAGIC:       "xfs",
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.RAMFS_MAGIC:           "ramfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
}

// fileSystem names the file system that dir is on, and says whether its files
// have a disk behind them.
func fileSystem(dir string) (name string, disk bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "unknown", false
	}
	name, known := fsNames[int64(st.Type)]
	if !known {
		name = fmt.Sprintf("%#x", st.Type)
	}
	return name, name != "tmpfs" && name != "ramfs"
}

// compilerName is the first line of gcc's version.
func (l *lab) compilerName() string {
	out, err := exec.Command("gcc", "--version").Output()
	if err != nil {
		return "none: the rows of the C program are left out"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}
