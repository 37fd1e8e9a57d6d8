//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-93fed273/mmap/torture/internal/run"
)

// outer runs the command again in a mount namespace of its own, waits for it
// and removes its working directory: whatever happens to the inner process, its
// mounts go with it, and its files with this one.
func outer(o options) int {
	dir, err := os.MkdirTemp(o.dir, "torture")
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 1
	}
	defer run.RemoveAll(dir)
	cmd := exec.Command("/proc/self/exe", append([]string{"-inside", dir}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // and makes all of it private
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 1
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case <-done:
			return max(cmd.ProcessState.ExitCode(), -cmd.ProcessState.ExitCode()) // killed: -1
		case <-signals:
			_ = cmd.Process.Signal(syscall.SIGTERM)
			time.AfterFunc(30*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		}
	}
}
