//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"strings"
	"testing"
)

func TestColumns(t *testing.T) {
	on := func(fs, id string, file, mapped float64) cell {
		c := cell{id: id, workload: "reads", unit: "ns", fs: fs, figures: figures{osFile: {file}, region: {mapped}}}
		c.claims = []claim{c.atFileSpeed(1)}
		return c
	}
	head, lines := columns([]cell{
		{id: "P1", workload: "not of a column"},
		on("ext4", "P1", 10, 5), on("ext4", "P3", 10, 20),
		on("xfs", "P3", 10, 10), on("xfs", "P13", 10, 5),
		{id: "columns", workload: "a file system", why: "skipped: no btrfs", fs: "btrfs"},
	})
	if got, want := strings.Join(head, "|"), "id|workload|ext4|xfs"; got != want {
		t.Errorf("head %q, want %q", got, want)
	}
	want := []string{"P1|reads|2 [2..2]|", "P3|reads|0.50 [0.50..0.50] once|1 [1..1]", "P13|reads||2 [2..2]"}
	for i, line := range lines {
		if got := strings.Join(line, "|"); i >= len(want) || got != want[i] {
			t.Errorf("line %d: %q", i, got)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d lines", len(lines))
	}
}

// TestPages: a load reaches all pages, and nothing beyond, and Zipf has
// favourites.
func TestPages(t *testing.T) {
	const n = 64
	for _, zipf := range []bool{false, true} {
		seen := map[int64]int{}
		next := load{Size: n * page, Zipf: zipf, Seed: 1}.pages(0)
		for range 100_000 {
			seen[next()]++
		}
		most := 0
		for off, times := range seen {
			if off%page != 0 || off < 0 || off >= n*page {
				t.Fatalf("offset %d", off)
			}
			most = max(most, times)
		}
		if len(seen) != n || (most > 10_000) != zipf {
			t.Errorf("zipf %v: %d pages of %d, one of them %d times", zipf, len(seen), n, most)
		}
	}
}
