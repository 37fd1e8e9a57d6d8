// This file may use unsafe: it hands addresses to system calls.

package sys

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What this process may call is learned once. A kernel may be too old for a
// system call, and a seccomp filter may refuse it: with an error, or by ending
// the process. So there are two kinds of optional calls.
//
//   - A call that common filters answer with an error is tried. The first
//     refusal is remembered, and the call is not made again: see refusal.
//   - cachestat(2) is too new for many allow-lists, and what is not on such a
//     list ends the process (systemd's SystemCallFilter=@system-service, and
//     Android's). It is made only where no filter is in force: see mayCachestat.
//
// A refusal that depends on the file (EOPNOTSUPP, or EPERM of cachestat) is
// the caller's to remember.

// refusal is the answer of the system to a call that it does not make for this
// process. The zero value stands for a call that was not refused yet.
type refusal struct{ errno atomic.Uintptr }

// err returns the refusal, or nil while there was none.
func (r *refusal) err() error {
	if errno := r.errno.Load(); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// learn remembers err if the system always refuses the call, and returns err.
// The caller knows that the kernel itself never answers this call with EPERM.
func (r *refusal) learn(err error) error {
	if errno, ok := err.(unix.Errno); ok && (errno == unix.ENOSYS || errno == unix.EPERM) {
		r.errno.Store(uintptr(errno))
	}
	return err
}

// The optional calls, and who refused them.
var (
	noPreadv2   refusal               // preadv2(2) with RWF_NOWAIT
	noAdvice    [len(advices)]refusal // madvise(2)
	noFutexOp   refusal               // futex(2) with FUTEX_WAKE_OP
	noMincore   refusal               // mincore(2)
	noMemfd     refusal               // memfd_create(2)
	noCopyRange refusal               // copy_file_range(2): see copyRangeRefusal

	yesCachestat, noCachestat atomic.Bool // at most one is set, and none until it is asked for
)

// mayCachestat reports whether cachestat(2) may be called: the kernel has it
// (Linux 6.5), no filter is in force, and this is not Android, where every
// process has one.
func mayCachestat() bool {
	if yesCachestat.Load() {
		return true
	}
	if noCachestat.Load() {
		return false
	}
	if runtime.GOOS == "android" || !kernelHas(6, 5) || filtered() {
		noCachestat.Store(true)
		return false
	}
	yesCachestat.Store(true)
	return true
}

// mayPwritev2 reports whether pwritev2(2) may be called, of Linux 4.6: asked once,
// with a descriptor that cannot be, because EPERM is also its answer for a file.
var mayPwritev2 = sync.OnceValue(func() bool {
	_, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, ^uintptr(0), 0, 0, 0, 0, 0)
	return errno == unix.EBADF
})

// LookForFilter learns whether a seccomp filter has come into force since the
// start: a program may confine itself at any time. It costs some 20 µs.
func LookForFilter() {
	if yesCachestat.Load() && filtered() {
		noCachestat.Store(true)
		yesCachestat.Store(false)
	}
}

// filtered reports whether a seccomp filter is in force for this process, as
// /proc tells. What cannot be read counts as filtered.
func filtered() bool {
	text, err := os.ReadFile("/proc/self/status")
	return err != nil || !unfiltered(text)
}

// unfiltered reports whether the text of /proc/self/status says that there is
// no filter.
func unfiltered(status []byte) bool {
	for line := range bytes.Lines(status) {
		if mode, ok := bytes.CutPrefix(line, []byte("Seccomp:")); ok {
			return string(bytes.TrimSpace(mode)) == "0"
		}
	}
	return false
}

// kernelHas reports whether the kernel is of that version or a later one.
func kernelHas(major, minor int) bool {
	var u unix.Utsname
	return unix.Uname(&u) == nil && atLeast(unix.ByteSliceToString(u.Release[:]), major, minor)
}

// atLeast reports whether a release, as uname(2) tells it, is of that version
// or a later one.
func atLeast(release string, major, minor int) bool {
	digits := func(s string) int {
		end := strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' })
		if end >= 0 {
			s = s[:end]
		}
		n, _ := strconv.Atoi(s)
		return n
	}
	first, rest, _ := strings.Cut(release, ".")
	have := digits(first)
	return have > major || have == major && digits(rest) >= minor
}

// isRefusal reports whether err may mean that the system never makes the call.
func isRefusal(err error) bool { return err == unix.EINVAL || err == unix.ENOSYS || err == unix.EPERM }

// adviceRefused finds out by one page of anonymous memory whether madvise(2)
// refuses the advice whatever the memory is, and remembers it. (EINVAL is also
// its answer for memory of the wrong kind. MADV_COLLAPSE cannot be tried so: a
// single page is the wrong kind.)
func adviceRefused(a Advice) bool {
	page, err := unix.MmapPtr(-1, 0, nil, uintptr(pageSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return false // nothing was learned
	}
	err = unix.Madvise(unsafe.Slice((*byte)(page), pageSize), advices[a])
	_ = unix.MunmapPtr(page, uintptr(pageSize))
	if isRefusal(err) {
		noAdvice[a].errno.Store(uintptr(err.(unix.Errno)))
	}
	return isRefusal(err)
}

// Populate brings the pages of b in, as a load or a store would, and reports
// what a touch would have died of as EFAULT. Before Linux 5.14, which has
// MADV_POPULATE_READ and _WRITE, pages are made writable one by one, and for
// reading there is no such call: the error wraps errors.ErrUnsupported.
func Populate(b []byte, write bool) error {
	if !write {
		return Advise(b, PopulateRead)
	}
	err := Advise(b, PopulateWrite)
	if err == unix.ENOTSUP {
		err = populateByFutex(b)
	}
	return err
}

// futexOrNothing is an operation of FUTEX_WAKE_OP: word |= 0, and then wake
// who waits for the word if it was -2048.
const futexOrNothing = 2<<28 | 0x800

// futexNobody is a futex that nobody waits for.
var futexNobody uint32

// populateByFutex makes the pages of b writable. FUTEX_WAKE_OP changes a word
// of memory inside the kernel, in one atomic step, and brings the page in for
// that as a store does. This one changes the word to what it is, so it is safe
// beside every other store to the page. It costs 0.3 µs a page and the fault.
func populateByFutex(b []byte) error {
	const wakeOp, private = 5, 128
	if err := noFutexOp.err(); err != nil {
		return unix.ENOTSUP
	}
	for at := 0; at < len(b); at += pageSize {
		_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&futexNobody)), wakeOp|private,
			0, 0, uintptr(unsafe.Pointer(&b[at])), futexOrNothing)
		switch errno {
		case 0:
		case unix.ENOSYS, unix.EPERM, unix.EINVAL:
			noFutexOp.errno.Store(uintptr(errno))
			return unix.ENOTSUP
		default:
			return errno
		}
	}
	return nil
}
