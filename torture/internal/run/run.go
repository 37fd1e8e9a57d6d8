//go:build linux

// Package run runs programs, and the tests of the library, in child processes
// that leave nothing behind.
package run

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command runs a program in a directory, with more in its environment, and
// returns what it printed. The program and all that it started end with the
// context.
func Command(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	out, _, err := Measured(ctx, dir, env, name, args...)
	return out, err
}

// Measured is Command, and returns how much of a processor's time it took.
func Measured(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, time.Duration, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return out, 0, err
	}
	return out, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}

// Failures picks out of a test's output what went wrong.
func Failures(out []byte) string {
	const most = 4000
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		text := strings.TrimSpace(line)
		passed := strings.HasPrefix(text, "=== ") || strings.HasPrefix(text, "--- PASS")
		if !passed && b.Len() < most {
			b.WriteString(line)
		}
	}
	return b.String()
}

// RemoveAll removes a directory with all that is in it, also what a test made
// unchangeable and did not live to change back.
func RemoveAll(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(name string, _ fs.DirEntry, _ error) error {
		if f, err := os.Open(name); err == nil {
			_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
			f.Close()
		}
		return nil
	})
	os.RemoveAll(dir)
}
