//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-93fed273/mmap"
)

// rowColdParallel is P5 and P6: how many cold pages a second many goroutines
// get, and by how much a goroutine that has nothing to do with them oversleeps
// meanwhile. The C program has threads instead, all in the kernel at once: what
// the disk can give.
func rowColdParallel(l *lab, report func(cell)) {
	name, size := l.big()
	reads := pick(l, 8000, 2000)
	over := map[string]series{}
	var entrants []entrant
	for _, o := range openers {
		entrants = append(entrants, entrant{o.name, func() []float64 {
			l.cold(name)
			r := o.open(name)
			defer r.Close()
			offs := randomPages(l.rng(), size, reads)
			t := startTicker()
			rate := randomReads(r, offs, 64)
			late := t.stop()
			over[o.name] = append(over[o.name], late...)
			again := randomReads(r, slices.Repeat(offs, 8), 64)
			return []float64{rate / 1000, max(slices.Max(late), 0.001), again / 1000}
		}})
	}
	if c := l.reference(); c != nil {
		entrants = append(entrants, entrant{cProg, func() []float64 {
			l.cold(name)
			rate := perSecond(c.random(name, reads, 64, l.rng().Uint32()), reads) / 1000
			return []float64{rate, math.NaN(), math.NaN()}
		}})
	}
	got := play(pick(l, 11, 5), entrants...)
	got[0][allPeer] = got[0].best(true, xExp, edsrzf)
	report(cell{
		id: "P5", workload: "cold random 4 KiB ReadAt, 64 goroutines", unit: "kIOPS", order: names(entrants), figures: got[0],
		claims: []claim{atLeast(region, osFile, 2), atLeast(region, allPeer, 2.5), inform(region, cProg)},
	})
	report(cell{
		id: "P6", workload: "meanwhile: worst overrun of a 1 ms sleep", unit: "ms", order: names(entrants[:len(openers)]), figures: got[1],
		claims: []claim{atMost(region, osFile, 1)},
	})
	report(cell{
		id: "P5", workload: "the same pages again, eight times", unit: "kIOPS", order: names(entrants[:len(openers)]), figures: got[2],
		claims: []claim{atLeast(region, osFile, 1)},
	})
	if l.draws {
		l.plotTicker(over)
		l.plotConcurrency(name, size)
	}
}

// rowEvicted is P20 for the pages of a disk, many at once: those that a Region
// knows from before, and that the system has taken away since, longer ago than
// a Region believes in a page. No memory of them was touched, so that they can
// be taken.
func rowEvicted(l *lab, report func(cell)) {
	name, size := l.big()
	const longAgo = 2500 * time.Millisecond
	reads := pick(l, 4000, 1000)
	buf := make([]byte, miB)
	run := func(o opener, settle time.Duration) func() []float64 {
		return func() []float64 {
			r := o.open(name)
			defer r.Close()
			readThrough(r, size, buf)
			l.cold(name)
			time.Sleep(settle)
			t := startTicker()
			rate := randomReads(r, randomPages(l.rng(), size, reads), 64)
			return []float64{rate / 1000, max(slices.Max(t.stop()), 0.001)}
		}
	}
	entrants := []entrant{{osFile, run(openOSFile, 0)}, {region, run(openRegion, longAgo)}}
	got := play(pick(l, 5, 2), entrants...)
	report(cell{
		id: "P20", workload: "cold random 4 KiB ReadAt, 64 goroutines, of pages evicted since they were read", unit: "kIOPS", order: names(entrants), figures: got[0],
		claims: []claim{atLeast(region, osFile, 1)},
	})
	report(cell{
		id: "P20", workload: "the same, of evicted pages: worst overrun of a 1 ms sleep", unit: "ms", order: names(entrants), figures: got[1],
		claims: []claim{atMost(region, osFile, 1)},
	})
}

// plotTicker draws how late the sleeper of P6 was, from the median on.
func (l *lab) plotTicker(over map[string]series) {
	for _, o := range openers {
		for q := 0.5; q < 0.9995; q += 0.0025 {
			l.point("ticker", o.name, 100*q, max(quantile(over[o.name], q), 0.01))
		}
	}
}

// plotConcurrency draws cold reads a second by the number of goroutines.
func (l *lab) plotConcurrency(name string, size int64) {
	reads := pick(l, 4000, 1000)
	for _, g := range []int{1, 4, 16, 64, 256} {
		for _, o := range openers {
			got := play(pick(l, 3, 1), one(o.name, func() float64 {
				l.cold(name)
				r := o.open(name)
				defer r.Close()
				return randomReads(r, randomPages(l.rng(), size, reads*min(g, 8)/8), g) / 1000
			}))
			l.point("concurrency", o.name, float64(g), median(got[0][o.name]))
		}
	}
}

// randomReads reads the pages at offs with n goroutines and returns how many a
// second.
func randomReads(r io.ReaderAt, offs []int64, n int) float64 {
	var next atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range n {
		wg.Go(func() {
			p := make([]byte, page)
			for i := next.Add(1) - 1; i < int64(len(offs)); i = next.Add(1) - 1 {
				if _, err := r.ReadAt(p, offs[i]); err != nil {
					panic(failure{err})
				}
			}
		})
	}
	wg.Wait()
	return perSecond(time.Since(begin), len(offs))
}

// randomPages returns the offsets of n pages of size bytes.
func randomPages(rng *rand.Rand, size int64, n int) []int64 {
	offs := make([]int64, n)
	for i := range offs {
		offs[i] = rng.Int64N(size/page) * page
	}
	return offs
}

// rowColdSingle is P7.
func rowColdSingle(l *lab, report func(cell)) {
	name, size := l.big()
	reads := pick(l, 1000, 800)
	var entrants []entrant
	for _, o := range openers {
		entrants = append(entrants, one(o.name, func() float64 {
			l.cold(name)
			r := o.open(name)
			defer r.Close()
			return randomReads(r, randomPages(l.rng(), size, reads), 1) / 1000
		}))
	}
	got := play(pick(l, 11, 7), entrants...)
	report(cell{
		id: "P7", workload: "cold random 4 KiB ReadAt, one goroutine", unit: "kIOPS", order: names(entrants), figures: got[0],
		claims: []claim{atLeast(region, osFile, 1), inform(region, xExp)},
	})
}

// rowColdBatches is P8: the reader knows its next 64 places, and says so.
func rowColdBatches(l *lab, report func(cell)) {
	name, size := l.big()
	reads := pick(l, 12_800, 1280)
	const batch = 64
	run := func(o opener, ahead func(r reader, offs []int64)) func() float64 {
		return func() float64 {
			l.cold(name)
			r := o.open(name)
			defer r.Close()
			offs, p := randomPages(l.rng(), size, reads), make([]byte, page)
			begin := time.Now()
			for part := range slices.Chunk(offs, batch) {
				ahead(r, part)
				for _, off := range part {
					must1(r.ReadAt(p, off))
				}
			}
			return perSecond(time.Since(begin), reads) / 1000
		}
	}
	spans := make([]mmap.Span, batch)
	entrants := []entrant{
		one(osFile, run(openOSFile, func(reader, []int64) {})),
		one(xExp, run(openXExp, func(reader, []int64) {})),
		one(region, run(openRegion, func(r reader, offs []int64) {
			for i, off := range offs {
				spans[i] = mmap.Span{Off: off, Len: page}
			}
			must(r.(*mmap.Region).Prefetch(spans[:len(offs)]...))
		})),
	}
	got := play(pick(l, 7, 5), entrants...)
	report(cell{
		id: "P8", workload: "cold random 4 KiB in batches of 64: Prefetch, ReadAt", unit: "kIOPS", order: names(entrants), figures: got[0],
		claims: []claim{atLeast(region, osFile, 4)},
	})
}

// rowColdSequential is P9, with ReadAt and with one View.
func rowColdSequential(l *lab, report func(cell)) {
	name, size := l.big()
	buf := make([]byte, miB)
	run := func(o opener, read func(r reader)) func() float64 {
		return func() float64 {
			l.cold(name)
			r := o.open(name)
			defer r.Close()
			begin := time.Now()
			read(r)
			return gbPerSecond(time.Since(begin), size)
		}
	}
	var entrants []entrant
	for _, o := range openers {
		entrants = append(entrants, one(o.name, run(o, func(r reader) { readThrough(r, size, buf) })))
	}
	got := play(pick(l, 9, 5), entrants...)
	report(cell{
		id: "P9", workload: "cold sequential 1 MiB ReadAt over " + sizeName(size), unit: "GB/s", order: names(entrants), figures: got[0],
		claims: []claim{atLeast(region, osFile, 1)},
	})
	entrants = []entrant{
		one(osFile, run(openOSFile, func(r reader) { sumReader(r, size, buf) })),
		one(slice, run(openEdsrzf, func(r reader) { sink += sum(r.(*edsrzfMap).m) })),
		one(region, run(openRegion, func(r reader) { sumView(r.(*mmap.Region)) })),
	}
	got = play(pick(l, 9, 5), entrants...)
	report(cell{
		id: "P9", workload: fmt.Sprintf("cold View over %s, summing", sizeName(size)), unit: "GB/s", order: names(entrants), figures: got[0],
		claims: []claim{atLeast(region, osFile, 1)},
	})
}
