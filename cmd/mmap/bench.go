package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"
)

// benchVerb is `mmap bench`.
var benchVerb = verb{
	name:  "bench",
	args:  "[flags] [FILE]",
	short: "check a Region against os.File, measure both, and say which is faster",
	long: `Bench reads a file through mmap.Region, os.File and golang.org/x/exp/mmap, checks by SHA-256 that the Region gives the bytes that os.File gives, and measures the three in turns. Each figure is the median of the rounds, with the lowest and the highest beside it; "speed" says how many times as fast as os.File the Region is. A difference counts as one when it is more than a tenth and the middle halves of the rounds are apart.
Without FILE it makes a file of pseudo-random bytes and removes it afterwards. FILE itself is only read, and of a long one only the beginning is used. "Hot" is a file whose bytes are in the cache, read at 1024 random places; "cold" is one that was dropped from the cache before each round, which any other program that uses the file notices too.`,
	flags: func(fs *flag.FlagSet) action {
		o := options{cold: true}
		fs.BoolVar(&o.quick, "quick", false, "fewer and shorter rounds, and 32 MiB: orientation, not measurement")
		fs.BoolVar(&o.cold, "cold", true, "measure cold reads too, where the system lets the cache be dropped; -cold=false: not")
		fs.Func("size", "how many `MiB` to make, or to use of FILE at most (default 256)", o.setSize)
		fs.StringVar(&o.dir, "dir", "", "the `FOLDER` for the file made (default the system's temporary folder)")
		fs.BoolVar(&o.json, "json", false, "print JSON, times in nanoseconds")
		fs.StringVar(&o.svg, "svg", "", "also draw the figures into the file `NAME`, as SVG")
		return o.bench
	},
}

// options are what the flags of bench say.
type options struct {
	quick, cold, json bool
	size              int64 // bytes; 0 is the default
	dir, svg          string
}

// setSize is the flag -size.
func (o *options) setSize(text string) error {
	const most = tiB / miB
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return fmt.Errorf("it must be from 1 to %d MiB", most)
	}
	o.size = n * miB
	return nil
}

// check finds what is wrong with the options.
func (o *options) check(args []string) error {
	switch {
	case len(args) > 1:
		return usageError(fmt.Sprintf("one FILE at most: %q", args))
	case len(args) == 1 && args[0] == "":
		return usageError("FILE has no name")
	case o.dir != "" && len(args) == 1:
		return usageError("-dir is for the file that is made when there is no FILE")
	}
	return nil
}

// bytes returns how much of the file to use.
func (o *options) bytes() int64 {
	switch {
	case o.size > 0:
		return o.size
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
func (o *options) bench(ctx context.Context, args []string, c *console) error {
	if err := o.check(args); err != nil {
		return err
	}
	rep, err := o.measure(ctx, args, c)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, []byte(rep.svg()), 0o666); err != nil {
			return err
		}
	}
	if !o.json {
		return c.write(rep.text(c))
	}
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	return c.write(string(text) + "\n")
}

// measure makes or finds the file, checks it and measures it.
func (o *options) measure(ctx context.Context, args []string, c *console) (rep *report, err error) {
	s, err := o.subject(ctx, args, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if bad := s.remove(); err == nil {
			err = bad
		}
	}()
	b := &bench{ctx: ctx, c: c, subject: s, pace: o.pace(), report: newReport(s)}
	for _, step := range []func() error{
		func() error { return b.check("before") },
		b.hot,
		func() error { return b.cold(o.cold) },
		b.writes,
	} {
		if err := step(); err != nil {
			return nil, s.shorter(err)
		}
	}
	b.report.finish()
	return b.report, nil
}

// subject makes or finds the file.
func (o *options) subject(ctx context.Context, args []string, c *console) (*subject, error) {
	if len(args) == 1 {
		return findSubject(args[0], o.bytes())
	}
	c.progress("making a file of %s", size(o.bytes()))
	return makeSubject(ctx, o.dir, o.bytes())
}

// bench is one run.
type bench struct {
	ctx     context.Context
	c       *console
	subject *subject
	pace    pace
	report  *report
	until   time.Time // when a cold round has to end
}

// late reports whether a cold round has to end.
func (b *bench) late() bool { return b.ctx.Err() != nil || time.Now().After(b.until) }

// openFor opens the file for the first so many sides. Where x/exp/mmap cannot,
// a note says so.
func (b *bench) openFor(sides, flag int) (set handles, err error) {
	for by := range side(sides) {
		h, err := b.subject.open(by, flag)
		if err != nil && by == expMmap {
			b.report.note(by.String(), err.Error())
			break
		}
		if err != nil {
			set.close()
			return nil, err
		}
		set = append(set, h)
	}
	return set, nil
}

// work is one line of the table: something that all sides do, or the first two.
type work struct {
	Section string `json:"section"`
	Name    string `json:"name"`
	words   string // what the verdict calls it
	unit    unit
	bytes   int64 // of one operation
	sides   int
	// do does n operations, in a cold round as many as it can until it is
	// late, and returns how many it did.
	do func(h handle, by side, n int) (int, error)
}

// line measures w on all sides in turns and adds it to the table. The set is
// the open file, or nil for a cold line.
func (b *bench) line(set handles, w work) error {
	sides, rounds, n := w.sides, b.pace.colds, make([]int, w.sides)
	if set != nil {
		sides, rounds = min(sides, len(set)), b.pace.rounds
		for by := range sides {
			var err error
			if n[by], err = b.calibrate(set[by], side(by), w); err != nil {
				return b.without(w, err)
			}
		}
	}
	took := make([][]float64, sides)
	for round, begin := 0, time.Now(); round < rounds; round++ {
		if set != nil && round >= leastRounds && time.Since(begin) > b.pace.line {
			break
		}
		for i := range sides {
			by := (i + round) % sides // none is always the first
			b.c.progress("measuring: %s, %s, round %d of %d", w.Section, w.Name, round+1, rounds)
			t, err := b.round(set, side(by), w, n[by])
			if err != nil {
				return b.without(w, err)
			}
			took[by] = append(took[by], t)
		}
	}
	b.report.add(w, took)
	return nil
}

// without leaves a line out of the table if err is a reason to, and returns
// err otherwise.
func (b *bench) without(w work, err error) error {
	var cold coldError
	if b.ctx.Err() == nil && (errors.Is(err, errors.ErrUnsupported) || errors.As(err, &cold)) {
		b.report.note(w.Name, err.Error())
		return nil
	}
	return err
}

// coldError is why a file does not leave the cache.
type coldError struct{ error }

// round does one round and returns how many nanoseconds an operation took. For
// a cold line the file is dropped from the cache before, opened, and closed
// afterwards: what is mapped stays in the cache.
func (b *bench) round(set handles, by side, w work, n int) (float64, error) {
	if set != nil {
		return b.time(set[by], by, w, n)
	}
	if err := b.evict(); err != nil {
		return 0, coldError{err}
	}
	h, err := b.subject.open(by, os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	b.until = time.Now().Add(b.pace.cold)
	return b.time(h, by, w, 0)
}

// calibrate finds how many operations one round needs. What it does for that
// does not count, and touches every place some times: the first time is another
// matter.
func (b *bench) calibrate(h handle, by side, w work) (int, error) {
	var spent time.Duration
	for n, all := 1, 0; ; n *= 2 {
		t, err := b.time(h, by, w, n)
		all += n
		spent += time.Duration(t * float64(n))
		if err != nil || spent >= b.pace.batch && (all >= 4*places || spent >= 8*b.pace.batch) {
			return max(int(float64(b.pace.batch.Nanoseconds())/max(t, 1)), 1), err
		}
	}
}

// time does n operations and returns how many nanoseconds each took.
func (b *bench) time(h handle, by side, w work, n int) (float64, error) {
	begin := time.Now()
	done, err := w.do(h, by, n)
	took := max(time.Since(begin), 1) // a coarse clock may not have moved
	return float64(took.Nanoseconds()) / float64(max(done, 1)), cmp.Or(err, b.ctx.Err())
}
