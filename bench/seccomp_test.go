//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestMain is also the program that runs in a sandbox: it tries the calls that
// the sandboxes refuse, on a goroutine that may be on any thread, and prints what
// came of them.
func TestMain(m *testing.M) {
	switch name, state, _ := strings.Cut(os.Getenv("BENCH_SANDBOX"), ":"); {
	case name == "":
		os.Exit(m.Run())
	case state == "inside":
		done := make(chan string)
		go func() { done <- tryCalls() }()
		fmt.Println(<-done)
	default:
		os.Setenv("BENCH_SANDBOX", name+":inside")
		for _, s := range sandboxes {
			if s.name == name {
				fmt.Println(s.enter(os.Args)) // it comes back only with an error
			}
		}
	}
}

// tryCalls makes each call as it must not work inside, and as it must.
func tryCalls() string {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return err.Error()
	}
	var span [2]uint64
	var counts [5]uint64
	_, _, cachestat := unix.Syscall6(unix.SYS_CACHESTAT, f.Fd(), uintptr(unsafe.Pointer(&span)), uintptr(unsafe.Pointer(&counts)), 0, 0, 0)
	_, err = unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, 16)}, 0, unix.RWF_NOWAIT)
	return fmt.Sprintf("cachestat %v, populate %v, willneed %v, nowait %v", cachestat != 0,
		unix.Madvise(m, unix.MADV_POPULATE_READ) == syscall.EINVAL, unix.Madvise(m, unix.MADV_WILLNEED) != nil, err == syscall.EOPNOTSUPP)
}

func TestSandboxes(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	outside := tryCalls()
	for name, call := range map[string]string{"nocachestat": "cachestat", "nopopulate": "populate", "nonowait": "nowait"} {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "BENCH_SANDBOX="+name)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		// What an old kernel refuses anyway is refused in both.
		want := strings.Replace(outside, call+" false", call+" true", 1)
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestWithout(t *testing.T) {
	got := without([]string{"bench", "-sandbox", "a", "-quick", "--sandbox=b", "sandbox", "-rows", "P1"}, "sandbox")
	if strings.Join(got, " ") != "bench -quick sandbox -rows P1" {
		t.Errorf("%q", got)
	}
}
