package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// filterEnv makes the test binary install a seccomp filter before it is the
// command: "kill" ends the process at cachestat(2), as Android's and systemd's
// filters do, "deny" also refuses mincore(2).
const filterEnv = "MMAP_TEST_FILTER"

// installFilter installs it for all threads.
func installFilter(kind string) error {
	const end = unix.SECCOMP_RET_KILL_PROCESS
	deny := uint32(end)
	if kind == "deny" {
		deny = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	}
	mincore := uint32(unix.SYS_MINCORE)
	if kind == "kill" {
		mincore = unix.SYS_CACHESTAT
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CACHESTAT, Jt: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: mincore, Jt: 2},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_RET | unix.BPF_K, K: end},
		{Code: unix.BPF_RET | unix.BPF_K, K: deny},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}

// asChild prepares a process that becomes the command.
func asChild() {
	kind := os.Getenv(filterEnv)
	if kind == "" {
		return
	}
	if err := installFilter(kind); err != nil {
		fmt.Println(noFilter, err)
		os.Exit(statusFailed)
	}
}

// filtered runs the command under a filter.
func filtered(t *testing.T, kind string, args ...string) (status int, out string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"=1", filterEnv+"="+kind)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if strings.Contains(both.String(), noFilter) {
		t.Skip(both.String())
	}
	return cmd.ProcessState.ExitCode(), both.String()
}

// noFilter is what the child says when it may not install a filter.
const noFilter = "no filter: "

// TestFiltered runs the verbs in a sandbox that kills whoever asks by
// cachestat(2): they tell what is resident all the same, and not what is dirty;
// where mincore(2) is refused too, that nothing is told.
func TestFiltered(t *testing.T) {
	name := partly(t, 500)
	thrice(t, func() error {
		want := size(*statOf(t, name).Bytes)
		status, out := filtered(t, "kill", "stat", name)
		if status != statusOK || !strings.Contains(out, " "+want+" ") || !strings.Contains(out, "dirty and writing not told: ") {
			return fmt.Errorf("stat: status %d: %s\nwant %s resident", status, out, want)
		}
		return nil
	})
	for _, args := range [][]string{{"warm", name}, {"who", name}, {"stat", "-list", name}, {"evict", name}, {"bench", "-quick", "-size", "1"}} {
		if status, out := filtered(t, "kill", args...); status != statusOK {
			t.Errorf("%v: status %d: %s", args, status, out)
		}
	}
	if _, out := filtered(t, "kill", "doctor", t.TempDir()); !matches(`note +seccomp +a filter is in force`, out) || !matches(`note +cachestat +not used: a seccomp filter`, out) {
		t.Errorf("doctor: %s", out)
	}
	status, out := filtered(t, "deny", "stat", name)
	if status != statusOK || !matches(`not told +- +- +-\n`, out) || !strings.Contains(out, errFiltered.Error()) {
		t.Errorf("stat without mincore: status %d: %s", status, out)
	}
}
