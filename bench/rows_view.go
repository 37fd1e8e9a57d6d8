//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/seed-93fed273/mmap"
)

// viewReader reads a Region by View instead of ReadAt.
type viewReader struct{ *mmap.Region }

func (v viewReader) ReadAt(p []byte, off int64) (n int, err error) {
	err = v.View(off, int64(len(p)), func(b []byte) error {
		n = copy(p, b)
		return nil
	})
	return n, err
}

// rowColdView is P25: pages of a cold file in place, beside ReadAt of them.
func rowColdView(l *lab, report func(cell)) {
	name, size := l.big()
	reads := pick(l, 8000, 2000)
	byRead, inPlace := region+".ReadAt", region
	run := func(o opener, wrap func(reader) reader) func() []float64 {
		return func() []float64 {
			l.cold(name)
			r := o.open(name)
			defer r.Close()
			t := startTicker()
			rate := randomReads(wrap(r), randomPages(l.rng(), size, reads), 64)
			late := t.stop()
			return []float64{rate / 1000, max(median(late), 0.001), max(slices.Max(late), 0.001)}
		}
	}
	same := func(r reader) reader { return r }
	entrants := []entrant{
		{osFile, run(openOSFile, same)},
		{slice, run(openEdsrzf, same)},
		{byRead, run(openRegion, same)},
		{inPlace, run(openRegion, func(r reader) reader { return viewReader{r.(*mmap.Region)} })},
	}
	got := play(pick(l, 11, 3), entrants...)
	for i, c := range []cell{
		{workload: "cold random View of 4 KiB, 64 goroutines", unit: "kIOPS",
			claims: []claim{atLeast(inPlace, byRead, 0.9), inform(inPlace, osFile)}},
		{workload: "meanwhile: median overrun of a 1 ms sleep", unit: "ms",
			claims: []claim{atMost(inPlace, byRead, 1/0.9), inform(inPlace, osFile)}},
		{workload: "meanwhile: worst overrun of a 1 ms sleep", unit: "ms",
			claims: []claim{atMost(inPlace, osFile, 1)}},
	} {
		c.id, c.order, c.figures = "P25", names(entrants), got[i]
		report(c)
	}
	rowColdChunks(l, report)
}

// chunker is a Region that shows a file piece by piece.
type chunker interface {
	ViewChunks(off, n, size, overlap int64, fn func(off int64, b []byte) error) error
}

// rowColdChunks is P25 from end to end: the file is read ahead of its reader,
// and neither the collector nor a sleeper feels it, however long it is.
func rowColdChunks(l *lab, report func(cell)) {
	if _, ok := any((*mmap.Region)(nil)).(chunker); !ok {
		panic(skip("cold ViewChunks: the library has none yet"))
	}
	name, size := l.big()
	buf := make([]byte, miB)
	run := func(o opener, read func(r reader)) func() []float64 {
		return func() []float64 {
			l.cold(name)
			r := o.open(name)
			defer r.Close()
			collection, late, took := stall(func() { read(r) }, true)
			return []float64{float64(size) / took / 1e6, collection, late}
		}
	}
	entrants := []entrant{
		{osFile, run(openOSFile, func(r reader) { sumReader(r, size, buf) })},
		{slice, run(openEdsrzf, func(r reader) { sink += sum(r.(*edsrzfMap).m) })},
		{region, run(openRegion, func(r reader) {
			must(any(r).(chunker).ViewChunks(0, mmap.ToEnd, 0, 0, func(_ int64, b []byte) error {
				sink += sum(b)
				return nil
			}))
		})},
	}
	got := play(pick(l, 9, 3), entrants...)
	for i, c := range []cell{
		{workload: fmt.Sprintf("cold ViewChunks over %s, summing", sizeName(size)), unit: "GB/s", claims: []claim{atLeast(region, osFile, 1)}},
		{workload: "the same: the longest runtime.GC beside it", unit: "ms", claims: []claim{atMost(region, "", 20), inform(region, osFile)}},
		{workload: "the same: worst overrun of a 1 ms sleep", unit: "ms", claims: []claim{atMost(region, "", 20), inform(region, osFile)}},
	} {
		c.id, c.order, c.figures = "P25", names(entrants), got[i]
		report(c)
	}
}

var _ io.ReaderAt = viewReader{}
