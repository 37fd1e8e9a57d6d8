//go:build linux && amd64

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// supervisor answers what filters ask, and counts.
type supervisor struct {
	listener int
	rules    []rule
	main     int // the program's process

	counts []*process       // each process that was refused something
	living map[int]*process // of these, by number, those that have not exited
	maps   int              // mappings of the program when it exited
}

// process is what was refused to one process.
type process struct {
	refused map[string]int // by kind
}

// notice is struct seccomp_notif.
type notice struct {
	id    uint64
	pid   uint32 // of the thread
	flags uint32
	nr    uint32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// reply is struct seccomp_notif_resp.
type reply struct {
	id    uint64
	value int64
	error int32
	flags uint32
}

// serve answers until no process is left that has the filter.
func (s *supervisor) serve() error {
	for {
		ready := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll: %w", err)
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			if ready[0].Revents&unix.POLLHUP != 0 {
				return nil
			}
			continue
		}
		var n notice
		switch err := s.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err {
		case nil:
		case unix.EINTR, unix.ENOENT: // whoever asked was killed
			continue
		default:
			return fmt.Errorf("SECCOMP_IOCTL_NOTIF_RECV: %w", err)
		}
		if err := s.answer(&n); err != nil {
			return err
		}
	}
}

// answer decides about one call. It counts what was answered: a call that was
// interrupted meanwhile comes again.
func (s *supervisor) answer(n *notice) error {
	i := slices.IndexFunc(s.rules, func(r rule) bool { return r.fits(n.nr, n.args) })
	if i < 0 {
		return fmt.Errorf("the filter asks about call %d, which no rule is for", n.nr)
	}
	r, pid := s.rules[i], processOf(int(n.pid))
	to := reply{id: n.id}
	switch r.does {
	case refuse:
		to.error = -int32(r.errno)
	case watch:
		if pid == s.main {
			s.maps = countMaps(pid)
		}
		to.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	case pretend:
		to.error = -int32(writeRelease(int(n.pid), uintptr(n.args[0])))
	}
	err := s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&to))
	switch {
	case err == unix.ENOENT || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("SECCOMP_IOCTL_NOTIF_SEND: %w", err)
	}
	switch r.does {
	case refuse:
		s.count(pid, r, n)
	case watch:
		delete(s.living, pid)
	}
	return nil
}

// ioctl calls ioctl(2) on the listener.
func (s *supervisor) ioctl(request uintptr, p unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), request, uintptr(p)); errno != 0 {
		return errno
	}
	return nil
}

// count notes that a process was refused a call.
func (s *supervisor) count(pid int, r rule, n *notice) {
	p := s.living[pid]
	if p == nil {
		p = &process{refused: map[string]int{}}
		s.counts = append(s.counts, p)
		if s.living == nil {
			s.living = map[int]*process{}
		}
		s.living[pid] = p
	}
	p.refused[cmp.Or(r.name, callName(n.nr))]++
}

// kinds returns the kinds of calls that were refused.
func (s *supervisor) kinds() []string {
	all := map[string]bool{}
	for _, p := range s.counts {
		for kind := range p.refused {
			all[kind] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// most returns how many calls of a kind were refused to one process, at most.
func (s *supervisor) most(kind string) (n int) {
	for _, p := range s.counts {
		n = max(n, p.refused[kind])
	}
	return n
}

// report prints the figures.
func (s *supervisor) report(out io.Writer, profile string) {
	for _, kind := range s.kinds() {
		total, processes := 0, 0
		for _, p := range s.counts {
			if n := p.refused[kind]; n > 0 {
				total, processes = total+n, processes+1
			}
		}
		fmt.Fprintf(out, "sandbox: %s: refused %s: %d calls of %d processes, at most %d of one\n", profile, kind, total, processes, s.most(kind))
	}
	if s.maps > 0 {
		fmt.Fprintf(out, "sandbox: %s: %d mappings at the end\n", profile, s.maps)
	}
}

// processOf returns the process that a thread is of, or 0 if it is gone.
func processOf(thread int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(thread) + "/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if number, ok := bytes.CutPrefix(line, []byte("Tgid:")); ok {
			pid, _ := strconv.Atoi(string(bytes.TrimSpace(number)))
			return pid
		}
	}
	return 0
}

// countMaps returns how many mappings a process has, or 0 if it is gone.
func countMaps(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	if err != nil {
		return 0
	}
	return bytes.Count(text, []byte("\n"))
}

// writeRelease writes what uname(2) returns into the memory of a thread, with
// an old release in it.
func writeRelease(thread int, addr uintptr) unix.Errno {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return unix.EFAULT
	}
	u.Release = [len(u.Release)]byte{}
	copy(u.Release[:], oldRelease)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&u)), unsafe.Sizeof(u))
	local := []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}
	remote := []unix.RemoteIovec{{Base: addr, Len: len(b)}}
	n, err := unix.ProcessVMWritev(thread, local, remote, 0)
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		return errno
	case n != len(b):
		return unix.EFAULT
	}
	return 0
}
