//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denial is a system call that fails, or fails with some values of one of its
// arguments.
type denial struct {
	call   uint32
	errno  syscall.Errno
	arg    int      // of values; -1: all calls fail
	values []uint32 // of the argument's lower half
}

// sandbox is what a container or an old kernel refuses.
type sandbox struct {
	name, words string
	denials     []denial
}

// sandboxes are those of P29.
var sandboxes = []sandbox{
	{"nocachestat", "seccomp without cachestat", []denial{
		{unix.SYS_CACHESTAT, unix.EPERM, -1, nil},
	}},
	{"nopopulate", "kernel without MADV_POPULATE", []denial{
		{unix.SYS_MADVISE, unix.EINVAL, 2, []uint32{unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE}},
	}},
	{"nonowait", "kernel without RWF_NOWAIT", []denial{
		{unix.SYS_PREADV2, unix.EOPNOTSUPP, -1, nil},
	}},
}

// enter starts this program anew, with other arguments, under the sandbox's
// filter: it is there before the runtime and the library are, in all threads.
func (s sandbox) enter(args []string) error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	filter := s.filter()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return syscall.Exec("/proc/self/exe", args, os.Environ())
}

// filter returns the program that the kernel runs at each system call.
func (s sandbox) filter() (out []unix.SockFilter) {
	const callAt, argsAt = 0, 16 // in struct seccomp_data
	load := func(at uint32) {
		out = append(out, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at})
	}
	skipUnless := func(v uint32, skip int) {
		out = append(out, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(skip), K: v})
	}
	answer := func(v uint32) { out = append(out, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v}) }
	for _, d := range s.denials {
		fails := unix.SECCOMP_RET_ERRNO | uint32(d.errno)
		load(callAt)
		if d.arg < 0 {
			skipUnless(d.call, 1)
			answer(fails)
			continue
		}
		skipUnless(d.call, 1+2*len(d.values))
		at := argsAt + 8*uint32(d.arg)
		if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
			at += 4 // the lower half comes last
		}
		load(at)
		for _, v := range d.values {
			skipUnless(v, 1)
			answer(fails)
		}
	}
	answer(unix.SECCOMP_RET_ALLOW)
	return out
}
