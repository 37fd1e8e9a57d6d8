package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// benchVerb is `mmap bench`.
var benchVerb = verb{
	name:  "bench",
	args:  "[-quick] [-cold=false] [-size MiB] [-dir DIR] [FILE]",
	short: "check a Region against os.File, and measure both side by side",
	long: `Bench reads a file through mmap.Region and through os.File, checks by SHA-256
that both give the same bytes, and measures both in turns. Each figure is the
median of the rounds; the last column says how many times as fast the Region is.

Without FILE it makes a file of pseudo-random bytes and removes it afterwards.
FILE itself is only read, and of a long one only the beginning is used. "Hot" is a
file whose bytes are in the system's cache, read at 1024 random places; "cold" is
one whose cache was dropped before each round, which any other program that uses
the file notices too.`,
	flags: func(fs *flag.FlagSet) action {
		var o options
		fs.BoolVar(&o.quick, "quick", false, "fewer and shorter rounds, and 32 MiB: orientation, not measurement")
		fs.BoolVar(&o.cold, "cold", true, "measure cold reads too, where the system lets the cache be dropped")
		fs.Int64Var(&o.size, "size", 0, "how many `MiB` to make, or to use of FILE at most (default 256)")
		fs.StringVar(&o.dir, "dir", "", "the `folder` for the file made (default the system's temporary folder)")
		return func(ctx context.Context, args []string, c *console) error { return o.bench(ctx, args, c.out, c.err) }
	},
}

// options are what the flags of bench say.
type options struct {
	quick, cold bool
	size        int64 // MiB; 0 is the default
	dir         string
}

// check finds what is wrong with the options.
func (o *options) check(args []string) error {
	const most = 1 << 40 / miB
	switch {
	case len(args) > 1:
		return usageError(fmt.Sprintf("one FILE at most, and flags before it: %q", args))
	case len(args) == 1 && args[0] == "":
		return usageError("FILE has no name")
	case o.size < 0 || o.size > most:
		return usageError(fmt.Sprintf("-size must be from 1 to %d", most))
	case o.dir != "" && len(args) == 1:
		return usageError("-dir is for the file that is made when there is no FILE")
	}
	return nil
}

// bytes returns how much of the file to use.
func (o *options) bytes() int64 {
	switch {
	case o.size > 0:
		return o.size * miB
	case o.quick:
		return 32 * miB
	}
	return 256 * miB
}

// pace is how long to measure. Many short rounds are better than a few long
// ones: what else the machine does then spoils some of them, and the median is
// of the others.
type pace struct {
	rounds int           // of a hot line; odd, so that the median is one of them
	batch  time.Duration // of one hot round
	line   time.Duration // of one hot line: no more rounds after that, but for the least
	colds  int           // rounds of a cold line; odd
	cold   time.Duration // of one cold round, at most
}

// leastRounds is how many rounds a line has, however long they take; odd.
const leastRounds = 3

// pace returns how long to measure.
func (o *options) pace() pace {
	if o.quick {
		return pace{rounds: 5, batch: time.Millisecond, line: 100 * time.Millisecond, colds: 3, cold: 250 * time.Millisecond}
	}
	return pace{rounds: 51, batch: 5 * time.Millisecond, line: 3 * time.Second, colds: 5, cold: time.Second}
}

// bench is the verb's action. What it prints it prints at the end, when the
// file it made is gone: whoever reads may have gone away by then.
func (o *options) bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if err := o.check(args); err != nil {
		return err
	}
	say := progress(stderr)
	rep, err := o.measure(ctx, args, say)
	say("")
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	return rep.print(stdout)
}

// measure makes or finds the file, checks it and measures it.
func (o *options) measure(ctx context.Context, args []string, say func(string)) (rep *report, err error) {
	var s *subject
	if len(args) == 1 {
		s, err = findSubject(args[0], o.bytes())
	} else {
		say("making a file")
		s, err = makeSubject(ctx, o.dir, o.bytes())
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if bad := s.remove(); err == nil {
			err = bad
		}
	}()
	b := &bench{ctx: ctx, subject: s, pace: o.pace(), say: say, report: newReport(s)}
	if err := b.check("before"); err != nil {
		return nil, err
	}
	if err := b.hot(); err != nil {
		return nil, err
	}
	if err := b.evicted(o.cold); err != nil {
		return nil, err
	}
	if err := b.writes(); err != nil {
		return nil, err
	}
	return b.report, nil
}

// bench is one run.
type bench struct {
	ctx     context.Context
	subject *subject
	pace    pace
	say     func(string) // what is being done
	report  *report
}

// progress returns a function that shows what is being done, on a terminal;
// elsewhere it does nothing.
func progress(w io.Writer) func(string) {
	f, ok := w.(*os.File)
	if !ok {
		return func(string) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(string) {}
	}
	return func(what string) {
		if what != "" {
			what += " ..."
		}
		fmt.Fprintf(f, "\r\x1b[K%s", what)
	}
}
