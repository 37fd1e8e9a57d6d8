package main

import (
	"strings"
	"testing"
)

var sample = []cell{
	{
		id: "P1", workload: "ReadAt 64 B", unit: "ns",
		order:   []string{osFile, xExp, region},
		figures: figures{osFile: {600, 600, 600}, xExp: {5, 5, 5}, region: {10, 10, 12}},
		claims:  []claim{atMost(region, xExp, 2.2), atMost(region, osFile, 0.01)},
	},
	{id: "P5", workload: "cold", claims: []claim{atLeast(region, osFile, 2)}, why: "skipped: tmpfs"},
}

func sampleLines() (lines [][]string) {
	for _, c := range sample {
		lines = append(lines, c.lines()...)
	}
	return lines
}

func TestLines(t *testing.T) {
	lines := sampleLines()
	want := []string{
		"P1|ReadAt 64 B|600 ns|x/exp 5 ns|10 ns|2 [2..2.40]|2|≤ 2.20 × x/exp|met",
		"P1|″||||0.0167 [0.0167..0.0200]|0.0167|≤ 0.0100 × os.File|short: 0.0167 of 0.0100",
		"P5|cold|||||||skipped: tmpfs",
	}
	for i, line := range lines {
		if got := strings.Join(line, "|"); got != want[i] {
			t.Errorf("line %d\n got %q\nwant %q", i, got, want[i])
		}
	}
	if got, want := tally(sample), "of 2 targets 1 are met, 0 even, 1 short"; got != want {
		t.Errorf("tally: %q, want %q", got, want)
	}
}

func TestWrite(t *testing.T) {
	var text, markdown strings.Builder
	writeText(&text, head, sampleLines())
	rows := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(rows) != 4 || !strings.Contains(rows[0], "verdict") || !strings.HasSuffix(rows[1], "met") {
		t.Errorf("text:\n%s", text.String())
	}
	writeMarkdown(&markdown, head, sampleLines())
	for i, row := range strings.Split(strings.TrimSpace(markdown.String()), "\n") {
		if i != 1 && strings.Count(row, " | ") != len(head)-1 {
			t.Errorf("row %d has not %d columns: %s", i, len(head), row)
		}
	}
}
