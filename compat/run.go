package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// form is one of the programs that are built of a suite.
type form string

const (
	baseline form = "baseline" // the project as it is
	changed  form = "library"  // over the library
	control  form = "control"  // over a library that panics
)

// lab runs one suite.
type lab struct {
	suite
	lib    *library
	dir    string
	rounds int
	full   bool
	say    io.Writer

	tree *tree
}

// session is what one run of a suite's programs came to.
type session struct {
	tests  map[string]string // of each test, by "package.Name": pass, fail or skip
	output map[string]string // what the failed ones printed
	took   time.Duration     // by the clock
	cpu    time.Duration     // of the processors, child processes included
	broken map[string]string // packages whose program failed otherwise than by a test, and how
}

// newSession returns one in which nothing was run.
func newSession() session {
	return session{tests: map[string]string{}, output: map[string]string{}, broken: map[string]string{}}
}

// run prepares, builds, runs and compares.
func (l *lab) run(ctx context.Context) outcome {
	o := outcome{suite: l.suite}
	err := l.prepare(ctx)
	if err == nil {
		err = l.measure(ctx, &o)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		o.skipped = "the time was up"
	case ctx.Err() != nil:
		o.skipped = "interrupted"
	case errors.Is(err, errUnavailable):
		o.skipped = err.Error()
	case err != nil:
		o.err = err
	}
	return o
}

// prepare makes the copy and builds all programs.
func (l *lab) prepare(ctx context.Context) (err error) {
	if err = os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	if l.tree, err = newTree(ctx, l.suite, l.lib, l.dir); err != nil {
		return err
	}
	if err := l.build(ctx, baseline); err != nil {
		return err
	}
	if err := l.tree.useLibrary(ctx, l.lib.dir); err != nil {
		return err
	}
	for _, e := range l.edits {
		if err := e.apply(ctx, l.tree); err != nil {
			return err
		}
	}
	if err := l.build(ctx, changed); err != nil {
		return err
	}
	if err := l.tree.useLibrary(ctx, l.lib.control); err != nil {
		return err
	}
	return l.build(ctx, control)
}

// program returns where the test program of a package is.
func (l *lab) program(f form, pkg string) string {
	return filepath.Join(l.dir, string(f), strings.ReplaceAll(pkg, "/", "_")+".test"+exe())
}

// build builds the programs of one form.
func (l *lab) build(ctx context.Context, f form) error {
	if err := os.MkdirAll(filepath.Join(l.dir, string(f)), 0o755); err != nil {
		return err
	}
	for _, pkg := range l.packages {
		if err := l.tree.build(ctx, pkg, l.program(f, pkg), l.tags); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return nil
}

// measure runs both forms in turn, then the control, and compares.
func (l *lab) measure(ctx context.Context, o *outcome) error {
	rounds := l.rounds
	var before, after []session
	for i := 0; i < max(rounds, 1); i++ {
		b, err := l.session(ctx, baseline, l.runFlag)
		if err != nil {
			return err
		}
		a, err := l.session(ctx, changed, l.runFlag)
		if err != nil {
			return err
		}
		before, after = append(before, b), append(after, a)
		if l.rounds == 0 && i == 0 {
			rounds = l.roundsFor(a.took + b.took)
		}
	}
	compare(o, before, after)
	if err := l.repeat(ctx, o); err != nil {
		return err
	}
	c, err := l.session(ctx, control, l.runFlag)
	o.reached = c.reached()
	return err
}

// roundsFor returns how often to run a suite that took this long.
func (l *lab) roundsFor(took time.Duration) int {
	switch {
	case took > time.Minute:
		return 1
	case l.full:
		return 3
	}
	return 2
}

// reached reports whether a test of the control met the sabotage, or could not
// pass for it.
func (s session) reached() bool {
	for _, text := range s.output {
		if strings.Contains(text, controlMark) {
			return true
		}
	}
	for _, text := range s.broken {
		if strings.Contains(text, controlMark) {
			return true
		}
	}
	return false
}

// repeatable is how many tests are run again; if more fail, chance is not why.
const repeatable = 10

// repeat runs again, by itself, what failed over the library alone.
func (l *lab) repeat(ctx context.Context, o *outcome) error {
	if len(o.worse) == 0 || len(o.worse) > repeatable {
		return nil
	}
	var worse []string
	for _, name := range o.worse {
		pkg, test, _ := strings.Cut(name, ".")
		one := *l
		one.packages = []string{pkg}
		steady := true
		for range 3 {
			s, err := one.session(ctx, changed, "^"+regexp.QuoteMeta(test)+"$")
			if err != nil {
				return err
			}
			steady = steady && s.tests[name] == "pass"
		}
		if steady {
			o.unsteady = append(o.unsteady, name)
		} else {
			worse = append(worse, name)
		}
	}
	o.worse = worse
	return nil
}

// session runs the programs of one form.
func (l *lab) session(ctx context.Context, f form, run string) (session, error) {
	s := newSession()
	for _, pkg := range l.packages {
		if err := l.runProgram(ctx, f, pkg, run, &s); err != nil {
			return s, err
		}
	}
	if ctx.Err() == nil {
		fmt.Fprintf(l.say, "    %-8s %d tests, %.2f s, %.2f s of processors\n", f, len(s.tests), s.took.Seconds(), s.cpu.Seconds())
	}
	return s, ctx.Err()
}

// runProgram runs one test program, through test2json, and notes what its tests
// said.
func (l *lab) runProgram(ctx context.Context, f form, pkg, run string, s *session) error {
	tmp, err := os.MkdirTemp(l.dir, "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	limit := cmp.Or(l.limit, 5*time.Minute)
	late, cancel := context.WithTimeout(ctx, limit+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(late, "go", l.arguments(f, pkg, run, limit)...)
	cmd.Dir = l.tree.packageDir(pkg)
	cmd.Env = append(l.tree.env, "TMPDIR="+tmp, "PWD="+cmd.Dir)
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err = cmd.Run()
	s.took += time.Since(start)
	if p := cmd.ProcessState; p != nil {
		s.cpu += p.UserTime() + p.SystemTime()
	}
	s.note(pkg, &out, err)
	return nil
}

// arguments are those of the go command that runs a test program.
func (l *lab) arguments(f form, pkg, run string, limit time.Duration) []string {
	args := []string{"tool", "test2json", "-p", pkg, l.program(f, pkg),
		"-test.v=test2json", "-test.count=1", "-test.paniconexit0", "-test.timeout=" + limit.String()}
	if run != "" {
		args = append(args, "-test.run="+run)
	}
	if l.skip != "" {
		args = append(args, "-test.skip="+l.skip)
	}
	if l.short {
		args = append(args, "-test.short")
	}
	return args
}

// event is a line of test2json.
type event struct {
	Action, Test, Output string
}

// note reads what test2json printed of a program that ended with err.
func (s *session) note(pkg string, out io.Reader, err error) {
	running := map[string]bool{}
	said := map[string]string{} // by test, and "" for what belongs to none
	lines := bufio.NewReader(out)
	for {
		line, rerr := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) != nil {
			said[""] += string(line)
		}
		s.noteEvent(pkg, e, running, said)
		if rerr != nil {
			break
		}
	}
	for name := range running { // the program ended within it
		s.tests[name] = "fail"
	}
	failed := false
	for name, status := range s.tests {
		if status == "fail" && strings.HasPrefix(name, pkg+".") {
			failed = true
			s.output[name] = said[name]
		}
	}
	if err != nil && (!failed || len(running) > 0) {
		s.broken[pkg] = fmt.Sprintf("%v\n%s", err, said[""])
	}
}

// noteEvent notes one line of test2json. What is within a test counts as its
// output alone.
func (s *session) noteEvent(pkg string, e event, running map[string]bool, said map[string]string) {
	top, sub, _ := strings.Cut(e.Test, "/")
	name := pkg + "." + top
	switch {
	case e.Action == "output" && e.Test == "":
		said[""] += e.Output
	case e.Action == "output":
		said[name] += e.Output
	case e.Test == "" || sub != "":
	case e.Action == "run":
		running[name] = true
	case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
		delete(running, name)
		s.tests[name] = e.Action
	}
}
