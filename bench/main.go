//go:build linux && !386 && !arm && !mips && !mipsle

// Command bench compares a Region with *os.File, bufio over it, other Go
// libraries that map files, and a plain C program, workload by workload, and
// says of each target whether it is met.
//
//	go -C bench run .                 # everything, about forty minutes
//	go -C bench run . -quick          # the same in a few minutes, with more noise
//	go -C bench run . -rows P1,P5     # some rows
//	go -C bench run . -rows P1 -entrants Region -cpuprofile p1.prof     # see PROFILES.md
//	go -C bench run . -rows P5 -sandbox nocachestat                     # where the kernel refuses a call
//
// Every verdict is about the ratio of two things measured in the same round:
// the entrants of a row take turns, and who begins changes from round to round.
// Shown are the median of the rounds' ratios and how certain it is. A target that
// is missed by less than that is even, not short.
// Absolute figures are medians too, and for orientation only.
//
// The rows are those of the project's table of targets, P1 to P30; P30 are real
// programs, in the package programs, each written once for all entrants. The row
// FS repeats some rows on other file systems, which make a table of their own.
// P24, P28 and two of P30 measure in processes of their own, because their
// memory is bounded or looked at; P29 under a seccomp filter.
//
// It wants 8 GiB of disk below -dir and 4 GiB of memory (a quarter of each
// with -quick), and no privileges but for P20 (/dev/fuse), P22 (root, to freeze and
// throttle a file system of its own), P24 and two of P30 (root, for a memory
// control group, of version 1 or 2) and FS (root and mkfs.xfs, mkfs.btrfs, for loop
// mounts). What cannot be measured says why in the table. Rows about cold files
// need a file system on a disk.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/seed-93fed273/mmap/torture/fusefs"
)

func main() {
	fusefs.Serve()
	var (
		quick  = flag.Bool("quick", false, "end in a few minutes: fewer rounds, smaller files")
		rows   = flag.String("rows", "", "only these rows, as P1,P5")
		dir    = flag.String("dir", os.TempDir(), "where to make the files; cold rows need a disk")
		out    = flag.String("o", "results.md", "where to write the table; the plots go to plots/ beside it; - writes neither")
		count  = flag.String("count", "", "repeat one operation and measure nothing: see count.sh; 'list' names them")
		times  = flag.Int("n", 1, "how often, with -count")
		who    = flag.String("entrants", "", "only entrants with one of these names or a longer one, as Region,os.File; writes nothing, as -o -")
		prof   = flag.String("cpuprofile", "", "write a CPU profile of the rows there")
		asJSON = flag.Bool("figures", false, "print the figures of all rounds as JSON, and no table")
		long   = flag.String("long", "", "draw a long.csv of the command torture as an SVG beside it, and measure nothing")
		rounds = flag.Int("rounds", 0, "at most so many rounds of each row; 0: as many as the row wants")
		box    = flag.String("sandbox", "", "run where the kernel refuses some calls: "+sandboxNames())
		job    = flag.String("job", "", "measure one job, whose arguments come by standard input; bench starts this by itself")
		group  = flag.String("group", "", "the control group of that job")
	)
	flag.Parse()
	var err error
	maxRounds = *rounds
	switch {
	case *long != "":
		err = plotLong(*long)
	case *box != "":
		err = enterSandbox(*box)
	case *count != "":
		err = countMode(*count, *times, *dir)
	case *job != "":
		err = serveJob(*job, *group)
	default:
		if *who != "" {
			only, *out = strings.Split(*who, ","), "-"
		}
		err = profiled(*prof, func() error { return compare(*quick, *asJSON, *rows, *dir, *out) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// profiled runs fn, and writes a CPU profile of it if name is not empty.
func profiled(name string, fn func() error) error {
	if name == "" {
		return fn()
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return err
	}
	err = fn()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// compare measures the rows and writes the table and the plots.
func compare(quick, asJSON bool, rows, dir, out string) error {
	chosen, err := chooseRows(rows)
	if err != nil {
		return err
	}
	l, err := newLab(dir, quick)
	if err != nil {
		return err
	}
	defer l.close()
	l.closeOnSignal()
	l.draws = out != "-"
	begin := time.Now()
	cells := l.runRows(chosen, os.Stderr)
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(measurements(cells))
	}
	var lines [][]string
	for _, c := range cells {
		if c.fs == "" {
			lines = append(lines, c.lines()...)
		}
	}
	writeText(os.Stdout, head, lines)
	if head, lines := columns(cells); len(lines) > 0 {
		fmt.Println()
		writeText(os.Stdout, head, lines)
	}
	summary := tally(cells) + ", " + time.Since(begin).Round(time.Second).String() + "."
	fmt.Println(summary)
	if out == "-" {
		return nil
	}
	if err := writeResults(out, l, cells, lines, summary); err != nil {
		return err
	}
	plots := filepath.Join(filepath.Dir(out), "plots")
	return errors.Join(l.plot(plots), plotPrograms(cells, plots))
}

// writeResults writes the table with all that is needed to repeat it.
func writeResults(name string, l *lab, cells []cell, lines [][]string, summary string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(f, "# Results\n\n%s\n%s\n", l.describe(), legend)
	writeMarkdown(f, head, lines)
	fmt.Fprintf(f, "\n%s\n", summary)
	writeColumns(f, cells)
	fmt.Fprint(f, plotLinks(l))
	return f.Close()
}

// legend explains the table to who finds it alone.
const legend = `Figures are medians. A ratio is taken round by round, between entrants that took turns; shown are
its median and, in brackets, between what the median lies with 95 % certainty, as far as these rounds
tell (with fewer than six, the smallest and the largest round). The median decides the verdict: "even"
says that it misses the target by less than that uncertainty, "once" that there was but one round. "Best
by best" divides the best figures of all rounds: on a busy machine it says more than the median. Times
(ns, µs, ms) are better when small, rates when large. "″" is the line above, held to another target.
"small folios": the file was written in 4 KiB pieces and stayed in the cache that way; "large folios": in
pieces of 1 MiB.
`

// plotLinks shows the plots in the results.
func plotLinks(l *lab) string {
	var b strings.Builder
	for _, p := range plots {
		if len(l.curves[p.file]) > 0 {
			fmt.Fprintf(&b, "\n![%s](plots/%s.png)\n", p.title, p.file)
		}
	}
	if len(l.curves) > 0 {
		fmt.Fprintf(&b, "\n![%s](plots/programs.png)\n", programsTitle)
	}
	return b.String()
}

// closeOnSignal takes mounts, loop devices and files away when the user
// interrupts, hangs up, or wants no more of what is printed.
func (l *lab) closeOnSignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		<-c
		l.close()
		os.Exit(130)
	}()
}

// runRows measures row after row and tells w how it goes.
func (l *lab) runRows(chosen []row, w io.Writer) (cells []cell) {
	for _, r := range chosen {
		begin := time.Now()
		fmt.Fprintf(w, "%s … ", strings.Join(r.ids, " "))
		got := l.runRow(r)
		cells = append(cells, got...)
		load := loadAverage()
		l.loads = append(l.loads, load)
		fmt.Fprintf(w, "%.1f s, load average %s\n", time.Since(begin).Seconds(), load)
	}
	return cells
}

// runRow measures one row. A row that cannot be measured says why, and the
// others go on.
func (l *lab) runRow(r row) (cells []cell) {
	defer func() {
		switch v := recover().(type) {
		case nil:
			return
		case skip:
			cells = append(cells, r.blank("skipped: "+string(v)))
		case failure:
			cells = append(cells, r.blank("failed: "+v.err.Error()))
		default:
			panic(v)
		}
	}()
	r.run(l, func(c cell) { cells = append(cells, c) })
	return cells
}

// blank is the cell of a row that has no figures.
func (r row) blank(why string) cell {
	return cell{id: strings.Join(r.ids, ", "), workload: r.workload, why: why}
}
