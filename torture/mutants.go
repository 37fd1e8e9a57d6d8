//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Mutants are copies of the library in which one bound or one rounding is
// wrong. Each must make a test fail: one that lives shows a bound that no test
// looks at, or one that does not matter.

// notRanges are the functions whose numbers say nothing about ranges, and what
// they say instead. All other functions of the library have mutants.
var notRanges = byKey(map[string][]string{
	"how many maps there are": {"anyDead", "block.giveBack", "block.split", "block.splitMore", "bury", "die", "takeMap", "mapLimit",
		"newMemory", "memory.handOut", "memory.retire", "collectInBackground", "layout.cuts"},
	// TestPagesAllCold and TestPagesAllHot show that it changes no result.
	"what is known of pages, which is advisory": {"Region.missed", "Region.saw", "Region.knowsResident", "Region.askCached",
		"Region.cacheOf", "Region.age", "Region.ageBlock", "ageRegister", "mapping.add", "mapping.drop", "mapping.forgetCut"},
	"names, flags and kinds": {"Advice.String", "Advice.Supported", "Create", "newRegion", "plain", "lockPages", "Region.control"},
})

// equivalents are the mutants that no test can kill on this system, by the reason.
// They count as neither killed nor alive.
var equivalents = byKey(map[string][]string{
	"another way to the same result, at another cost": {
		"Region.ReadAt: len(p) > piece: > becomes >=",
		"Region.ReadAt: uint64(off) > uint64(limit): > becomes >=",
		"Region.ReadAt: int64(len(p)) > limit-off: > becomes >=",
		"Region.WriteAt: uint64(len(p))-1: - becomes +",
		"Region.View: n <= viewPopulated: <= becomes <",
		"Region.View: off+n > m.limit.Load(): > becomes >=",
		"Region.seek: uint64(offset) > uint64(r.size.Load()): > becomes >=",
		"Region.WriteAt: uint64(off) > uint64(limit): > becomes >=",
		"Region.WriteAt: len(p) > piece: > becomes >=",
		"Region.pread: len(p) <= nowaitMost: <= becomes <",
		"Region.writeMemory: n > populateMost: > becomes >=",
		"Region.writeUnseen: off+n <= m.open.Load(): <= becomes <",
		"Region.View: off+n: + becomes -",
		"Region.readUnseen: n > piece: > becomes >=",
		"Region.commit: n > 0: 0 becomes 1",
		"Region.commit: off+n <= m.room: <= becomes <",
		"Region.writeSlow: min(int64(n), pageSize): min becomes max",
		"mapping.overlaps: at-uintptr(start(p)) < n: < becomes <=",
		"mapping.overlaps: uintptr(start(p))-at < n: < becomes <=",
		"transfer: uintptr(dst)-uintptr(src) < uintptr(n): < becomes <=",
		"bitmap.all: partBits-1: 1 becomes 2",
		"bitmap.add: partBits-1: 1 becomes 2",
		"bitmap.after: partBits-1: 1 becomes 2",
		"bitmap.remove: p.word(at).Load()&mask: & becomes |",
		"Region.publish: m.lead+old: + becomes -",
		"Region.ahead: max(min(n, m.extent.Load()-off), 0): max becomes min",
		"bitmap.count: partBits-1: 1 becomes 2",
		"Region.storeAll: len(p) > populateMost: > becomes >=",
		"Region.storeAll: int64(len(p)) / 6: / becomes *",
		"Region.storeAll: int64(len(p)) / 6: 6 becomes 7",
	},
	"asks, maps, clears or notes once more what is so already": {
		"Region.readSlow: end < size: < becomes <=",
		"Region.span: off <= size: <= becomes <",
		"Region.span: off+n <= size: <= becomes <",
		"Region.publish: size > m.room: > becomes >=",
		"Region.publish: size < old: < becomes <=",
		"Region.publish: size < old: < becomes <= #2",
		"Region.publish: AlignDown(m.lead+old): AlignDown becomes alignUp",
		"Region.handOut: end > r.rawEnd.Load(): > becomes >=",
		"Region.publish: size > old: > becomes >=",
		"Region.extend: end > r.size.Load(): > becomes >=",
		"Region.extend: n > 0: > becomes >=",
		"Region.setLimits: bound.Load() > n: > becomes >=",
		"Region.writeFile: off+int64(len(fits)) > r.size.Load(): > becomes >=",
		"Region.writeFile: off+int64(n) > r.size.Load(): > becomes >=",
		"mapping.stored: end <= old: <= becomes <",
		"Region.storeAll: end > m.end.Load(): > becomes >=",
		"Region.WriteAt: end > m.end.Load(): > becomes >=",
		"Region.allocate: off+n > size: > becomes >=",
		"Region.remap: slack > 0: > becomes >=",
		"Region.ahead: off >= r.size.Load(): >= becomes >",
		"Region.flush: r.rawEnd.Load() > r.size.Load(): > becomes >=",
	},
	"a call for no bytes does nothing": {
		"Region.readSlow: may > 0: > becomes >=",
		"Region.writeSlow: may > 0: > becomes >=",
		"Region.writeFixed: may > 0: > becomes >=",
		"Region.reasonForStore: off >= m.room: >= becomes >",
		"Region.writeFile: off >= r.window: >= becomes >",
		"mapping.holds: uint64(off) <= uint64(extent): <= becomes <",
		"layout.each: from < to: < becomes <=",
		"layout.each: lo < hi: < becomes <=",
		"Region.eachPast: lo < int64(len(mem.b)): < becomes <=",
	},
	"how much room is kept is a choice": {
		"Region.slack: 1<<20: 1 becomes 2",
		"Region.slack: 1<<20: 20 becomes 21",
		"Region.slack: len(r.past) > 0: > becomes >=",
		"Region.slack: len(r.past) > 0: 0 becomes 1",
		"Region.slack: r.window > 0: 0 becomes 1",
		"Region.remap: slack > 0: 0 becomes 1",
		"Region.remap: r.window > 0: 0 becomes 1",
		"bitmap.makePart: n+partBits-1: - becomes +",
		"bitmap.makePart: size+63: 63 becomes 64",
		"bitmap.makePart: (size+63)>>6: >> becomes <<",
	},
	"the two are the same here": {
		"Region.mapBytes: span.Len > math.MaxInt: > becomes >=",     // no length is that long
		"Region.reasonInFile: off >= r.visible(size): >= becomes >", // the read that follows says so too
		"Region.drop: c.lo-c.m.lead: - becomes +",
		"Region.drop: c.hi-c.m.lead: - becomes +", // memory without a file has no lead
		"Region.clearTail: min(alignUp(m.lead+size)-m.lead, m.room): min becomes max",
		"Region.clearTail: alignUp(m.lead+size)-m.lead: - becomes +", // behind the last page nothing can be reached
		"layout.apply: lo >= hi: >= becomes >",                       // no mapping ends where a stretch begins
		"Region.Truncate: r.base + size: + becomes - #3",
		"Region.Truncate: r.base + size: + becomes -", // of a file not open for writing, or the second try on Windows
		"cutBelow: end-1: 1 becomes 2",                // a message
		"cutBelow: end-1: - becomes +",
		"Region.FlushAsync: off+n: + becomes -", // which promises nothing
		"Region.FlushAsync: off+n <= m.room: <= becomes <",
		"Region.writeSlow: off+r.base > far: > becomes >=",            // it fits to the byte
		"Span.Align: s.Off > math.MaxInt64-s.Len: > becomes >=",       // such an end cannot be rounded up
		"Region.writeSlow: off <= math.MaxInt64-r.base: <= becomes <", // no file takes a byte there
	},
	"only on systems, or file systems, that lack a call": {
		"Region.discard: off+n: + becomes -",
		"Region.writeZeros: off < end: < becomes <=",
		"Region.writeZeros: min(end-off, int64(len(buf))): min becomes max",
		"Region.writeZeros: end-off: - becomes +",
		"Region.writeZeros: r.base+off: + becomes -",
		"Region.writeZeros: off += int64(n): + becomes -",
		"Region.allocate: off >= size: >= becomes >",
		"Region.allocate: off+n: + becomes - #4",
		"Region.reasonForStore: r.base+off: + becomes -", // a full xfs, which the part "failing" makes
		"Region.letGo: r.rawEnd.Load() > 0: 0 becomes 1",
		"Region.letGo: r.rawEnd.Load() > 0: > becomes >=",
		// On FUSE, which the part "hazards" mounts.
		"Region.writeMemory: r.growing.Load() > 0: 0 becomes 1",
		"Region.readyTail: min(size, m.room): min becomes max",
		"Region.readyTail: min(size, m.room)-1: - becomes +",
		"Region.readyTail: min(size, m.room)-1: 1 becomes 2",
		"Region.readyTail: r.base + size: + becomes -",
		"Region.readyTail: r.base + size - 1: - becomes +",
		"Region.readyTail: r.base + size - 1: 1 becomes 2",
	},
	"only when a Truncate comes between two lines": {
		"Region.writeFile: off+int64(n): + becomes -",
		"Region.uncut: min(end, r.size.Load()): min becomes max",
		"Region.ahead: max(min(n, m.extent.Load()-off), 0): 0 becomes 1",
	},
})

// byKey turns a table of keys by reason into one of reasons by key.
func byKey(reasons map[string][]string) map[string]string {
	all := map[string]string{}
	for why, keys := range reasons {
		for _, key := range keys {
			all[key] = why
		}
	}
	return all
}

// longTests begin the names of tests that repeat calls for a second or more, or
// run the other tests again. A bound should have a test of its own.
var longTests = []string{"TestPages", "TestCloseAgainstEverything", "TestManyRounds", "TestMapLimit", "TestMapBounded",
	"TestUnreachable", "TestServeWhileCut", "TestCutBeside", "TestCutWriteTo", "TestProtectMap"}

// The short form makes and tries mutants for quickTime, and tries for quickLeast.
const quickTime, quickLeast = 30 * time.Second, 10 * time.Second

// mutantLab is what the runs share.
type mutantLab struct {
	l       *lab
	root    string
	binary  string
	all     []mutant
	reached map[int][]string         // by mutant: the tests that come there
	took    map[string]time.Duration // by test

	mu    sync.Mutex
	kills map[string]int // by test
}

// verdict is what became of a mutant.
type mutantVerdict struct {
	mutant
	killed bool
	tests  int // that come there
}

// runMutants makes mutants and counts the killed.
func runMutants(ctx context.Context, l *lab) error {
	begin := time.Now()
	root, err := library()
	if err != nil {
		return err
	}
	b := &mutantLab{l: l, root: root, binary: l.path("test"), reached: map[int][]string{}, took: map[string]time.Duration{}, kills: map[string]int{}}
	if err := b.build(ctx); err != nil {
		return err
	}
	if err := b.record(ctx); err != nil {
		return err
	}
	var end time.Time // never
	if !l.full {
		end = begin.Add(max(quickTime, time.Since(begin)+quickLeast))
	}
	return b.report(b.try(ctx, end))
}

// build makes the mutants and the one binary.
func (b *mutantLab) build(ctx context.Context) error {
	dir := b.l.path("source")
	err := os.Mkdir(dir, 0o700)
	if err != nil {
		return err
	}
	var overlay string
	if b.all, overlay, err = makeMutants(ctx, b.root, dir); err != nil {
		return err
	}
	out, err := command(ctx, b.root, []string{"CGO_ENABLED=0"}, "go", "test", "-c", "-vet=off", "-overlay="+overlay, "-o", b.binary, ".")
	if err != nil {
		return fmt.Errorf("the mutants do not build: %w: %s", err, out)
	}
	return b.checkTable()
}

// checkTable fails if the table has what is no mutant: the code has changed.
func (b *mutantLab) checkTable() error {
	known := map[string]bool{}
	for _, m := range b.all {
		known[m.key()] = true
	}
	var stale []string
	for key := range equivalents {
		if !known[key] {
			stale = append(stale, key)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	slices.Sort(stale)
	return fmt.Errorf("the table of equivalents has what is no mutant:\n%s", strings.Join(stale, "\n"))
}

// run runs tests of the binary, with a mutant, or with 0 none.
func (b *mutantLab) run(ctx context.Context, tests []string, mutant int, reach string) (bool, []byte, error) {
	dir, err := os.MkdirTemp(b.l.dir, "mutant")
	if err != nil {
		return false, nil, err
	}
	defer removeAll(dir)
	limit := time.Minute
	if mutant > 0 {
		limit = 20 * time.Second // it may loop
	}
	for _, name := range tests {
		limit += 5 * b.took[name]
	}
	ctx, cancel := context.WithTimeout(ctx, limit+10*time.Second)
	defer cancel()
	env := []string{"TMPDIR=" + dir, mutantEnv + "=" + strconv.Itoa(mutant), reachEnv + "=" + reach}
	out, err := command(ctx, b.root, env, b.binary, "-test.short", "-test.failfast",
		"-test.timeout="+limit.String(), "-test.run=^("+strings.Join(tests, "|")+")$")
	return err == nil, out, nil
}

// record runs each test by itself, without a mutant, and notes where it comes.
// It must pass, or it would kill all mutants.
func (b *mutantLab) record(ctx context.Context) error {
	out, err := command(ctx, b.root, nil, b.binary, "-test.list=^(Test|Example|Fuzz)")
	if err != nil {
		return fmt.Errorf("no list of the tests: %w: %s", err, out)
	}
	var failed error
	tests := slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool {
		return slices.ContainsFunc(longTests, func(start string) bool { return strings.HasPrefix(name, start) })
	})
	each(ctx, tests, func(name string) {
		reached, took, err := b.reach(ctx, name)
		b.mu.Lock()
		defer b.mu.Unlock()
		failed = errors.Join(failed, err)
		b.took[name] = took
		for _, n := range reached {
			b.reached[n] = append(b.reached[n], name)
		}
	})
	return failed
}

// reach runs one test and returns the mutants that it comes to. What fails is run
// once more: here only mutants are tried, and a test that fails now and then is
// for the part "stress" to find.
func (b *mutantLab) reach(ctx context.Context, name string) (reached []int, took time.Duration, err error) {
	reached, took, err = b.reachOnce(ctx, name)
	if err != nil && ctx.Err() == nil {
		return b.reachOnce(ctx, name)
	}
	return reached, took, err
}

// reachOnce is a try of reach.
func (b *mutantLab) reachOnce(ctx context.Context, name string) (reached []int, took time.Duration, err error) {
	file := b.l.path(name)
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		return nil, 0, err
	}
	defer os.Remove(file)
	begin := time.Now()
	passed, out, err := b.run(ctx, []string{name}, 0, file)
	if err == nil && !passed {
		err = fmt.Errorf("%s fails without a mutant: %s", name, failures(out))
	}
	took = time.Since(begin)
	text, err2 := os.ReadFile(file)
	for line := range strings.FieldsSeq(string(text)) {
		n, bad := strconv.Atoi(line)
		err = errors.Join(err, bad)
		reached = append(reached, n)
	}
	return reached, took, errors.Join(err, err2)
}

// each calls fn for all items, beside one another, until the context ends.
func each[T any](ctx context.Context, items []T, fn func(T)) {
	next := make(chan T)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for item := range next {
				fn(item)
			}
		})
	}
	for _, item := range items {
		if ctx.Err() == nil {
			next <- item
		}
	}
	close(next)
	workers.Wait()
}

// try tries the mutants, in any order, until the end.
func (b *mutantLab) try(ctx context.Context, end time.Time) (tried []mutantVerdict, err error) {
	numbers := rand.New(rand.NewPCG(b.l.seed, 6)).Perm(len(b.all))
	each(ctx, numbers, func(i int) {
		m := b.all[i]
		if !end.IsZero() && (time.Now().After(end) || equivalents[m.key()] != "") {
			return
		}
		killed, bad := b.kill(ctx, i+1)
		b.mu.Lock()
		defer b.mu.Unlock()
		err = errors.Join(err, bad)
		tried = append(tried, mutantVerdict{m, killed, len(b.reached[i+1])})
	})
	return tried, errors.Join(err, ctx.Err())
}

// kill runs the tests that come to a mutant and reports whether one fails:
// first the short ones, and those that killed most so far.
func (b *mutantLab) kill(ctx context.Context, n int) (bool, error) {
	b.mu.Lock()
	cost := func(test string) time.Duration { return b.took[test] / time.Duration(1+b.kills[test]) }
	tests := slices.SortedFunc(slices.Values(b.reached[n]), func(x, y string) int { return cmp.Compare(cost(x), cost(y)) })
	b.mu.Unlock()
	for some := 8; len(tests) > 0; some *= 2 {
		batch := tests[:min(len(tests), some)]
		passed, out, err := b.run(ctx, batch, n, "")
		if err != nil {
			return false, err
		}
		if !passed {
			b.credit(out)
			return true, nil
		}
		tests = tests[len(batch):]
	}
	return false, nil
}

// credit notes which test killed.
func (b *mutantLab) credit(out []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			b.kills[name]++
		}
	}
}

// report counts the dead. A mutant that lives must be in the table, and one of
// the table must live.
func (b *mutantLab) report(tried []mutantVerdict, err error) error {
	if err != nil {
		return err
	}
	var alive, wrong []string
	killed, equal := 0, 0
	for _, v := range tried {
		known := equivalents[v.key()] != ""
		switch {
		case known && v.killed:
			wrong = append(wrong, v.String())
		case known:
			equal++
		case v.killed:
			killed++
		default:
			alive = append(alive, fmt.Sprintf("%v (%d tests come there)", v.mutant, v.tests))
		}
	}
	rest := len(tried) - equal
	b.l.figure("mutants of the range arithmetic", "%d of %d tried, %d of them equivalent; %d of %d killed (%d %%)",
		len(tried), len(b.all), equal, killed, rest, 100*killed/max(rest, 1))
	slices.Sort(alive)
	if killed == 0 {
		return errors.New("no mutant was killed: the run shows nothing")
	}
	var errs []error
	if len(wrong) > 0 {
		errs = append(errs, fmt.Errorf("not equivalent after all:\n%s", strings.Join(wrong, "\n")))
	}
	if len(alive) > 0 {
		errs = append(errs, fmt.Errorf("%d mutants live:\n%s", len(alive), strings.Join(alive, "\n")))
	}
	return errors.Join(errs...)
}
