//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/seed-93fed273/mmap/torture/internal/run"
)

// The library's own tests, under a runtime that makes life hard for it: it
// collects all the time, never preempts, copies without AVX, has one processor
// or many, and checks races and pointers.

// fastTests begin the names of those of the quick form: faults, races with Close,
// the model.
var fastTests = []string{"TestCut", "TestBug", "TestClose", "TestCopyInto", "TestDiff", "TestExtend", "TestFault", "TestFlushA", "TestForeign", "TestGrowth",
	"TestNested", "TestReader", "TestReadInto", "TestRevoke", "TestShrink", "TestStale", "TestTruncateA", "TestUnreachable", "TestView", "TestWriteFromOwn"}

// hostile is one way to run the tests.
type hostile struct {
	name  string
	env   []string
	build []string // flags of go test -c
	cgo   bool
	amd64 bool
	quick bool // part of the quick form
}

// hostiles are all of them.
var hostiles = []hostile{
	{name: "GOGC=1", env: []string{"GOGC=1"}, quick: true},
	{name: "GODEBUG=gcstoptheworld=1", env: []string{"GODEBUG=gcstoptheworld=1"}, quick: true},
	{name: "GODEBUG=asyncpreemptoff=1", env: []string{"GODEBUG=asyncpreemptoff=1"}, quick: true},
	{name: "GODEBUG=cpu.avx=off", env: []string{"GODEBUG=cpu.avx=off,cpu.avx2=off,cpu.erms=off"}, amd64: true, quick: true},
	{name: "GODEBUG=clobberfree=1", env: []string{"GODEBUG=clobberfree=1", "GOGC=5"}},
	{name: "GOMAXPROCS=1", env: []string{"GOMAXPROCS=1"}, quick: true},
	{name: "GOMAXPROCS=64", env: []string{"GOMAXPROCS=64"}, quick: true},
	{name: "-d=checkptr", build: []string{"-gcflags=all=-d=checkptr"}, quick: true},
	{name: "all pages cold", env: []string{"MMAP_TEST_PAGES=cold"}, quick: true},
	{name: "all pages hot", env: []string{"MMAP_TEST_PAGES=hot"}, quick: true},
	{name: "-race", build: []string{"-race"}, cgo: true, quick: true},
	{name: "-race, GOGC=1", env: []string{"GOGC=1"}, build: []string{"-race"}, cgo: true},
}

// runStress builds the tests in each way and runs them.
func runStress(ctx context.Context, l *lab) error {
	root, err := library()
	if err != nil {
		return err
	}
	s := stress{l: l, root: root, built: map[string]string{}}
	var errs []error
	for _, h := range hostiles {
		if ctx.Err() != nil {
			break
		}
		if !l.full && !h.quick {
			continue
		}
		if err := s.run(ctx, h); !l.skipMissing(h.name, err) && err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", h.name, err))
		}
	}
	if ctx.Err() == nil {
		errs = append(errs, s.fuzz(ctx))
	}
	return errors.Join(errs...)
}

// fuzz lets the fuzzer choose the model test's calls, for so many plays.
func (s *stress) fuzz(ctx context.Context) error {
	plays := pick(s.l, "200000x", "500x")
	begin := time.Now()
	out, err := run.Command(ctx, s.root, []string{"TMPDIR=" + s.l.dir}, "go", "test", "-run=^$", "-fuzz=^FuzzDifferential$", "-fuzztime="+plays, ".")
	if err != nil {
		return fmt.Errorf("FuzzDifferential: %w:\n%s", err, run.Failures(out))
	}
	s.l.figure("FuzzDifferential", "%s plays in %v", strings.TrimSuffix(plays, "x"), time.Since(begin).Round(time.Second))
	return nil
}

// runHazards runs the tests beside this file: what the table of hazards names
// must be there, and pass.
func runHazards(ctx context.Context, l *lab) error {
	root, err := library()
	if err != nil {
		return err
	}
	out, err := run.Command(ctx, filepath.Join(root, "torture"), []string{"TMPDIR=" + l.dir}, "go", "test", "-count=1", "-v", ".")
	if err != nil {
		return fmt.Errorf("%w:\n%s", err, run.Failures(out))
	}
	for _, m := range skippedTest.FindAllSubmatch(out, -1) {
		l.skip(string(m[2]), errors.New(string(m[1])))
	}
	l.figure("the table of hazards", "%d tests passed, %d skipped", bytes.Count(out, []byte("\n--- PASS")), bytes.Count(out, []byte("\n--- SKIP")))
	return nil
}

// skippedTest finds what go test -v says of a test that was skipped: the reason,
// and then the name.
var skippedTest = regexp.MustCompile(`(?m)^ +\S+_test\.go:\d+: (.*)\n--- SKIP: (\w+)`)

// library returns the directory of the library's source.
func library() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/seed-93fed273/mmap").Output()
	if err != nil {
		return "", missing{fmt.Errorf("the library's source is not here: %w", err)}
	}
	return strings.TrimSpace(string(out)), nil
}

// stress is what the runs share.
type stress struct {
	l     *lab
	root  string
	built map[string]string // by flags: the test binary
}

// run runs the tests in one way.
func (s *stress) run(ctx context.Context, h hostile) error {
	if h.amd64 && runtime.GOARCH != "amd64" {
		return missing{errors.New("it is for amd64")}
	}
	binary, err := s.build(ctx, h)
	if err != nil {
		return err
	}
	args := []string{"-test.short", "-test.v", "-test.timeout=" + pick(s.l, "60m", "4m")}
	if !s.l.full {
		args = append(args, "-test.run=^("+strings.Join(fastTests, "|")+")")
	}
	begin := time.Now()
	out, err := run.Command(ctx, s.root, append(h.env, "TMPDIR="+s.l.dir), binary, args...)
	passed, skipped := bytes.Count(out, []byte("\n--- PASS")), bytes.Count(out, []byte("\n--- SKIP"))
	if err != nil {
		return fmt.Errorf("%w:\n%s", err, run.Failures(out))
	}
	if passed == 0 {
		return errors.New("no test ran")
	}
	s.l.figure(h.name, "%d tests passed, %d skipped, in %v", passed, skipped, time.Since(begin).Round(time.Second))
	return nil
}

// build builds the test binary once for each set of flags.
func (s *stress) build(ctx context.Context, h hostile) (string, error) {
	key := strings.Join(h.build, " ")
	if binary, ok := s.built[key]; ok {
		return binary, nil
	}
	env := []string{"CGO_ENABLED=0"}
	if h.cgo {
		if _, err := exec.LookPath("gcc"); err != nil {
			return "", missing{err}
		}
		env = []string{"CGO_ENABLED=1"}
	}
	binary := s.l.path(fmt.Sprint("test", len(s.built)))
	args := append([]string{"test", "-c", "-o", binary}, h.build...)
	if out, err := run.Command(ctx, s.root, env, "go", append(args, ".")...); err != nil {
		return "", fmt.Errorf("go test -c: %w: %s", err, out)
	}
	s.built[key] = binary
	s.l.defers(func() { os.Remove(binary) })
	return binary, nil
}
