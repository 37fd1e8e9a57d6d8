//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"slices"
	"strings"
)

// row is what is measured together. Its ids are those of the project's table
// of performance targets.
type row struct {
	ids      []string
	workload string
	run      func(l *lab, report func(cell))
}

// rows are all rows, in the order of the table.
var rows = []row{
	{[]string{"P1"}, "ReadAt 64 B, one goroutine", rowSmallReads},
	{[]string{"P2"}, "ReadAt 64 B on all cores", rowParallelReads},
	{[]string{"P3"}, "ReadAt by size, pages mapped", rowReadSizes},
	{[]string{"P4"}, "View over everything, summing", rowViewSum},
	{[]string{"P5", "P6"}, "cold random 4 KiB ReadAt, 64 goroutines", rowColdParallel},
	{[]string{"P7"}, "cold random 4 KiB ReadAt, one goroutine", rowColdSingle},
	{[]string{"P8"}, "cold random 4 KiB in known batches of 64", rowColdBatches},
	{[]string{"P9"}, "cold sequential", rowColdSequential},
	{[]string{"P10"}, "first pass over a hot file", rowFirstPass},
	{[]string{"P11"}, "open, read 4 KiB, close", rowOpenRead},
	{[]string{"P12"}, "open and close without reading", rowOpenClose},
	{[]string{"P13"}, "WriteAt 8 B at random", rowSmallWrites},
	{[]string{"P14"}, "WriteAt 1 MiB over existing pages", rowLargeWrites},
	{[]string{"P15"}, "writing a new file", rowNewFile},
	{[]string{"P16"}, "Flush", rowFlush},
	{[]string{"P17"}, "io.Copy to a TCP socket", rowSocket},
	{[]string{"P18"}, "http.ServeContent", rowServeContent},
	{[]string{"P19"}, "io.Copy between files", rowCopyFiles},
	{[]string{"P20"}, "a page that takes seconds to arrive", rowSlowPage},
	{[]string{"P20"}, "pages evicted since they were read", rowEvicted},
	{[]string{"P21"}, "allocations", rowAllocations},
	{[]string{"P22"}, "a store that must wait", rowFrozenStore},
	{[]string{"P23"}, "one ReadAt of a large file beside the collector", rowLongRead},
	{[]string{"P24"}, "a file larger than memory", rowLargerThanMemory},
	{[]string{"P25"}, "cold View", rowColdView},
	{[]string{"P26"}, "WriteAt 8 B at random from the first on", rowLearning},
	{[]string{"P27"}, "io.Copy from a Region to a Region", rowCopyRegions},
	{[]string{"P28"}, "a hot working set with SetResidentLimit", rowResidentLimit},
	{[]string{"P29"}, "sandboxes and old kernels", rowSandbox},
	{[]string{"P30"}, "real programs", rowPrograms},
	{[]string{"FS"}, "other file systems", rowFileSystems},
}

// chooseRows finds the rows that the list names; all of them for "".
func chooseRows(list string) ([]row, error) {
	if list == "" {
		return rows, nil
	}
	var chosen []row
	for _, id := range strings.Split(list, ",") {
		id = strings.ToUpper(strings.TrimSpace(id))
		found := false
		for _, r := range rows {
			if !slices.Contains(r.ids, id) {
				continue
			}
			found = true
			if !slices.ContainsFunc(chosen, func(have row) bool { return have.workload == r.workload }) {
				chosen = append(chosen, r)
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no row %q", id)
		}
	}
	return chosen, nil
}

// skip is the panic value that ends a row which cannot be measured here, and
// says why.
type skip string

// failure is the panic value that ends a row which went wrong.
type failure struct{ err error }

// must ends the row when err is not nil. Measured code is full of calls that
// cannot fail but for a broken machine; this keeps it readable.
func must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// must1 is must for calls with one result.
func must1[T any](v T, err error) T {
	must(err)
	return v
}

// entrant is one contestant of a row: run does one round and returns its
// figures.
type entrant struct {
	name string
	run  func() []float64
}

// one makes an entrant with a single figure a round.
func one(name string, run func() float64) entrant {
	return entrant{name, func() []float64 { return []float64{run()} }}
}

// only are the entrants that take part, by a part of their names; all when
// empty.
var only []string

// takePart leaves out who is not asked for.
func takePart(entrants []entrant) (in []entrant) {
	for _, e := range entrants {
		if len(only) == 0 || slices.ContainsFunc(only, func(name string) bool { return strings.Contains(e.name, name) }) {
			in = append(in, e)
		}
	}
	return in
}

// maxRounds bounds how many rounds are played; 0 does not.
var maxRounds int

// play lets the entrants take turns for a number of rounds, and returns their
// figures by kind. Who begins changes every round, and every other round goes
// backwards, so that nobody always comes second to a cache that another one
// filled, or to a disk that it made busy.
func play(rounds int, entrants ...entrant) []figures {
	entrants = takePart(entrants)
	if len(entrants) == 0 {
		panic(skip("none of these entrants"))
	}
	if maxRounds > 0 {
		rounds = min(rounds, maxRounds)
	}
	var kinds []figures
	for round := range rounds {
		for i := range entrants {
			at := round + i
			if round%2 == 1 {
				at = round + len(entrants) - i
			}
			e := entrants[at%len(entrants)]
			for kind, v := range e.run() {
				if kind == len(kinds) {
					kinds = append(kinds, figures{})
				}
				kinds[kind][e.name] = append(kinds[kind][e.name], v)
			}
		}
	}
	return kinds
}

// names lists the entrants.
func names(entrants []entrant) (out []string) {
	for _, e := range entrants {
		out = append(out, e.name)
	}
	return out
}
