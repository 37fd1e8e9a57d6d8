//go:build linux && amd64

// Command sandbox runs a program under a seccomp(2) filter, as systems and
// services do that allow only the system calls they know, and counts what the
// filter refuses.
//
//	sandbox -profile service ./mmap.test -test.short
//	sandbox -profile old -most 8 ./mmap.test -test.run 'TestRead'
//
// It prints its figures on standard error when the program and all that it
// started have ended. Its exit status is the program's, 128 and the number of
// the signal that killed it, or 1 if a bound is broken: -most bounds the calls
// of one kind that are refused to one process, for a program that remembers a
// refusal does not ask again; -maps bounds the mappings that the program has
// when it exits.
//
// A program cannot leave its filter, and neither can what it starts.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// leftMost is how long the processes that the program started may outlive it:
// those that were killed take a moment.
const leftMost = 10 * time.Second

// installing is the first argument of this program where it is the process that
// installs the filter and becomes the program.
const installing = "-inside"

// options are the command line.
type options struct {
	profile string
	trap    bool
	most    int
	own     string
	maps    int
	program []string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == installing {
		fmt.Fprintln(os.Stderr, "sandbox:", install(os.Args[2:]))
		os.Exit(125)
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(2)
	}
	os.Exit(run(o, os.Stderr))
}

// parse reads the command line.
func parse(args []string) (o options, err error) {
	set := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	set.Usage = func() { usage(set) }
	set.StringVar(&o.profile, "profile", "watch", "what is refused")
	set.BoolVar(&o.trap, "trap", false, "where the filter kills, send a SIGSYS that can be caught instead: a Go program says where it is")
	set.IntVar(&o.most, "most", -1, "fail if one process was refused more calls of one kind")
	set.StringVar(&o.own, "own", "", "kinds, with commas between, that -most does not bound: the program's own")
	set.IntVar(&o.maps, "maps", -1, "fail if the program had more mappings when it exited")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	o.program = set.Args()
	if profiles[o.profile].rules == nil {
		return o, fmt.Errorf("there is no profile %q", o.profile)
	}
	if len(o.program) == 0 {
		return o, errors.New("no program is named")
	}
	o.program[0], err = exec.LookPath(o.program[0])
	return o, err
}

// usage explains the flags and the profiles.
func usage(set *flag.FlagSet) {
	fmt.Fprintln(set.Output(), "usage: sandbox [flags] program [argument...]")
	set.PrintDefaults()
	fmt.Fprintln(set.Output(), "profiles:")
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		fmt.Fprintf(set.Output(), "  %-8s %s\n", name, profiles[name].about)
	}
}

// run runs the program and returns the exit status.
func run(o options, out io.Writer) int {
	runtime.LockOSThread() // the program is to die with this process, and the kernel takes that for the thread
	cmd, listener, err := start(o)
	if err != nil {
		fmt.Fprintln(out, "sandbox:", err)
		return 125
	}
	s := &supervisor{listener: listener, rules: profiles[o.profile].rules, main: cmd.Process.Pid}
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	status := exitStatus(cmd.Wait())
	select {
	case err = <-served:
	case <-time.After(leftMost):
		err = fmt.Errorf("processes that it started are still there after %v", leftMost)
	}
	if err != nil {
		fmt.Fprintln(out, "sandbox:", err)
		return 125
	}
	s.report(out, o.profile)
	if status == 128+int(syscall.SIGSYS) && !o.trap {
		fmt.Fprintln(out, "sandbox: it made a system call that the filter kills for; -trap shows which, and where")
	}
	broken := s.broken(o)
	for _, line := range broken {
		fmt.Fprintln(out, "sandbox: failed:", line)
	}
	if status == 0 && len(broken) > 0 {
		return 1
	}
	return status
}

// exitStatus returns what a shell would say of the end of a process.
func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		return 125
	}
	if ws := exit.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return exit.ExitCode()
}

// broken says which bounds are.
func (s *supervisor) broken(o options) (lines []string) {
	own := strings.Split(o.own, ",")
	for _, kind := range s.kinds() {
		if n := s.most(kind); o.most >= 0 && n > o.most && !slices.Contains(own, kind) {
			lines = append(lines, fmt.Sprintf("%s: refused %d times to one process, which is more than %d", kind, n, o.most))
		}
	}
	if o.maps >= 0 && s.maps > o.maps {
		lines = append(lines, fmt.Sprintf("%d mappings at the end, which is more than %d", s.maps, o.maps))
	}
	if o.maps >= 0 && s.maps == 0 {
		lines = append(lines, "its mappings could not be counted, for it did not exit by itself")
	}
	return lines
}
