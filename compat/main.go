// Command compat runs the test suites of other projects over the library, and
// compares with what the same suites do unchanged.
//
//	go -C compat run . -quick                  # ten minutes at most, eight suites or more
//	go -C compat run . -full -o RESULTS.md     # all of them
//	go -C compat run . -suites bbolt,vellum
//	go -C compat run . -list
//
// The projects are taken from the module cache (go mod download) at the
// versions that suites.go names, and Go's own packages from GOROOT. Each is
// copied into a temporary directory, built and run there as it is, then changed
// and run again: another module in place of the one that it maps files with,
// or a few substitutions in its text. Nothing of theirs is kept.
//
// A test that fails unchanged too, or is skipped in both forms, is counted and
// named as such. A test that fails over the library alone is run again by itself,
// in both forms: if it passes then, it is called unsteady. Each suite is also
// run over a library that panics in every call that opens a file: if that
// changes nothing, the suite does not test the library, and fails.
//
// Exit status 1 says that a suite failed, or that fewer ran than -min, or than were
// named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	full   bool
	suites string
	out    string
	dir    string
	keep   bool
	rounds int
	min    int
}

// quickLimit is how long the short form may take in all, what go run builds aside.
const quickLimit = 560 * time.Second

func main() {
	var o options
	quick := flag.Bool("quick", true, "the short form: ten minutes at most")
	flag.BoolVar(&o.full, "full", false, "all suites")
	flag.StringVar(&o.suites, "suites", "", "only these, as bbolt,vellum")
	flag.StringVar(&o.out, "o", "", "where to write the results, as Markdown")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where to put the copies")
	flag.BoolVar(&o.keep, "keep", false, "leave the copies there")
	flag.IntVar(&o.rounds, "rounds", 0, "how often to run each suite in each form; 0: 2 in the short form, 3 in the long one, once if it takes over a minute")
	flag.IntVar(&o.min, "min", 8, "how many suites must have run, if none was named")
	list := flag.Bool("list", false, "list the suites")
	flag.Parse()
	if o.full && isSet("quick") && *quick || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "compat: -quick and -full exclude each other, and there are no arguments")
		os.Exit(2)
	}
	if *list {
		printList(os.Stdout)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(o.run(ctx, os.Stdout))
}

// isSet reports whether a flag was given.
func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// printList prints what suites there are.
func printList(w io.Writer) {
	for _, s := range suites {
		form := "full "
		if s.quick {
			form = "quick"
		}
		fmt.Fprintf(w, "%s  %-12s %s: %s\n", form, s.name, s.source(), s.about)
	}
}

// chosen returns the suites that were asked for, or an error for a name that is
// none.
func (o options) chosen() (some []suite, err error) {
	if o.suites == "" {
		for _, s := range suites {
			if s.quick || o.full {
				some = append(some, s)
			}
		}
		return some, nil
	}
	for name := range strings.SplitSeq(o.suites, ",") {
		found := false
		for _, s := range suites {
			if s.name == name {
				some, found = append(some, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no suite %q; -list names them", name)
		}
	}
	return some, nil
}

// run runs the chosen suites one after the other and returns the exit status.
func (o options) run(ctx context.Context, w io.Writer) int {
	chosen, err := o.chosen()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		return 2
	}
	if !o.full && o.suites == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, quickLimit)
		defer cancel()
	}
	outcomes, err := o.runAll(ctx, w, chosen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		return 1
	}
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(o.markdown(outcomes)), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "compat:", err)
			return 1
		}
	}
	return o.status(w, outcomes)
}

// status prints a line for each suite, and returns the exit status.
func (o options) status(w io.Writer, outcomes []outcome) int {
	status, ran := 0, 0
	for _, r := range outcomes {
		fmt.Fprintln(w, r.line())
		if r.skipped == "" {
			ran++
		}
		if r.failed() {
			status = 1
		}
	}
	wanted := o.min
	if o.suites != "" {
		wanted = len(outcomes) // each was asked for by name
	}
	if ran < wanted {
		fmt.Fprintf(w, "only %d suites ran, %d are wanted\n", ran, wanted)
		status = 1
	}
	return status
}

// runAll runs the suites in a directory of their own, which it removes.
func (o options) runAll(ctx context.Context, w io.Writer, chosen []suite) ([]outcome, error) {
	dir, err := os.MkdirTemp(o.dir, "compat-")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	if o.keep {
		fmt.Fprintln(w, "the copies are in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	lib, err := copyLibrary("..", filepath.Join(dir, "library"))
	if err != nil {
		return nil, err
	}
	var outcomes []outcome
	for _, s := range chosen {
		l := &lab{suite: s, lib: lib, dir: filepath.Join(dir, s.name), rounds: o.rounds, full: o.full, say: w}
		fmt.Fprintf(w, "=== %s: %s\n", s.name, s.source())
		r := l.run(ctx)
		fmt.Fprintln(w, r.line())
		outcomes = append(outcomes, r)
		if !o.keep {
			os.RemoveAll(l.dir)
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			break
		}
	}
	return outcomes, nil
}
