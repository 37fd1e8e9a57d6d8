package main

import (
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// outcome is what a suite showed.
type outcome struct {
	suite   suite
	skipped string // why it did not run
	err     error  // why it could not be built or run
	reached bool   // the control noticed that no file could be opened

	passed   int      // tests that passed in both forms
	both     []string // failed in both
	idle     int      // skipped in both
	worse    []string // passed unchanged, and not over the library
	better   []string // the other way round
	known    []string // as worse, and the suite says why
	unsteady []string // failed over the library once, and passed when repeated
	broken   []string // packages whose program fails as a whole, over the library alone
	output   map[string]string
	how      map[string]string // what those programs said

	before, after       time.Duration // the shortest run of each form
	cpuBefore, cpuAfter time.Duration // what took the processors the least
}

// compare fills in what the runs of both forms say. A test failed in a form if it
// failed in any of its runs.
func compare(o *outcome, before, after []session) {
	b, a := worst(before), worst(after)
	took, cpu := func(s session) time.Duration { return s.took }, func(s session) time.Duration { return s.cpu }
	o.before, o.after = least(before, took), least(after, took)
	o.cpuBefore, o.cpuAfter = least(before, cpu), least(after, cpu)
	o.output, o.how = a.output, a.broken
	for _, pkg := range slices.Sorted(maps.Keys(a.broken)) {
		if _, ok := b.broken[pkg]; !ok {
			o.broken = append(o.broken, pkg)
		}
	}
	names := slices.Sorted(maps.Keys(b.tests))
	for name := range a.tests {
		if b.tests[name] == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		was, is := b.tests[name], a.tests[name]
		switch {
		case was == "pass" && is == "pass":
			o.passed++
		case was == "fail" && is == "fail":
			o.both = append(o.both, name)
		case was == "skip" && is == "skip":
			o.idle++
		case is == "pass":
			o.better = append(o.better, name)
		case was == "fail" || is != "fail" && was == "":
			o.both = append(o.both, name) // one of them not reached, none passed
		case o.suite.known[name] != "":
			o.known = append(o.known, name)
		default:
			o.worse = append(o.worse, name)
		}
	}
}

// worst makes one session of several.
func worst(list []session) session {
	w := newSession()
	rank := map[string]int{"": 0, "pass": 1, "skip": 2, "fail": 3}
	for _, s := range list {
		for name, status := range s.tests {
			if rank[status] > rank[w.tests[name]] {
				w.tests[name] = status
			}
		}
		maps.Copy(w.output, s.output)
		maps.Copy(w.broken, s.broken)
	}
	return w
}

// least returns the smallest time of several sessions.
func least(list []session, of func(session) time.Duration) time.Duration {
	t := of(list[0])
	for _, s := range list[1:] {
		t = min(t, of(s))
	}
	return t
}

// failed reports whether the library is at fault, or the suite says nothing.
func (o *outcome) failed() bool {
	return o.skipped == "" && o.verdict() != "passed"
}

// verdict is what the table says.
func (o *outcome) verdict() string {
	switch {
	case o.skipped != "":
		return "not run"
	case o.err != nil:
		return "**cannot be built or run**"
	case len(o.worse) > 0:
		return fmt.Sprintf("**%d fail over the library alone**", len(o.worse))
	case len(o.broken) > 0:
		return "**a test program fails as a whole over the library alone**"
	case o.passed == 0:
		return "**no test passes**"
	case !o.reached:
		return "**the control passes: the library is not tested**"
	}
	return "passed"
}

// line is the outcome in one line.
func (o *outcome) line() string {
	s := fmt.Sprintf("%s: %s", o.suite.name, strings.Trim(o.verdict(), "*"))
	switch {
	case o.skipped != "":
		return s + ": " + firstLine(o.skipped)
	case o.err != nil:
		return s + ": " + o.err.Error()
	}
	s += fmt.Sprintf(": %d tests pass in both forms, %d fail in both, %d are skipped in both, time %s, processors %s",
		o.passed, len(o.both), o.idle, ratio(o.before, o.after), ratio(o.cpuBefore, o.cpuAfter))
	for _, w := range o.worse {
		s += "\n  fails over the library: " + w + "\n" + clip(o.output[w], 2000)
	}
	for _, k := range o.known {
		s += "\n  known: " + k + ": " + o.suite.known[k]
	}
	for _, pkg := range o.broken {
		s += "\n  the test program of " + pkg + " fails: " + clip(o.how[pkg], 2000)
	}
	for _, u := range o.unsteady {
		s += "\n  failed once and passed when repeated: " + u + "\n" + clip(o.output[u], 1000)
	}
	return s
}

// ratio is the time over the library, for 1 unchanged.
func ratio(before, after time.Duration) string {
	if before <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", after.Seconds()/before.Seconds())
}

// address is that of a server, which is nobody's business.
var address = regexp.MustCompile(`https?://\S+`)

// firstLine returns the first line of a text, without addresses.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return address.ReplaceAllString(line, "…")
}

// markdown writes the outcomes as a table, and below it what needs words.
func (o options) markdown(outcomes []outcome) string {
	form := "-quick"
	if o.full {
		form = "-full"
	}
	if o.suites != "" {
		form = "-suites " + o.suites
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Other projects' tests over this library\n\n%s, %s/%s, %s, %d processors\n\n    go -C compat run . %s -o RESULTS.md\n\n",
		time.Now().UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.NumCPU(), form)
	b.WriteString("Counted are the tests at the top, not those within them. A baseline is the suite\n" +
		"as its project has it. The times are the least of all runs of a form, of whole test\n" +
		"programs. By the clock they depend on what else uses the machine and its disk; the\n" +
		"processors' time, user and system, does so less.\n\n")
	b.WriteString("| suite | pass in both | fail in both | skipped in both | verdict | baseline, s | library, s | ratio | baseline, processor s | library, processor s | ratio |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range outcomes {
		if r.skipped != "" || r.err != nil {
			fmt.Fprintf(&b, "| %s | | | | %s | | | | | | |\n", r.suite.name, r.verdict())
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s | %.2f | %.2f | %s | %.2f | %.2f | %s |\n", r.suite.name, r.passed, len(r.both), r.idle,
			r.verdict(), r.before.Seconds(), r.after.Seconds(), ratio(r.before, r.after),
			r.cpuBefore.Seconds(), r.cpuAfter.Seconds(), ratio(r.cpuBefore, r.cpuAfter))
	}
	b.WriteString("\n## What was run, and what was exchanged\n\n")
	for _, r := range outcomes {
		fmt.Fprintf(&b, "- **%s** (%s): %s\n", r.suite.name, r.suite.source(), r.suite.about)
	}
	notes(&b, outcomes)
	return b.String()
}

// notes names the tests that are not simply passed.
func notes(b *strings.Builder, outcomes []outcome) {
	head := "\n## What needs a word\n\n"
	note := func(r outcome, what string, names []string) {
		if len(names) == 0 {
			return
		}
		b.WriteString(head)
		head = ""
		fmt.Fprintf(b, "- %s: %s: %s\n", r.suite.name, what, strings.Join(names, ", "))
	}
	for _, r := range outcomes {
		if r.skipped != "" {
			note(r, "not run", []string{firstLine(r.skipped)})
		}
		if r.err != nil {
			note(r, "cannot be built or run", []string{firstLine(r.err.Error())})
		}
		note(r, "**fails over the library alone**", r.worse)
		for _, name := range r.known {
			note(r, "fails over the library alone, for a reason that is known", []string{name + " (" + r.suite.known[name] + ")"})
		}
		why := ""
		if r.suite.unchanged != "" {
			why = " (" + r.suite.unchanged + ")"
		}
		note(r, "**programs that fail as a whole over the library alone**", r.broken)
		note(r, "fails unchanged too"+why, few(r.both))
		note(r, "failed over the library once, passed when run again by itself three times", r.unsteady)
		note(r, "fails unchanged, passes over the library", r.better)
	}
}

// few shortens a list of names.
func few(names []string) []string {
	const most = 8
	if len(names) <= most {
		return names
	}
	return append(slices.Clone(names[:most]), fmt.Sprintf("and %d more", len(names)-most))
}
