//go:build linux && amd64

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be the command, too, and each of the programs
// that the tests run in it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch role := os.Args[1]; {
		case role == installing:
			main()
		case role == "sandbox":
			os.Args = os.Args[1:]
			main()
		case roles[role] != nil:
			if err := roles[role](os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(3)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// roles are the programs.
var roles = map[string]func(args []string) error{
	"call":    roleCall,
	"map":     roleMap,
	"parent":  roleParent,
	"release": roleRelease,
	"exit":    func(args []string) error { n, _ := strconv.Atoi(args[0]); os.Exit(n); return nil },
	"load":    roleLoad,
	"leave":   roleLeave,
}

// calls are system calls that the filters tell apart.
var calls = map[string]func() error{
	"cachestat": func() error { return unix.Cachestat(^uint(0), &unix.CachestatRange{}, &unix.Cachestat_t{}, 0) },
	"preadv2": func() error {
		_, err := unix.Preadv2(-1, [][]byte{make([]byte, 1)}, 0, unix.RWF_NOWAIT)
		return err
	},
	"memfd_create":  func() error { _, err := unix.MemfdCreate("x", 0); return err },
	"mincore":       func() error { return errnoOf(unix.SYS_MINCORE, 1, 1, 0) },
	"faccessat2":    func() error { return errnoOf(unix.SYS_FACCESSAT2, ^uintptr(0), 0, 0) },
	"ptrace":        func() error { return errnoOf(unix.SYS_PTRACE, ^uintptr(0), 0, 0) },
	"chroot":        func() error { return unix.Chroot("") },
	"openat2":       func() error { return errnoOf(unix.SYS_OPENAT2, ^uintptr(0), 0, 0) },
	"latest":        func() error { return errnoOf(1000, 0, 0, 0) },
	"getpid":        func() error { return errnoOf(unix.SYS_GETPID, 0, 0, 0) },
	"populate":      func() error { return advise(unix.MADV_POPULATE_READ) },
	"populateWrite": func() error { return advise(unix.MADV_POPULATE_WRITE) },
	"guard":         func() error { return advise(102) },
	"willneed":      func() error { return advise(unix.MADV_WILLNEED) },
	"dontneed":      func() error { return advise(unix.MADV_DONTNEED) },
	"mapPrivate":    func() error { return mapZero(unix.MAP_PRIVATE) },
	"mapValidate":   func() error { return mapZero(unix.MAP_SHARED_VALIDATE | unix.MAP_SYNC) },
}

// errnoOf makes a system call.
func errnoOf(nr, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall(nr, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// advise advises about a page.
func advise(advice int) error {
	b, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	return unix.Madvise(b, advice)
}

// mapZero maps a device.
func mapZero(flags int) error {
	f, err := os.Open("/dev/zero")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ, flags)
	return err
}

// roleCall makes a call so many times and prints the error of the last.
func roleCall(args []string) error {
	times, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var last error
	for range times {
		last = calls[args[0]]()
	}
	var errno unix.Errno
	errors.As(last, &errno)
	fmt.Println("errno:", unix.ErrnoName(errno))
	return nil
}

// roleMap makes so many mappings and leaves them.
func roleMap(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for i := range n {
		prot := []int{unix.PROT_READ, unix.PROT_NONE}[i%2] // neighbours that do not merge
		if _, err := unix.Mmap(-1, 0, os.Getpagesize(), prot, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
			return err
		}
	}
	return nil
}

// roleParent makes a call once, and starts processes that make it as often as
// they are told.
func roleParent(args []string) error {
	if err := roleCall([]string{args[0], "1"}); err != nil {
		return err
	}
	for _, times := range args[1:] {
		cmd := exec.Command(os.Args[0], "call", args[0], times)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

// roleLeave starts a process that stays, and prints its number.
func roleLeave([]string) error {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Println(cmd.Process.Pid)
	return nil
}

// roleRelease prints the kernel's release.
func roleRelease([]string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	fmt.Println(unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Sysname[:]))
	return nil
}

// result is how the command ended.
type result struct {
	out, err string
	status   int
}

// sandbox runs the command.
func sandbox(t *testing.T, args ...string) result {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i, arg := range args {
		if roles[arg] != nil {
			args = slices.Insert(slices.Clone(args), i, exe)
			break
		}
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(exe, append([]string{"sandbox"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// TestFilters: what each filter does to a call.
func TestFilters(t *testing.T) {
	if calls["cachestat"]() != unix.EBADF {
		t.Skip("this kernel has no cachestat(2), or a filter is in force already")
	}
	const killed = "killed"
	for _, c := range []struct{ profile, call, want string }{
		{"watch", "cachestat", "EBADF"}, {"watch", "latest", "ENOSYS"}, {"watch", "populate", ""}, {"watch", "mincore", "EINVAL"},

		{"service", "cachestat", killed}, {"service", "latest", killed}, {"service", "ptrace", killed},
		{"service", "chroot", killed}, {"service", "openat2", killed}, {"service", "mincore", "EPERM"},
		{"service", "faccessat2", "EPERM"}, {"service", "preadv2", "EBADF"}, {"service", "memfd_create", ""},
		{"service", "populate", ""}, {"service", "getpid", ""},

		{"new", "cachestat", "EPERM"}, {"new", "preadv2", "EPERM"}, {"new", "latest", "EPERM"}, {"new", "openat2", "EPERM"},
		{"new", "memfd_create", ""}, {"new", "populate", ""}, {"new", "mincore", "EINVAL"},

		{"old", "cachestat", "ENOSYS"}, {"old", "preadv2", "ENOSYS"}, {"old", "memfd_create", "ENOSYS"}, {"old", "latest", "ENOSYS"},
		{"old", "populate", "EINVAL"}, {"old", "populateWrite", "EINVAL"}, {"old", "guard", "EINVAL"},
		{"old", "willneed", ""}, {"old", "dontneed", ""}, {"old", "mincore", "EINVAL"},
		{"old", "mapPrivate", ""}, {"old", "mapValidate", "EINVAL"},
	} {
		got := sandbox(t, "-profile", c.profile, "call", c.call, "1")
		if c.want == killed {
			if got.status != 128+int(syscall.SIGSYS) || !strings.Contains(got.err, "-trap shows which") {
				t.Errorf("%s: %s: status %d, %s; want death by SIGSYS", c.profile, c.call, got.status, got.err)
			}
			continue
		}
		if want := "errno: " + c.want + "\n"; got.out != want || got.status != 0 {
			t.Errorf("%s: %s: %q, status %d, want %q\n%s", c.profile, c.call, got.out, got.status, want, got.err)
		}
	}
}

// TestTrap: a Go program says where it made the call.
func TestTrap(t *testing.T) {
	got := sandbox(t, "-profile", "service", "-trap", "call", "openat2", "1")
	if got.status != 2 || !strings.Contains(got.err, "SIGSYS") || !strings.Contains(got.err, "sandbox.roleCall") && !strings.Contains(got.err, "main.roleCall") {
		t.Errorf("status %d:\n%s", got.status, got.err)
	}
}

// TestRelease: an old kernel says that it is old.
func TestRelease(t *testing.T) {
	if got := sandbox(t, "-profile", "old", "release"); got.out != oldRelease+" Linux\n" {
		t.Errorf("%q, want %q", got.out, oldRelease)
	}
	if got := sandbox(t, "release"); strings.HasPrefix(got.out, oldRelease) {
		t.Errorf("without a filter: %q", got.out)
	}
}

// TestCounts: refused calls are counted by process, and the bound is of each.
func TestCounts(t *testing.T) {
	args := []string{"-profile", "new", "-most", "7", "parent", "preadv2", "5", "7", "3"}
	got := sandbox(t, args...)
	if want := "refused preadv2: 16 calls of 4 processes, at most 7 of one\n"; !strings.Contains(got.err, want) || got.status != 0 {
		t.Errorf("status %d:\n%swant %s", got.status, got.err, want)
	}
	args[3] = "6"
	got = sandbox(t, args...)
	if !strings.Contains(got.err, "failed: preadv2: refused 7 times to one process, which is more than 6\n") || got.status != 1 {
		t.Errorf("with a bound of 6: status %d:\n%s", got.status, got.err)
	}
	got = sandbox(t, append([]string{"-own", "cachestat,preadv2"}, args...)...)
	if got.status != 0 {
		t.Errorf("of its own: status %d:\n%s", got.status, got.err)
	}
}

// TestCountsMaps: the mappings at the end are counted, and bounded.
func TestCountsMaps(t *testing.T) {
	few, many := countedMaps(t, sandbox(t, "map", "0")), countedMaps(t, sandbox(t, "map", "500"))
	if few < 5 || few > 100 || many < few+450 || many > few+550 {
		t.Errorf("%d mappings without and %d with 500 more", few, many)
	}
	if got := sandbox(t, "-maps", "400", "map", "500"); got.status != 1 || !strings.Contains(got.err, "which is more than 400") {
		t.Errorf("status %d:\n%s", got.status, got.err)
	}
	if got := sandbox(t, "-maps", "600", "map", "500"); got.status != 0 {
		t.Errorf("status %d:\n%s", got.status, got.err)
	}
}

// countedMaps returns how many the command counted.
func countedMaps(t *testing.T, got result) int {
	t.Helper()
	m := regexp.MustCompile(`(\d+) mappings at the end`).FindStringSubmatch(got.err)
	if m == nil || got.status != 0 {
		t.Fatalf("status %d:\n%s", got.status, got.err)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// TestStatus: the command ends as the program does, and says what it cannot do.
func TestStatus(t *testing.T) {
	if got := sandbox(t, "exit", "42"); got.status != 42 {
		t.Errorf("status %d, want 42", got.status)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-profile", "none", "exit", "0"}, `there is no profile "none"`},
		{nil, "no program is named"},
		{[]string{filepath.Join(t.TempDir(), "nothing")}, "no such file"},
		{[]string{"-most", "many", "exit", "0"}, "invalid value"},
	} {
		if got := sandbox(t, c.args...); got.status != 2 || !strings.Contains(got.err, c.says) {
			t.Errorf("%q: status %d, %s; want %q", c.args, got.status, got.err, c.says)
		}
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o777); err != nil {
		t.Fatal(err)
	}
	if got := sandbox(t, text); got.status != 125 || !strings.Contains(got.err, "exec format error") {
		t.Errorf("what is no program: status %d, %s", got.status, got.err)
	}
}

// TestLeft: a process that outlives the program is an error, for nothing more
// can be said of what it is refused.
func TestLeft(t *testing.T) {
	got := sandbox(t, "leave")
	if pid, err := strconv.Atoi(strings.TrimSpace(got.out)); err == nil {
		defer syscall.Kill(pid, syscall.SIGKILL)
	}
	if got.status != 125 || !strings.Contains(got.err, "still there") {
		t.Errorf("status %d, %s", got.status, got.err)
	}
}

// TestFits: the rules that the supervisor goes by are those that it gave the
// kernel. The filter is run here, on every number and some arguments.
func TestFits(t *testing.T) {
	for name, p := range profiles {
		filter := program(p.rules, false)
		for nr := range uint32(600) {
			for _, value := range []uint64{0, 1, 3, 8, 17, 18, 22, 23, 25, 26, 101, 102, 0x80003, 1 << 32, 1<<32 | 22} {
				args := [6]uint64{value, value, value, value, value, value}
				want := uint32(unix.SECCOMP_RET_ALLOW)
				if i := slices.IndexFunc(p.rules, func(r rule) bool { return r.fits(nr, args) }); i >= 0 && p.rules[i].does == kill {
					want = unix.SECCOMP_RET_KILL_PROCESS
				} else if i >= 0 {
					want = unix.SECCOMP_RET_USER_NOTIF
				}
				if got := evaluate(filter, nr, unix.AUDIT_ARCH_X86_64, args); got != want {
					t.Fatalf("%s: call %d with %d: %#x, want %#x", name, nr, value, got, want)
				}
			}
		}
		for _, c := range []struct{ nr, arch uint32 }{{unix.SYS_GETPID, unix.AUDIT_ARCH_I386}, {unix.SYS_GETPID | x32, unix.AUDIT_ARCH_X86_64}} {
			if got := evaluate(filter, c.nr, c.arch, [6]uint64{}); got != unix.SECCOMP_RET_KILL_PROCESS {
				t.Errorf("%s: call %#x of architecture %#x: %#x", name, c.nr, c.arch, got)
			}
		}
	}
}

// evaluate runs a filter as the kernel does.
func evaluate(filter []unix.SockFilter, nr, arch uint32, args [6]uint64) uint32 {
	data := struct {
		nr, arch uint32
		ip       uint64
		args     [6]uint64
	}{nr: nr, arch: arch, args: args}
	words := unsafe.Slice((*uint32)(unsafe.Pointer(&data)), unsafe.Sizeof(data)/4)
	var a uint32
	for at := 0; ; at++ {
		in := filter[at]
		var yes bool
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = words[in.K/4]
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			yes = a == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			yes = a >= in.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			yes = a > in.K
		default:
			panic(fmt.Sprintf("instruction %#x", in.Code))
		}
		if yes {
			at += int(in.Jt)
		} else {
			at += int(in.Jf)
		}
	}
}
