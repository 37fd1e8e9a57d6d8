//go:build linux && amd64

package main

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// profile is one filter.
type profile struct {
	about string
	rules []rule
}

// profiles are all filters. Each also watches how the program exits.
var profiles = map[string]profile{
	"watch":   {"refuses nothing", watching(nil)},
	"service": {"kills for what systemd's @system-service or Android's list does not allow", watching(service())},
	"new":     {"EPERM for every system call that came after Linux 4.4", watching(recent())},
	"old":     {"answers as Linux " + oldRelease + " does", watching(old())},
}

// watching adds the rule that counts mappings.
func watching(rules []rule) []rule {
	return append(rules, rule{lo: unix.SYS_EXIT_GROUP, hi: unix.SYS_EXIT_GROUP, does: watch})
}

// service is what two allow-lists do not allow. They are those of
//
//   - a systemd service with SystemCallFilter=@system-service, which systemd's
//     manual recommends to begin with, in systemd 252 of Debian 12; what that
//     version does not know, from 451 on, is not allowed either. `systemd-analyze
//     syscall-filter` prints the list.
//   - an Android app (bionic's SYSCALLS.TXT and SECCOMP_*.TXT of March 2025). Of
//     what it does not allow there are only the calls here that came after the
//     first 64-bit Android: before, amd64 had some, as unlink, that arm64 never
//     had and that Go makes on amd64.
//
// Two are refused instead, for they are not made unasked: mincore, which is
// [mmap.Region.Resident] and systemd forbids, and faccessat2, which package
// os/exec tries everywhere but on Android and which Android forbids.
func service() []rule {
	rules := []rule{
		{lo: unix.SYS_MINCORE, hi: unix.SYS_MINCORE, does: refuse, errno: unix.EPERM},
		{lo: unix.SYS_FACCESSAT2, hi: unix.SYS_FACCESSAT2, does: refuse, errno: unix.EPERM},
	}
	for _, span := range [][2]uint32{
		{unix.SYS_PTRACE, unix.SYS_PTRACE},
		{unix.SYS_SYSLOG, unix.SYS_SYSLOG},
		{unix.SYS_USELIB, unix.SYS_USELIB},
		{unix.SYS_USTAT, unix.SYS_USTAT},
		{unix.SYS_SYSFS, unix.SYS_SYSFS},
		{unix.SYS_VHANGUP, unix.SYS__SYSCTL}, // with modify_ldt and pivot_root
		{unix.SYS_ADJTIMEX, unix.SYS_ADJTIMEX},
		{unix.SYS_CHROOT, unix.SYS_CHROOT},
		{unix.SYS_ACCT, unix.SYS_SECURITY}, // with mount, swapon, reboot, init_module, quotactl
		{unix.SYS_LOOKUP_DCOOKIE, unix.SYS_LOOKUP_DCOOKIE},
		{unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_SETTIME},
		{unix.SYS_VSERVER, unix.SYS_VSERVER},
		{unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_LOAD},
		{unix.SYS_PERF_EVENT_OPEN, unix.SYS_PERF_EVENT_OPEN},
		{unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK},
		{unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_CLOCK_ADJTIME}, // with open_by_handle_at; the first is Android's
		{unix.SYS_KCMP, unix.SYS_FINIT_MODULE},               // the first is Android's
		{unix.SYS_SECCOMP, unix.SYS_SECCOMP},
		{unix.SYS_KEXEC_FILE_LOAD, unix.SYS_BPF},
		{unix.SYS_PKEY_MPROTECT, unix.SYS_PKEY_FREE},
		{unix.SYS_IO_PGETEVENTS, unix.SYS_RSEQ},             // Android's
		{unix.SYS_IO_URING_SETUP, unix.SYS_FSPICK},          // the first three are Android's
		{unix.SYS_OPENAT2, unix.SYS_PIDFD_GETFD},            // the first is Android's
		{unix.SYS_MOUNT_SETATTR, unix.SYS_PROCESS_MRELEASE}, // with quotactl_fd, landlock_*, memfd_secret
		{unix.SYS_FUTEX_WAITV, math.MaxInt32},               // the first two are Android's; then cachestat
	} {
		rules = append(rules, rule{lo: span[0], hi: span[1], does: kill})
	}
	return rules
}

// recent refuses what ten years brought, as a sandbox with an older list does
// that means well.
func recent() []rule {
	return []rule{{lo: unix.SYS_COPY_FILE_RANGE, hi: math.MaxInt32, does: refuse, errno: unix.EPERM}}
}

// oldRelease is the kernel of RHEL 7. Go needs 3.2.
const oldRelease = "3.10.0"

// old is an old kernel: it does not know newer calls, advice, and kinds of
// mappings.
func old() []rule {
	rules := []rule{
		{lo: unix.SYS_UNAME, hi: unix.SYS_UNAME, does: pretend},
		{lo: unix.SYS_SCHED_SETATTR, hi: math.MaxInt32, does: refuse, errno: unix.ENOSYS},
		{lo: unix.SYS_MMAP, hi: unix.SYS_MMAP, arg: &arg{3, unix.MAP_TYPE, unix.MAP_SHARED_VALIDATE, unix.MAP_SHARED_VALIDATE},
			name: "mmap(MAP_SHARED_VALIDATE)", does: refuse, errno: unix.EINVAL},
	}
	for advice, name := range oldAdvice {
		rules = append(rules, rule{lo: unix.SYS_MADVISE, hi: unix.SYS_MADVISE, arg: &arg{2, math.MaxUint32, advice, advice},
			name: "madvise(" + name + ")", does: refuse, errno: unix.EINVAL})
	}
	return append(rules, rule{lo: unix.SYS_MADVISE, hi: unix.SYS_MADVISE, arg: &arg{2, math.MaxUint32, 102, math.MaxUint32},
		name: "madvise(102...)", does: refuse, errno: unix.EINVAL})
}

// oldAdvice is the advice that came after oldRelease.
var oldAdvice = map[uint32]string{
	unix.MADV_FREE:            "MADV_FREE",
	unix.MADV_WIPEONFORK:      "MADV_WIPEONFORK",
	unix.MADV_KEEPONFORK:      "MADV_KEEPONFORK",
	unix.MADV_COLD:            "MADV_COLD",
	unix.MADV_PAGEOUT:         "MADV_PAGEOUT",
	unix.MADV_POPULATE_READ:   "MADV_POPULATE_READ",
	unix.MADV_POPULATE_WRITE:  "MADV_POPULATE_WRITE",
	unix.MADV_DONTNEED_LOCKED: "MADV_DONTNEED_LOCKED",
	unix.MADV_COLLAPSE:        "MADV_COLLAPSE",
}

// callName returns the name of a call, for those that Go or a library is likely
// to make.
func callName(nr uint32) string {
	if name, ok := callNames[nr]; ok {
		return name
	}
	return fmt.Sprint("call ", nr)
}

var callNames = map[uint32]string{
	unix.SYS_MINCORE:           "mincore",
	unix.SYS_SCHED_SETATTR:     "sched_setattr",
	unix.SYS_RENAMEAT2:         "renameat2",
	unix.SYS_SECCOMP:           "seccomp",
	unix.SYS_GETRANDOM:         "getrandom",
	unix.SYS_MEMFD_CREATE:      "memfd_create",
	unix.SYS_EXECVEAT:          "execveat",
	unix.SYS_USERFAULTFD:       "userfaultfd",
	unix.SYS_MEMBARRIER:        "membarrier",
	unix.SYS_MLOCK2:            "mlock2",
	unix.SYS_COPY_FILE_RANGE:   "copy_file_range",
	unix.SYS_PREADV2:           "preadv2",
	unix.SYS_PWRITEV2:          "pwritev2",
	unix.SYS_STATX:             "statx",
	unix.SYS_RSEQ:              "rseq",
	unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal",
	unix.SYS_IO_URING_SETUP:    "io_uring_setup",
	unix.SYS_PIDFD_OPEN:        "pidfd_open",
	unix.SYS_CLONE3:            "clone3",
	unix.SYS_CLOSE_RANGE:       "close_range",
	unix.SYS_OPENAT2:           "openat2",
	unix.SYS_FACCESSAT2:        "faccessat2",
	unix.SYS_PROCESS_MADVISE:   "process_madvise",
	unix.SYS_CACHESTAT:         "cachestat",
	unix.SYS_FCHMODAT2:         "fchmodat2",
	unix.SYS_MSEAL:             "mseal",
}
