//go:build linux

// Command mutation makes many copies of the library, each with one thing wrong,
// and counts how many of them its tests find out.
//
//	go -C torture run ./mutation            # all: some hours; goes on where it was interrupted
//	go -C torture run ./mutation -j 8       # eight at a time
//	go -C torture run ./mutation -sample 50 # fifty by chance, for a quick look
//	go -C torture run ./mutation -only 'Region\.(ReadAt|WriteAt)'
//
// The packages are those of this module that the library is built from: its root
// and what that imports of internal/. What can be wrong is a bound (< for <=), an
// operator (+ for -), a number (one too large), a bound or a rounding (min for
// max), and an if that does the opposite. All mutants are in one build for each
// package, and an environment variable switches one on, so nothing is compiled
// for each. A mutant is run under the tests that come to its line, those first
// that are quick and have found many.
//
// A complete run writes survivors.txt beside this file: the mutants that no test
// finds out, with the reason. It fails if a survivor has none, or if fewer than
// -least percent are found out of those that any test comes to.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	jobs   int
	sample int
	seed   uint64
	only   *regexp.Regexp
	list   bool
	trust  bool
	least  float64
	slow   time.Duration
	state  string
	file   string
}

func main() {
	var o options
	var only string
	flag.IntVar(&o.jobs, "j", runtime.NumCPU(), "how many mutants are tried at a time")
	flag.IntVar(&o.sample, "sample", 0, "try only so many, by chance, and write no file")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "the seed of -sample")
	flag.StringVar(&only, "only", "", "try only mutants whose name has this regular expression in it, and write no file")
	flag.BoolVar(&o.trust, "trust", false, "do not try the survivors whose reason begins with \""+equal+"\"")
	flag.BoolVar(&o.list, "list", false, "list the mutants and try none")
	flag.Float64Var(&o.least, "least", 95, "how many percent must be found out")
	flag.DurationVar(&o.slow, "slow", 4*time.Second, "leave out tests that take more than this of a processor by themselves")
	flag.StringVar(&o.state, "state", "", "where the results so far are kept; otherwise in the directory for temporary files, by what the code is")
	flag.StringVar(&o.file, "o", "", "the file of survivors; otherwise survivors.txt beside the source of this command")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(only); err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		err = try(ctx, o, only != "" || o.sample > 0)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

// try makes the mutants and tries them.
func try(ctx context.Context, o options, some bool) error {
	r := &runner{o: o, known: survivors{}, verdicts: map[name]verdict{}, kills: map[test]int{}}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if o.list {
		for _, m := range r.all {
			fmt.Println(m)
		}
		return nil
	}
	if err := r.record(ctx); err != nil {
		return err
	}
	if err := r.tryAll(ctx); err != nil {
		return fmt.Errorf("%w; run it again to go on (the results are in %s)", err, r.dir)
	}
	return r.report(!some)
}

// survivorsFile is where the file of survivors is.
func (o options) survivorsFile(root string) string {
	if o.file != "" {
		return o.file
	}
	return filepath.Join(root, "torture", "mutation", "survivors.txt")
}

// percent is a part of a whole.
func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// report prints the score and writes the survivors, if all were tried.
func (r *runner) report(complete bool) error {
	left := survivors{}
	var killed, lived, same, unreached int
	var news, dead []string
	for _, m := range r.chosen() {
		v, why := r.verdicts[m.name()], r.known[m.name()]
		switch {
		case v == killedBy:
			killed++
			if why != "" {
				dead = append(dead, m.String())
			}
			continue
		case v == notReached:
			unreached++
			continue
		case strings.HasPrefix(why, equal):
			same++
		default:
			lived++
		}
		if why == "" || why == unknown {
			why = unknown
			news = append(news, m.String())
		}
		left[m.name()] = why
	}
	fmt.Printf("%d mutants: no test comes to %d; of the others %d are found out, %d do what the code does, %d live\n",
		killed+lived+same+unreached, unreached, killed, same, lived)
	score := percent(killed, killed+lived)
	fmt.Printf("found out: %.1f %% of those that a test comes to and that are not equivalent (%.1f %% of all that a test comes to)\n",
		score, percent(killed, killed+lived+same))
	if len(dead) > 0 {
		fmt.Printf("no longer survivors:\n%s\n", strings.Join(dead, "\n"))
	}
	if complete {
		if err := left.write(r.o.survivorsFile(r.root)); err != nil {
			return err
		}
	}
	if len(news) > 0 {
		return fmt.Errorf("%d survivors without a reason:\n%s", len(news), strings.Join(news, "\n"))
	}
	if complete && score < r.o.least {
		return fmt.Errorf("%.1f %% are found out, and it should be %.1f", score, r.o.least)
	}
	return nil
}
