//go:build linux && amd64

package main

import "golang.org/x/sys/unix"

// A rule says what is done about some system calls. The first that fits is the
// one; a call that none fits is allowed.
type rule struct {
	lo, hi uint32 // the numbers of the calls, both included
	arg    *arg   // what an argument must be, if not anything
	name   string // of the kind that its calls are counted as; "" is each call's own
	does   action
	errno  unix.Errno // of refuse
}

// arg fits a call whose argument, of which the lower half counts, has a value in
// [lo, hi] after the mask.
type arg struct {
	index        int
	mask, lo, hi uint32
}

// action is what a filter does.
type action int

const (
	kill    action = iota // ends the process
	refuse                // returns an error
	watch                 // lets the call be made, and counts the mappings
	pretend               // answers uname(2) with an old release
)

// fits reports whether the rule is for a call.
func (r rule) fits(nr uint32, args [6]uint64) bool {
	if nr < r.lo || nr > r.hi {
		return false
	}
	if r.arg == nil {
		return true
	}
	v := uint32(args[r.arg.index]) & r.arg.mask
	return r.arg.lo <= v && v <= r.arg.hi
}

// The layout of struct seccomp_data.
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

// x32 is the bit of a number that is one of the x32 interface.
const x32 = 0x40000000

// program translates rules for the kernel. A call of another architecture ends
// the process, for its numbers mean something else. With trap, what ends the
// process can be caught.
func program(rules []rule, trap bool) []unix.SockFilter {
	fatal := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	if trap {
		fatal = unix.SECCOMP_RET_TRAP
	}
	p := []unix.SockFilter{
		load(dataArch),
		jump(unix.BPF_JEQ, unix.AUDIT_ARCH_X86_64, 1, 0),
		answer(unix.SECCOMP_RET_KILL_PROCESS),
		load(dataNr),
		jump(unix.BPF_JGE, x32, 0, 1),
		answer(unix.SECCOMP_RET_KILL_PROCESS),
	}
	for _, r := range rules {
		to := fatal
		if r.does != kill {
			to = unix.SECCOMP_RET_USER_NOTIF
		}
		p = append(p, translate(r, to)...)
	}
	return append(p, answer(unix.SECCOMP_RET_ALLOW))
}

// translate gives the instructions of one rule: past the last one if the call
// does not fit.
func translate(r rule, to uint32) []unix.SockFilter {
	p := []unix.SockFilter{answer(to)} // from the end on, where the distances are known
	within := func(lo, hi uint32) {
		p = append([]unix.SockFilter{jump(unix.BPF_JGT, hi, uint8(len(p)), 0)}, p...)
		p = append([]unix.SockFilter{jump(unix.BPF_JGE, lo, 0, uint8(len(p)))}, p...)
	}
	if r.arg != nil {
		within(r.arg.lo, r.arg.hi)
		p = append([]unix.SockFilter{
			load(dataArgs + 8*uint32(r.arg.index)),
			{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: r.arg.mask},
		}, p...)
	}
	within(r.lo, r.hi)
	return append([]unix.SockFilter{load(dataNr)}, p...)
}

// load reads 32 bits of the data.
func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

// jump compares, and skips so many instructions if that holds, or not.
func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

// answer ends the filter.
func answer(with uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: with}
}
