//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-93fed273/mmap"
)

// A long run: a process that uses the library in every way must not hold more
// after an hour than after a quarter of it. It is sampled twice at a time, under
// load and at rest: then the load stands between two calls, the quarantine of
// handed-out memory has been filled with single pages, and the collector has had
// its turn. At rest every count is known, and one that is off by one fails.

// longFor is how long the run takes, if not as long as the form says.
var longFor = flag.Duration("long", 0, "how long part long takes; 0: an hour, or half a minute in the short form")

// usage is what the process holds of the system at one moment, in bytes and
// numbers.
type usage struct {
	Anon, File, Shmem, Heap int64 // RssAnon, RssFile, RssShmem; live bytes of the Go heap
	Maps, FileMaps          int64 // lines of /proc/self/maps, and those of them that show a file
	Revoked                 int64 // addresses without access, which the library has not given back
	Descriptors, Goroutines int64
}

// moment is one sample.
type moment struct {
	At         time.Duration
	Load, Rest usage
}

// longReport is what the child says, one a line: a sample, or at last the counts
// of what it did.
type longReport struct {
	Base   *usage // at rest before the load
	Moment *moment
	Did    map[string]int64 // at the end: how often what was done
	Left   string           // and what was there after everything was closed and should not be
}

// runLong runs the load and judges what the process held meanwhile. In the short
// form what rises may be caches that still fill up, or a machine that does
// something else. Then it runs again and for twice as long, and that counts: a
// leak rises again.
func runLong(ctx context.Context, l *lab) error {
	if _, err := quarantine(); err != nil {
		return missing{err}
	}
	took := pick(l, time.Hour, 30*time.Second)
	if *longFor > 0 {
		took = *longFor
	}
	first := &lab{part: l.part, full: l.full, dir: l.dir, seed: l.seed, say: &bytes.Buffer{}}
	err := first.loadFor(ctx, took)
	if errors.As(err, new(rises)) && !l.full {
		fmt.Fprintf(l.say, "once more, for twice as long: %v\n", err)
		return l.loadFor(ctx, 2*took)
	}
	l.join(first)
	return err
}

// rises is an error that says what is not flat.
type rises struct{ error }

// loadFor runs the load in a child, for so long.
func (l *lab) loadFor(ctx context.Context, took time.Duration) error {
	dir, err := os.MkdirTemp(l.dir, l.part.name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The C library reserves addresses for each thread, in the way in which a
	// Region's are revoked.
	os.Setenv("MALLOC_ARENA_MAX", "1")
	defer os.Unsetenv("MALLOC_ARENA_MAX")
	p, err := start(ctx, "long", dir, took.String(), fmt.Sprint(l.seed))
	if err != nil {
		return err
	}
	var all longReport
	var moments []moment
	lines := json.NewDecoder(p.out)
	for {
		var r longReport
		if err = lines.Decode(&r); err != nil {
			break
		}
		switch {
		case r.Moment != nil:
			moments = append(moments, *r.Moment)
		case r.Base != nil:
			all.Base = r.Base
		default:
			all.Did, all.Left = r.Did, r.Left
		}
	}
	if err == io.EOF {
		err = nil
	}
	err = errors.Join(err, p.end())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if out := flag.Lookup("o").Value.String(); out != "" && len(moments) > 1 {
		err = errors.Join(err, writeMoments(filepath.Join(filepath.Dir(out), "long.csv"), moments))
	}
	if err != nil {
		return fmt.Errorf("seed %d: %w", l.seed, err)
	}
	if all.Base == nil || all.Did == nil || len(moments) == 0 {
		return errors.New("no samples")
	}
	l.tellLoad(took, all.Did)
	return l.judgeLong(moments, all)
}

// tellLoad reports what the load consisted of.
func (l *lab) tellLoad(took time.Duration, did map[string]int64) {
	var kinds []string
	total := int64(0)
	for _, kind := range slices.Sorted(maps.Keys(did)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, did[kind]))
		total += did[kind]
	}
	l.figure("load", "%d calls and scenes in %v, every byte read as it was written: %s", total, took, strings.Join(kinds, ", "))
}

// gauge is one curve and what is expected of it. Memory and the number of maps
// move: at rest the median of the last quarter may be above that of the second by
// one part in so many, and slack; under load by a quarter, and four times the
// slack. Exact gauges must at rest always be what they were before the load.
type gauge struct {
	name  string
	of    func(u usage) int64
	unit  float64
	exact bool
	part  int64
	slack int64
}

// gauges are all that is judged.
var gauges = []gauge{
	{"anonymous memory, MiB", func(u usage) int64 { return u.Anon }, 1 << 20, false, 20, 2 << 20},
	{"file memory, MiB", func(u usage) int64 { return u.File }, 1 << 20, false, 20, 2 << 20},
	{"shared memory, MiB", func(u usage) int64 { return u.Shmem }, 1 << 20, false, 20, 1 << 20},
	{"Go heap, MiB", func(u usage) int64 { return u.Heap }, 1 << 20, false, 100, 128 << 10},
	{"maps", func(u usage) int64 { return u.Maps }, 1, false, 20, 50},
	{"maps of files", func(u usage) int64 { return u.FileMaps }, 1, true, 1, 25},
	{"revoked addresses, MiB", func(u usage) int64 { return u.Revoked }, 1 << 20, true, 1, 256 << 20},
	{"descriptors", func(u usage) int64 { return u.Descriptors }, 1, true, 1, 10},
	{"goroutines", func(u usage) int64 { return u.Goroutines }, 1, true, 1, 4},
}

// judgeLong reports each gauge and says which are not flat.
func (l *lab) judgeLong(moments []moment, all longReport) error {
	if err := l.judgeExact(moments, *all.Base); err != nil {
		return err
	}
	if len(moments) < 8 {
		return fmt.Errorf("too short: %d samples", len(moments))
	}
	var errs []error
	second, last := moments[len(moments)/4:len(moments)/2], moments[len(moments)*3/4:]
	l.figure("samples", "%d; a figure is the median of the second and of the last quarter", len(moments))
	for _, g := range gauges {
		rest := g.grown(second, last, func(m moment) usage { return m.Rest }, g.part, g.slack)
		load := g.grown(second, last, func(m moment) usage { return m.Load }, 4, 4*g.slack)
		value := fmt.Sprintf("at rest %s, under load %s", rest.text, load.text)
		if g.exact {
			value += "; at rest always the same"
		}
		l.figure(g.name, "%s", value)
		if rest.failed || load.failed {
			errs = append(errs, rises{fmt.Errorf("%s: not flat: %s", g.name, value)})
		}
	}
	l.figure("quarantine at rest", "%d closed Regions of a page each", all.Base.Revoked/mmap.PageSize())
	if all.Left != "" {
		return fmt.Errorf("left after the end: %s", all.Left)
	}
	l.figure("after Close and a collection", "no descriptor, map of a file, goroutine or range is left")
	return errors.Join(errs...)
}

// judgeExact says which of the gauges that are known exactly at rest were not
// what they had been before the load.
func (l *lab) judgeExact(moments []moment, base usage) error {
	var errs []error
	for _, g := range gauges {
		for _, m := range moments {
			if got, want := g.of(m.Rest), g.of(base); g.exact && got != want {
				errs = append(errs, fmt.Errorf("%s: at rest %s before the load and %s after %v",
					g.name, g.text(want), g.text(got), m.At.Round(time.Second)))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// writeMoments writes the samples as a table, for the command bench to draw: see
// its option -long.
func writeMoments(name string, moments []moment) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	table := csv.NewWriter(f)
	head := []string{"minutes"}
	for _, g := range gauges {
		head = append(head, g.name+", at rest", g.name+", under load")
	}
	rows := [][]string{head}
	for _, m := range moments {
		row := []string{fmt.Sprintf("%.3f", m.At.Minutes())}
		for _, g := range gauges {
			row = append(row, g.text(g.of(m.Rest)), g.text(g.of(m.Load)))
		}
		rows = append(rows, row)
	}
	return errors.Join(table.WriteAll(rows), f.Sync())
}

// growth is what became of a gauge between two quarters.
type growth struct {
	text   string
	failed bool
}

// grown compares the medians of two quarters: the later one may be above the
// earlier one by its part and by slack.
func (g gauge) grown(before, after []moment, at func(m moment) usage, part, slack int64) growth {
	median := func(some []moment) int64 {
		var values []int64
		for _, m := range some {
			values = append(values, g.of(at(m)))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	a, b := median(before), median(after)
	return growth{g.text(a) + " and " + g.text(b), b > a+a/part+slack}
}

// text writes a value in the gauge's unit.
func (g gauge) text(v int64) string {
	if g.unit == 1 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%.2f", float64(v)/g.unit)
}

// childLong is the process that is watched: of a directory, a time and a seed.
func childLong(args []string) error {
	took, err1 := time.ParseDuration(args[1])
	seed, err2 := strconv.ParseUint(args[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	runtime.GOMAXPROCS(2)
	w, err := newWatch(args[0])
	if err != nil {
		return err
	}
	say := json.NewEncoder(os.Stdout)
	did, err := w.during(args[0], took, seed, func(r longReport) error { return say.Encode(r) })
	if err != nil {
		return err
	}
	return say.Encode(longReport{Did: did, Left: w.left()})
}

// watch knows how to bring the process to rest and what it holds then.
type watch struct {
	page   string // a file of one page
	graves int64  // how many closed Regions the library keeps in quarantine
	origin usage  // before the first Region
	fds    map[string]string
}

// newWatch measures the process before it uses the library.
func newWatch(dir string) (*watch, error) {
	w := &watch{page: filepath.Join(dir, "page")}
	if err := os.WriteFile(w.page, fill(1, int(mmap.PageSize())), 0o600); err != nil {
		return nil, err
	}
	var err error
	if w.graves, err = quarantine(); err != nil {
		return nil, err
	}
	if w.origin, err = readUsage(); err != nil {
		return nil, err
	}
	w.fds = descriptors()
	return w, nil
}

// quarantine returns how many closed Regions the library keeps in quarantine, an
// eighth of the maps that it allows itself, or why they cannot be counted here.
func quarantine() (int64, error) {
	limit, err1 := setting("vm/max_map_count")
	overcommit, err2 := setting("vm/overcommit_memory")
	n := limit / 4 / 8
	switch {
	case err1 != nil || err2 != nil:
		return 0, errors.Join(err1, err2)
	case n > 1<<17:
		return 0, fmt.Errorf("vm.max_map_count is %d: the quarantine takes too long to fill", limit)
	case overcommit == 2:
		return 0, errors.New("vm.overcommit_memory is 2: revoked addresses look like reserved ones")
	}
	return n, nil
}

// setting returns a setting of the kernel.
func setting(name string) (int64, error) {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// revoked is what the full quarantine holds: a page each.
func (w *watch) revoked() int64 { return w.origin.Revoked + w.graves*mmap.PageSize() }

// bury fills the quarantine with single pages, so that all that was in it comes
// out, and what is in it is known.
func (w *watch) bury() error {
	for range w.graves {
		r, err := mmap.Open(w.page)
		if err != nil {
			return err
		}
		if len(r.Bytes()) != int(mmap.PageSize()) {
			return errors.New("a page has no bytes")
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// rest brings the process to rest, and measures it until it is settled or
// patience is over. The load stands still meanwhile.
func (w *watch) rest(settled func(u usage) bool) (u usage, err error) {
	if err := w.bury(); err != nil {
		return u, err
	}
	for begin := time.Now(); ; {
		collect()
		if u, err = readUsage(); err != nil || settled(u) || time.Since(begin) > patience {
			return u, err
		}
	}
}

// patience is how long the process may take to come to rest, on a machine that
// does something else too.
const patience = 20 * time.Second

// collect runs the collector, gives free memory back, and waits until cleanups
// have begun to run.
func collect() {
	done := make(chan struct{})
	mark := new([32]byte)
	runtime.AddCleanup(mark, func(c chan struct{}) { close(c) }, done)
	debug.FreeOSMemory()
	<-done
	debug.FreeOSMemory() // what package os keeps in pools goes in two
}

// during runs the load and samples it. A pause is complete before anything is
// measured at rest, and only then does the load go on.
func (w *watch) during(dir string, took time.Duration, seed uint64, tell func(r longReport) error) (did map[string]int64, err error) {
	c, err := newCrew(dir, seed)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	var before usage
	base, err := w.rest(func(u usage) bool {
		same := u.counts() == before.counts() // the library's clock may have a descriptor just now
		before = u
		return same && u.Revoked == w.revoked() && u.Goroutines == w.origin.Goroutines+longHands
	})
	if err != nil {
		return nil, err
	}
	if base.Revoked != w.revoked() {
		return nil, fmt.Errorf("%d bytes are revoked where the quarantine should have %d", base.Revoked, w.revoked())
	}
	if err := tell(longReport{Base: &base}); err != nil {
		return nil, err
	}
	tick := time.NewTicker(max(took/360, 500*time.Millisecond))
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < took; {
		c.goOn()
		select {
		case <-tick.C:
		case err = <-c.failed:
		}
		m := moment{At: time.Since(begin)}
		var err1, err2 error
		m.Load, err1 = readUsage()
		c.work.Lock()
		m.Rest, err2 = w.rest(func(u usage) bool { return u.counts() == base.counts() })
		if err = errors.Join(err, err1, err2, tell(longReport{Moment: &m})); err != nil {
			return nil, err
		}
		if m.Rest.counts() != base.counts() {
			break // it will not get better
		}
	}
	return c.did(), nil
}

// counts is the part of a usage that is known exactly at rest.
func (u usage) counts() [4]int64 {
	return [4]int64{u.FileMaps, u.Revoked, u.Descriptors, u.Goroutines}
}

// left says what is there after everything was closed and dropped that was not
// there before the first Region.
func (w *watch) left() (what string) {
	want := w.origin
	want.Revoked = w.revoked()
	u, err := w.rest(func(u usage) bool { return u.counts() == want.counts() })
	switch {
	case err != nil:
		return err.Error()
	case u.counts() == want.counts():
		return ""
	}
	what = fmt.Sprintf("maps of files, revoked bytes, descriptors, goroutines: %v, and before %v", u.counts(), want.counts())
	for fd, to := range descriptors() {
		if _, was := w.fds[fd]; !was {
			what += fmt.Sprintf("\ndescriptor %s: %s", fd, to)
		}
	}
	return what
}

// readUsage asks the system and the runtime.
func readUsage() (u usage, err error) {
	u.Goroutines = int64(runtime.NumGoroutine())
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	u.Heap = int64(mem.HeapAlloc)
	u.Descriptors = int64(len(descriptors()))
	err = eachLine("/proc/self/status", func(line string) {
		for name, to := range map[string]*int64{"RssAnon:": &u.Anon, "RssFile:": &u.File, "RssShmem:": &u.Shmem} {
			if f := strings.Fields(line); len(f) > 1 && f[0] == name {
				kib, _ := strconv.ParseInt(f[1], 10, 64)
				*to = kib << 10
			}
		}
	})
	return u, errors.Join(err, u.readMaps())
}

// readMaps counts the maps. What the library revoked has no access and is not
// accounted for (nr); what the Go runtime reserves has no access either, but
// lacks that flag.
func (u *usage) readMaps() error {
	var size int64
	none := false
	return eachLine("/proc/self/smaps", func(line string) {
		first, rest, _ := strings.Cut(line, " ")
		if first == "VmFlags:" {
			if none && slices.Contains(strings.Fields(rest), "nr") {
				u.Revoked += size
			}
			return
		}
		from, to, ok := strings.Cut(first, "-")
		if !ok {
			return
		}
		u.Maps++
		lo, _ := strconv.ParseUint(from, 16, 64)
		hi, _ := strconv.ParseUint(to, 16, 64)
		f := strings.Fields(rest)
		size, none = int64(hi-lo), f[0] == "---p" && f[3] == "0"
		if f[3] != "0" {
			u.FileMaps++
		}
	})
}

// eachLine calls fn with each line of a file.
func eachLine(name string, fn func(line string)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fn(lines.Text())
	}
	return lines.Err()
}

// descriptors returns the open descriptors and what they lead to.
func descriptors() map[string]string {
	open := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			open[e.Name()] = to // without the one that reads the directory
		}
	}
	return open
}
