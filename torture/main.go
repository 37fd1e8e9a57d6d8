//go:build linux

// Command torture attacks the library where a unit test does not reach: on real
// file systems, through power cuts, on storage that fails, and under a hostile
// runtime. It prints a figure for each promise.
//
//	go -C torture run . -quick               # a quarter of an hour, on two processors
//	go -C torture run . -full                # hours
//	go -C torture run . -parts model,powercut
//	go -C torture run . -quick -o RESULTS.md # keep the figures: those of the parts that ran are replaced
//
// It wants root, for mounts and loop devices; what cannot run here is printed
// as skipped, with the reason, and does not count as passed. Exit status 1 says
// that something failed. A control is a run that must lose data; one that loses
// nothing fails, for then the figures beside it mean nothing.
//
// Nothing is left behind. All mounts are made in a mount namespace of the
// command's own, loop devices detach by themselves when they are closed, child
// processes end with their parent, and all files are in one directory, which an
// outer process removes even if the inner one was killed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// parts are all there is, in the order in which they run. In the short form each
// takes a third of its limit, or less, on two processors that do nothing else.
var parts = []part{
	{"model", "random calls against os.File, on real file systems", 12 * time.Minute, nil, runModel},
	{"linear", "concurrent calls, and an order that explains them", 6 * time.Minute, nil, runLinear},
	{"powercut", "what Flush covered is there after the power went", 2 * time.Minute, []need{root, loop}, runPowerCuts},
	{"reorder", "the same, of a disk that loses what it was not told to flush", time.Minute, []need{root, loop, fuseDevice}, runReorder},
	{"failing", "storage that fails, file systems that are full", 2 * time.Minute, []need{root, fuseDevice, loop}, runFailing},
	{"stall", "a page that takes its time, and the scheduler", time.Minute, []need{root, fuseDevice}, runStall},
	{"long", "what an hour of everything leaves behind", 3 * time.Minute, nil, runLong},
	{"hazards", "the table of hazards, and the tests that it names here", 5 * time.Minute, []need{goTool}, runHazards},
	{"stress", "the library's tests under a hostile runtime", 6 * time.Minute, []need{goTool}, runStress},
}

func main() {
	fusefs.Serve()
	var o options
	quick := flag.Bool("quick", true, "the short form")
	flag.BoolVar(&o.full, "full", false, "the long form: hours")
	flag.StringVar(&o.parts, "parts", "", "only these, as model,stall")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where to make the images")
	flag.StringVar(&o.out, "o", "", "the file of results, as Markdown, in which those of the parts that run are replaced")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "the first seed of everything random")
	inside := flag.String("inside", "", "the working directory of the inner process; torture passes it to itself")
	flag.Parse()
	if flag.NArg() > 1 && flag.Arg(0) == "child" {
		os.Exit(runChild(flag.Args()[1:]))
	}
	if o.full && isSet("quick") && *quick {
		fmt.Fprintln(os.Stderr, "torture: -quick and -full exclude each other")
		os.Exit(2)
	}
	if *inside == "" {
		os.Exit(outer(o))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	o.dir = *inside
	status := runParts(ctx, o)
	os.RemoveAll(o.dir) // the outer process may be gone
	os.Exit(status)
}

// options are the command line.
type options struct {
	full  bool
	parts string
	dir   string
	out   string
	seed  uint64
}

// isSet reports whether a flag was given.
func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// chosen returns the parts that were asked for, or an error for a name that is
// none.
func (o options) chosen() ([]part, error) {
	if o.parts == "" {
		return parts, nil
	}
	var some []part
	for name := range strings.SplitSeq(o.parts, ",") {
		found := false
		for _, p := range parts {
			if p.name == name {
				some, found = append(some, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no part %q", name)
		}
	}
	return some, nil
}

// runParts runs the chosen parts one after the other and returns the exit
// status.
func runParts(ctx context.Context, o options) int {
	chosen, err := o.chosen()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 2
	}
	var done []*lab
	failed := 0
	for _, p := range chosen {
		l := &lab{part: p, full: o.full, dir: o.dir, seed: o.seed, say: os.Stdout}
		l.run(ctx)
		if l.err != nil {
			failed++
		}
		done = append(done, l)
		if ctx.Err() != nil {
			break
		}
	}
	printSummary(os.Stdout, done)
	if o.out != "" {
		if err := writeResults(o, done); err != nil {
			fmt.Fprintln(os.Stderr, "torture:", err)
			return 1
		}
	}
	if failed > 0 {
		return 1
	}
	return 0
}
