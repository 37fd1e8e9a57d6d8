package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// report is what bench has to say. Times are nanoseconds of one operation.
type report struct {
	Host       string             `json:"host"`
	File       string             `json:"file"`
	LoadBefore string             `json:"load_before,omitempty"` // the load averages
	LoadAfter  string             `json:"load_after,omitempty"`
	Checked    []string           `json:"checked"`
	Rows       []row              `json:"rows"`
	Verdict    map[string]verdict `json:"verdict"` // by the side that the Region is compared with
	Notes      []string           `json:"notes,omitempty"`
}

// row is a line of the table. A side that cannot do it has no times.
type row struct {
	work
	Bytes int64             `json:"bytes"`
	Times map[string]spread `json:"ns_per_operation"` // by the side
}

// spread is what the rounds of one side came to.
type spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"min"`
	High   float64 `json:"max"`
	q1, q3 float64 // where the middle half begins and ends
}

// spreadOf sorts the rounds and sums them up.
func spreadOf(rounds []float64) spread {
	slices.Sort(rounds)
	n := len(rounds)
	return spread{rounds[n/2], rounds[0], rounds[n-1], rounds[n/4], rounds[n-1-n/4]}
}

// unit says how a row shows its times.
type unit int

// The units.
const (
	perCall        unit = iota // the time of one operation
	perSecond                  // bytes in a second
	callsPerSecond             // operations in a second
)

// newReport begins a report.
func newReport(s *subject) *report {
	return &report{Host: host(), File: s.String(), LoadBefore: load(), Verdict: map[string]verdict{}}
}

// add adds a line to the table, from the times of each side's rounds.
func (r *report) add(w work, took [][]float64) {
	line := row{w, w.bytes, map[string]spread{}}
	for by, rounds := range took {
		line.Times[side(by).String()] = spreadOf(rounds)
	}
	r.Rows = append(r.Rows, line)
}

// finish draws the conclusions.
func (r *report) finish() {
	r.LoadAfter = load()
	for _, peer := range []side{osFile, expMmap} {
		r.Verdict[peer.String()] = r.verdict(peer)
	}
}

// note says once what is not in the table, and why.
func (r *report) note(what, why string) {
	if line := fmt.Sprintf("not measured: %s: %s", what, why); !slices.Contains(r.Notes, line) {
		r.Notes = append(r.Notes, line)
	}
}

// text is the report for people.
func (r *report) text(c *console) string {
	width := c.width()
	var out strings.Builder
	say := func(text string) {
		for _, line := range wrap(text, cmp.Or(width, 1<<20)) {
			fmt.Fprintln(&out, line)
		}
	}
	say(r.Host)
	say(r.File)
	if r.LoadBefore != "" {
		say("load averages: " + r.LoadBefore + " before, " + r.LoadAfter + " after" + busy(r.LoadBefore))
	}
	for _, checked := range r.Checked {
		say("same bytes, " + checked)
	}
	for _, line := range r.table(width) {
		fmt.Fprintln(&out, c.paint(map[bool]string{true: bold}[strings.HasSuffix(line, "speed")], line))
	}
	for _, peer := range []side{osFile, expMmap} {
		if lines := r.Verdict[peer.String()].lines(); lines != nil {
			fmt.Fprintf(&out, "\nBeside %s, Region is\n", peer)
			for _, line := range lines {
				say(line)
			}
		}
	}
	fmt.Fprintln(&out)
	for _, n := range r.Notes {
		say(oneLine(n))
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// busy says that a machine that does other things measures badly.
func busy(load string) string {
	first, _, _ := strings.Cut(load, " ")
	if x, err := strconv.ParseFloat(first, 64); err == nil && x > float64(runtime.NumCPU())/2 {
		return " (the machine is busy with other things: the figures are rough)"
	}
	return ""
}

// wide is from how many columns on the lowest and the highest figure stand
// beside the median, and not below it.
const wide = 112

// table returns the lines of the table, section by section.
func (r *report) table(width int) (lines []string) {
	beside := width == 0 || width >= wide
	var rows [][]string
	last := ""
	for _, w := range r.Rows {
		if w.Section != last {
			last = w.Section
			if rows != nil {
				rows = append(rows, slices.Repeat([]string{""}, len(rows[0])))
			}
			rows = append(rows, head(w.Section, beside))
		}
		rows = append(rows, w.cells(beside)...)
	}
	if rows == nil {
		return nil
	}
	for _, line := range align(rows, 0, 0) {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return append([]string{""}, lines...)
}

// head returns the head of a section.
func head(section string, beside bool) []string {
	cells := []string{section}
	for by := range side(allSides) {
		cells = append(cells, by.String())
		if beside {
			cells = append(cells, "min..max")
		}
	}
	return append(cells, "speed")
}

// cells returns a line of the table, or two where the lowest and highest
// figures stand below the median.
func (w *row) cells(beside bool) [][]string {
	first, second := []string{"  " + w.Name}, []string{""}
	for by := range side(allSides) {
		median, around := "-", ""
		if t, ok := w.Times[by.String()]; ok {
			median, around = w.unit.format(w.bytes, t.Median), w.unit.around(w.bytes, t)
		}
		first = append(first, median)
		if beside {
			first = append(first, around)
		}
		second = append(second, around)
	}
	first = append(first, ratio(w.speed(osFile)))
	if beside {
		return [][]string{first}
	}
	return [][]string{first, append(second, "")}
}

// speed returns how many times as fast as a peer the Region is, or 0.
func (w *row) speed(peer side) float64 {
	return w.Times[peer.String()].Median / w.Times[region.String()].Median
}

// format shows an operation on some bytes that took ns nanoseconds.
func (u unit) format(bytes int64, ns float64) string {
	scale, name := u.scale(ns)
	return digits(u.value(bytes, ns, scale)) + " " + name
}

// around shows the lowest and the highest figure, in the unit of the median.
func (u unit) around(bytes int64, t spread) string {
	scale, _ := u.scale(t.Median)
	low, high := u.value(bytes, t.Low, scale), u.value(bytes, t.High, scale)
	return digits(min(low, high)) + ".." + digits(max(low, high))
}

// scale returns what a figure is divided by, and the unit's name.
func (u unit) scale(ns float64) (float64, string) {
	switch {
	case u == perSecond:
		return 1, "GB/s"
	case u == callsPerSecond:
		return 1, "k/s"
	case ns < 1e3:
		return 1, "ns"
	case ns < 1e6:
		return 1e3, "µs"
	}
	return 1e6, "ms"
}

// value returns the figure for ns nanoseconds.
func (u unit) value(bytes int64, ns, scale float64) float64 {
	switch u {
	case perSecond:
		return float64(bytes) / ns
	case callsPerSecond:
		return 1e6 / ns
	}
	return ns / scale
}

// digits shows three significant digits.
func digits(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// ratio shows how many times as fast the Region is.
func ratio(x float64) string { return digits(x) + " ×" }

// verdict says in words what the table says. Each list has the works' words.
type verdict struct {
	Faster []string `json:"faster"`
	Same   []string `json:"the_same"`
	Slower []string `json:"slower"`
}

// The outcomes of a comparison.
const (
	slower = iota - 1
	same
	faster
)

// outcome compares the Region with a peer: a difference of less than a tenth is
// none, nor is one when the middle halves of the rounds overlap.
func (w *row) outcome(peer side) int {
	mine, other := w.Times[region.String()], w.Times[peer.String()]
	switch x := w.speed(peer); {
	case x > 1.1 && mine.q3 < other.q1:
		return faster
	case x < 1/1.1 && mine.q1 > other.q3:
		return slower
	}
	return same
}

// verdict compares the Region with a peer. Works of the same words that came
// out differently are named one by one.
func (r *report) verdict(peer side) (v verdict) {
	outcomes := map[string]map[int]bool{}
	var compared []row
	for _, w := range r.Rows {
		if w.speed(peer) == 0 {
			continue
		}
		compared = append(compared, w)
		if outcomes[w.words] == nil {
			outcomes[w.words] = map[int]bool{}
		}
		outcomes[w.words][w.outcome(peer)] = true
	}
	for _, w := range compared {
		words := w.words
		if len(outcomes[words]) > 1 {
			words = w.Name
			if w.Section == "cold" {
				words = "cold " + words
			}
		}
		list := map[int]*[]string{faster: &v.Faster, same: &v.Same, slower: &v.Slower}[w.outcome(peer)]
		if !slices.Contains(*list, words) {
			*list = append(*list, words)
		}
	}
	return v
}

// lines returns a line for each outcome that there was.
func (v verdict) lines() (lines []string) {
	for _, part := range []struct {
		word string
		list []string
	}{{"faster", v.Faster}, {"the same", v.Same}, {"slower", v.Slower}} {
		if part.list != nil {
			lines = append(lines, part.word+": "+strings.Join(part.list, "; "))
		}
	}
	return lines
}

// host describes the machine.
func host() string {
	return fmt.Sprintf("%s, %s, %s, %d CPUs (GOMAXPROCS %d)",
		strings.TrimSpace(runtime.GOOS+" "+kernel()), runtime.GOARCH, runtime.Version(), runtime.NumCPU(), runtime.GOMAXPROCS(0))
}

// String describes the file.
func (s *subject) String() string {
	name := oneLine(s.name)
	switch {
	case s.made:
		return fmt.Sprintf("%s, made for this: %s", name, size(s.size))
	case s.used < s.size:
		return fmt.Sprintf("%s: the first %s of %s", name, size(s.used), size(s.size))
	}
	return fmt.Sprintf("%s: %s", name, size(s.size))
}
