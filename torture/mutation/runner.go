//go:build linux

package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-93fed273/mmap/torture/internal/run"
)

// module is the library's.
const module = "github.com/seed-93fed273/mmap"

// buildEnv is for builds: no C, so that a binary needs nothing.
var buildEnv = []string{"CGO_ENABLED=0"}

// verdict is what became of a mutant.
type verdict string

const (
	killedBy   verdict = "killed"
	lives      verdict = "lives"
	notReached verdict = "not reached"
)

// test is a test of a package.
type test struct{ pkg, name string }

// result is a line of the state file: a mutant and what became of it.
type result struct {
	Mutant  name
	Verdict verdict
	By      string // the test that found it out
}

// timing is what is known of a test: how long it takes, and where it comes.
type timing struct {
	Pkg, Name string
	Took      time.Duration
	Work      time.Duration // of a processor
	Reached   []int
	Fails     string // why it does not count
}

// runner tries mutants.
type runner struct {
	o        options
	root     string
	dir      string // the state
	packages []source
	all      []mutant
	known    survivors      // as the file has them
	tests    map[int][]test // by mutant: the tests that come there
	timings  map[test]timing

	mu       sync.Mutex
	verdicts map[name]verdict
	kills    map[test]int
	results  *os.File
}

// close closes the state.
func (r *runner) close() {
	if r.results != nil {
		r.results.Close()
	}
}

// prepare makes the mutants and the test binaries, if this was not done before
// for the same code.
func (r *runner) prepare(ctx context.Context) error {
	out, err := run.Command(ctx, ".", nil, "go", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	r.root = strings.TrimSpace(string(out))
	if r.known, err = readSurvivors(r.o.survivorsFile(r.root)); err != nil {
		return err
	}
	if r.packages, err = findPackages(ctx, r.root); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	overlay := ""
	if r.all, overlay, err = mutate(ctx, r.root, r.packages, scratch); err != nil || r.o.list {
		return err
	}
	if r.dir = r.o.state; r.dir == "" {
		sum, err := r.sum()
		if err != nil {
			return err
		}
		r.dir = filepath.Join(os.TempDir(), "mmap-mutation-"+sum)
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	return errors.Join(r.build(ctx, overlay), r.resume())
}

// findPackages returns the packages of the module that its root is built from.
func findPackages(ctx context.Context, root string) (all []source, err error) {
	const format = `{{.ImportPath}} {{.Dir}} {{.Name}} {{len .TestGoFiles}}{{len .XTestGoFiles}}{{range .GoFiles}} {{.}}{{end}}`
	out, err := run.Command(ctx, root, buildEnv, "go", "list", "-deps", "-f", format, ".")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if f[0] != module && !strings.HasPrefix(f[0], module+"/") {
			continue
		}
		all = append(all, source{f[0], f[1], f[2], f[4:], f[3] != "00"})
	}
	return all, nil
}

// sum is a name for what the library and its tests are.
func (r *runner) sum() (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(r.root, func(name string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != r.root && (slices.Contains([]string{"torture", "bench", "cmd", "docs"}, d.Name()) || d.Name()[0] == '.'):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		text, err := os.ReadFile(name)
		fmt.Fprintf(h, "%s %d\n%s", strings.TrimPrefix(name, r.root), len(text), text)
		return err
	})
	for _, m := range r.all {
		fmt.Fprintln(h, m.name())
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), err
}

// binary is the test binary of a package.
func (r *runner) binary(pkg string) string {
	return filepath.Join(r.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// build builds the binaries that are not there.
func (r *runner) build(ctx context.Context, overlay string) error {
	for _, pkg := range r.packages {
		to := r.binary(pkg.path)
		if _, err := os.Stat(to); err == nil || !pkg.tests {
			continue
		}
		begin := time.Now()
		out, err := run.Command(ctx, r.root, buildEnv, "go", "test", "-c", "-vet=off", "-overlay="+overlay, "-o", to+".new", pkg.path)
		if err != nil {
			return fmt.Errorf("the mutants do not build: %w: %s", err, out)
		}
		if err := os.Rename(to+".new", to); err != nil {
			return err
		}
		fmt.Printf("built %s in %v\n", pkg.path, time.Since(begin).Round(time.Second))
	}
	return nil
}

// resume reads the results so far, and opens the file for more.
func (r *runner) resume() (err error) {
	r.results, err = os.OpenFile(filepath.Join(r.dir, "results"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	lines := json.NewDecoder(r.results)
	for {
		var one result
		if lines.Decode(&one) != nil { // the end, or a line that was interrupted
			break
		}
		r.verdicts[one.Mutant] = one.Verdict
	}
	if len(r.verdicts) > 0 {
		fmt.Printf("%d mutants were tried before\n", len(r.verdicts))
	}
	return nil
}

// outcome is what came of some tests.
type outcome struct {
	passed bool
	out    []byte
	work   time.Duration // of a processor
}

// limits are how long tests may take: by the clock, which a busy machine needs
// more of, and of a processor, which a loop uses up.
type limits struct{ took, work time.Duration }

// run runs tests of one package, with a mutant, or with 0 none.
func (r *runner) run(ctx context.Context, pkg string, names []string, mutant int, reach string, limit limits) (outcome, error) {
	dir, err := os.MkdirTemp(r.dir, "run")
	if err != nil {
		return outcome{}, err
	}
	defer run.RemoveAll(dir)
	at := slices.IndexFunc(r.packages, func(s source) bool { return s.path == pkg })
	bound, cancel := context.WithTimeout(ctx, limit.took+5*time.Second)
	defer cancel()
	env := []string{"TMPDIR=" + dir, mutantEnv + "=" + strconv.Itoa(mutant), reachEnv + "=" + reach}
	args := []string{"-c", fmt.Sprintf(`ulimit -t %.0f; exec "$@"`, limit.work.Seconds()+1), "sh", r.binary(pkg),
		"-test.short", "-test.failfast", "-test.timeout=" + limit.took.String(), "-test.run=^(" + strings.Join(names, "|") + ")$"}
	out, work, err := run.Measured(bound, r.packages[at].dir, env, "sh", args...)
	return outcome{err == nil, out, work}, ctx.Err()
}

// record runs each test by itself, without a mutant, and notes where it comes. A
// test that fails there, or takes too long, is not used.
func (r *runner) record(ctx context.Context) error {
	timings, err := r.readTimings(ctx)
	if err != nil {
		return err
	}
	r.tests, r.timings = map[int][]test{}, map[test]timing{}
	used := 0
	for _, t := range timings {
		switch id := (test{t.Pkg, t.Name}); {
		case t.Fails != "":
			fmt.Printf("not used: %s fails without a mutant: %s\n", t.Name, t.Fails)
		case t.Work > r.o.slow:
			fmt.Printf("not used: %s takes %v of a processor\n", t.Name, t.Work.Round(time.Millisecond))
		default:
			used++
			r.timings[id] = t
			for _, n := range t.Reached {
				r.tests[n] = append(r.tests[n], id)
			}
		}
	}
	fmt.Printf("%d mutants, %d tests; tests come to %d mutants\n", len(r.all), used, len(r.tests))
	return nil
}

// readTimings returns what is known of each test, from the state if it is there.
func (r *runner) readTimings(ctx context.Context) (all []timing, err error) {
	file := filepath.Join(r.dir, "tests")
	if text, err := os.ReadFile(file); err == nil {
		return all, json.Unmarshal(text, &all)
	}
	begin := time.Now()
	for _, pkg := range r.packages {
		if !pkg.tests {
			continue
		}
		out, err := run.Command(ctx, pkg.dir, nil, r.binary(pkg.path), "-test.list=^(Test|Example|Fuzz)")
		if err != nil {
			return nil, fmt.Errorf("no list of the tests: %w: %s", err, out)
		}
		for _, name := range strings.Fields(string(out)) {
			all = append(all, timing{Pkg: pkg.path, Name: name})
		}
	}
	err = each(ctx, r.o.jobs, len(all), func(i int) error { return r.time(ctx, &all[i]) })
	if err != nil {
		return nil, err
	}
	fmt.Printf("ran each test by itself in %v\n", time.Since(begin).Round(time.Second))
	text, err := json.Marshal(all)
	return all, errors.Join(err, os.WriteFile(file, text, 0o644))
}

// time runs one test. What fails is run once more: a test that fails now and
// then is not what is looked for here.
func (r *runner) time(ctx context.Context, t *timing) error {
	file := filepath.Join(r.dir, "reached-"+t.Name)
	defer os.Remove(file)
	for range 2 {
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			return err
		}
		begin := time.Now()
		o, err := r.run(ctx, t.Pkg, []string{t.Name}, 0, file, limits{5 * time.Minute, 5 * time.Minute})
		if err != nil {
			return err
		}
		t.Took, t.Work, t.Fails = time.Since(begin), o.work, ""
		if o.passed {
			break
		}
		t.Fails = run.Failures(o.out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(line); err == nil {
			t.Reached = append(t.Reached, n)
		}
	}
	return nil
}

// chosen returns the mutants that are to be tried.
func (r *runner) chosen() (some []mutant) {
	for _, m := range r.all {
		if r.o.only.MatchString(fmt.Sprintf("%s: %s #%d", m.Function, m.Operator, m.Ordinal)) {
			some = append(some, m)
		}
	}
	if n := r.o.sample; n > 0 && n < len(some) {
		rng := rand.New(rand.NewPCG(r.o.seed, 6))
		rng.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		some = some[:n]
	}
	return some
}

// tryAll tries the chosen mutants that were not tried before, and says now and
// then how far it is.
func (r *runner) tryAll(ctx context.Context) error {
	number := map[name]int{}
	for i, m := range r.all {
		number[m.name()] = i + 1
	}
	var todo []mutant
	for _, m := range r.chosen() {
		switch {
		case r.verdicts[m.name()] != "":
		case r.o.trust && strings.HasPrefix(r.known[m.name()], equal):
			r.verdicts[m.name()] = lives
		default:
			todo = append(todo, m)
		}
	}
	begin, done := time.Now(), 0
	return each(ctx, r.o.jobs, len(todo), func(i int) error {
		one := result{Mutant: todo[i].name()}
		var err error
		if one.Verdict, one.By, err = r.try(ctx, number[one.Mutant]); err != nil {
			return err
		}
		line, err := json.Marshal(one)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.verdicts[one.Mutant] = one.Verdict
		if one.Verdict == lives {
			fmt.Println("lives:", todo[i])
		}
		if done++; done%50 == 0 {
			took := time.Since(begin)
			fmt.Printf("%d of %d tried in %v, about %v to go\n", done, len(todo), took.Round(time.Second),
				(took / time.Duration(done) * time.Duration(len(todo)-done)).Round(time.Minute))
		}
		_, err = r.results.Write(append(line, '\n'))
		return err
	})
}

// try runs the tests that come to mutant n, until one fails: first the short
// ones, and those that found many so far.
func (r *runner) try(ctx context.Context, n int) (v verdict, by string, err error) {
	tests := slices.Clone(r.tests[n])
	if len(tests) == 0 {
		return notReached, "", nil
	}
	r.mu.Lock()
	cost := func(t test) time.Duration { return r.timings[t].Took / time.Duration(1+r.kills[t]) }
	slices.SortStableFunc(tests, func(a, b test) int { return cmp.Compare(cost(a), cost(b)) })
	r.mu.Unlock()
	for some := 6; len(tests) > 0; some *= 2 {
		batch := tests[:min(len(tests), some)]
		tests = tests[len(batch):]
		for _, pkg := range r.packages {
			names, limit := r.batch(batch, pkg.path)
			if len(names) == 0 {
				continue
			}
			o, err := r.run(ctx, pkg.path, names, n, "", limit)
			if err != nil {
				return "", "", err
			}
			if !o.passed {
				return killedBy, r.credit(pkg.path, o.out), nil
			}
		}
	}
	return lives, "", nil
}

// batch returns the tests of one package, and how long they may take with a
// mutant in the code, which may loop or wait for ever.
func (r *runner) batch(tests []test, pkg string) (names []string, limit limits) {
	limit = limits{45 * time.Second, 10 * time.Second}
	for _, t := range tests {
		if t.pkg == pkg {
			names = append(names, t.name)
			limit.took += 10 * r.timings[t].Took
			limit.work += 5 * r.timings[t].Work
		}
	}
	return names, limit
}

// credit notes which test found a mutant out, and returns its name.
func (r *runner) credit(pkg string, out []byte) string {
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "--- FAIL: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			r.mu.Lock()
			defer r.mu.Unlock()
			r.kills[test{pkg, name}]++
			return name
		}
	}
	return "a crash, or no end"
}

// each calls fn for all numbers below n, some at a time, until one fails or the
// context ends.
func each(ctx context.Context, jobs, n int, fn func(i int) error) error {
	var mu sync.Mutex
	var failed error
	next := 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if next == n || failed != nil || ctx.Err() != nil {
			return -1
		}
		next++
		return next - 1
	}
	var workers sync.WaitGroup
	for range max(jobs, 1) {
		workers.Go(func() {
			for i := take(); i >= 0; i = take() {
				if err := fn(i); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(failed, ctx.Err())
}
