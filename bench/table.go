package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The entrants, as the table names them.
const (
	osFile  = "os.File"
	bufIO   = "bufio"
	xExp    = "x/exp"
	edsrzf  = "edsrzf"
	cProg   = "C"
	slice   = "raw slice"
	region  = "Region"
	allPeer = "best peer" // of x/exp and edsrzf, round by round
)

// cell is one workload, measured: a row of PERF has one or several.
type cell struct {
	id       string
	workload string
	unit     string   // of the figures
	order    []string // the entrants shown
	figures  figures
	claims   []claim
	why      string // why it was skipped, or how it failed; "" when measured
	fs       string // the file system, of a cell in the table of these
}

// head are the columns of the table.
var head = []string{"id", "workload", osFile, "peers and references", region, "ratio, median [its uncertainty]", "best by best", "target", "verdict"}

// lines lays a cell out: one line a claim, the figures on the first.
func (c cell) lines() [][]string {
	if c.why != "" {
		return [][]string{{c.id, c.workload, "", "", "", "", "", "", c.why}}
	}
	var peers []string
	for _, name := range c.order {
		if name != osFile && name != region && len(c.figures[name]) > 0 {
			peers = append(peers, name+" "+c.figure(name))
		}
	}
	first := []string{c.id, c.workload, c.figure(osFile), strings.Join(peers, ", "), c.figure(region)}
	claims := c.claims
	if len(claims) == 0 {
		claims = []claim{{num: region}}
	}
	var out [][]string
	for _, cl := range claims {
		j := cl.judge(c.figures, c.small())
		ratio := fmt.Sprintf("%s [%s..%s]", short(j.mid), short(j.low), short(j.high))
		out = append(out, append(first, ratio, short(j.best), cl.target(), j.verdict()))
		first = []string{c.id, "″", "", "", ""}
	}
	return out
}

// small reports whether small figures are good: those of time, and bare counts.
func (c cell) small() bool {
	switch c.unit {
	case "ns", "µs", "ms", "":
		return true
	}
	return false
}

// figure is an entrant's median with its unit; empty when it took no part.
func (c cell) figure(name string) string {
	s, ok := c.figures[name]
	if !ok {
		return ""
	}
	return strings.TrimSpace(short(median(s)) + " " + c.unit)
}

// tally counts the targets of the cells by verdict.
func tally(cells []cell) string {
	count := map[string]int{}
	all := 0
	for _, c := range cells {
		for _, cl := range c.claims {
			if cl.op == "" || c.why != "" {
				continue
			}
			word, _, _ := strings.Cut(cl.judge(c.figures, c.small()).verdict(), ":")
			count[word]++
			all++
		}
	}
	text := fmt.Sprintf("of %d targets %d are met, %d even, %d short", all, count["met"], count["even"], count["short"])
	if n := count["once"]; n > 0 {
		text += fmt.Sprintf(", %d missed in the only round", n)
	}
	return text
}

// writeText writes the lines under head, in columns for a terminal.
func writeText(w io.Writer, head []string, lines [][]string) {
	width := make([]int, len(head))
	for _, line := range append([][]string{head}, lines...) {
		for i, s := range line {
			width[i] = max(width[i], utf8.RuneCountInString(s))
		}
	}
	for _, line := range append([][]string{head}, lines...) {
		var b strings.Builder
		for i, s := range line {
			b.WriteString(s)
			b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(s)+2))
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// measured is a cell's figures, for programs.
type measured struct {
	ID, Workload, Unit, Why string
	Order                   []string
	Figures                 figures
}

// measurements are those of the entrants that the cells show.
func measurements(cells []cell) (out []measured) {
	for _, c := range cells {
		m := measured{c.id, c.workload, c.unit, c.why, nil, figures{}}
		for _, name := range c.order {
			if s := c.figures[name]; len(s) > 0 {
				m.Order = append(m.Order, name)
				m.Figures[name] = s
			}
		}
		out = append(out, m)
	}
	return out
}

// writeMarkdown writes the lines under head as a table of Markdown.
func writeMarkdown(w io.Writer, head []string, lines [][]string) {
	row := func(line []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(line, " | ")) }
	row(head)
	fmt.Fprintln(w, "|"+strings.Repeat("---|", len(head)))
	for _, line := range lines {
		row(line)
	}
}
