//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	edsrzfmmap "github.com/edsrzf/mmap-go"
	"github.com/seed-93fed273/mmap"
)

// stall runs op in a goroutine, a moment later a collection, and returns by
// how much the collection and a sleeper took longer than they should, both in
// milliseconds, and how long op took.
func stall(op func()) (collection, late, took float64) {
	runtime.GC()
	t := startTicker()
	begun, done := make(chan bool), make(chan float64)
	go func() {
		close(begun)
		begin := time.Now()
		op()
		done <- ms(time.Since(begin))
	}()
	<-begun
	time.Sleep(5 * time.Millisecond)
	begin := time.Now()
	runtime.GC()
	collection = ms(time.Since(begin))
	took = <-done
	return collection, slices.Max(t.stop()), took
}

// rowLongRead is P23.
func rowLongRead(l *lab, report func(cell)) {
	name, size := l.big()
	rs := openReaders(name, size)
	defer rs.close()
	p := make([]byte, size)
	for i := 0; i < len(p); i += page {
		p[i] = 1 // the buffer's own first touches are not what is measured
	}
	run := func(r reader) func() []float64 {
		return func() []float64 {
			collection, late, _ := stall(func() { must1(r.ReadAt(p, 0)) })
			return []float64{collection, late}
		}
	}
	entrants := []entrant{{osFile, run(rs.f)}, {xExp, run(rs.x)}, {region, run(rs.r)}}
	got := play(pick(l, 9, 5), entrants...)
	report(cell{
		id: "P23", workload: "one ReadAt of " + sizeName(size) + ": runtime.GC beside it", unit: "ms", order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, "", 20)},
	})
	report(cell{
		id: "P23", workload: "the same: worst overrun of a 1 ms sleep", unit: "ms", order: names(entrants), figures: got[1],
		claims: []claim{inform(region, osFile)},
	})
}

// rowSlowPage is P20: a page of a FUSE file that comes after seconds.
func rowSlowPage(l *lab, report func(cell)) {
	rounds := pick(l, 3, 1)
	wait := pick(l, 3*time.Second, time.Second)
	fs := mountSlowFS(l, wait)
	defer fs.unmount()
	next := 0
	file := func() string { // a file whose slow page nobody has read
		next++
		return fs.file(next)
	}
	warmUp := func(r reader) { // until it is mapped, and knows its first pages
		for range 16 {
			must1(r.ReadAt(make([]byte, page), 0))
		}
	}
	run := func(o opener, read func(r reader)) func() []float64 {
		return func() []float64 {
			r := o.open(file())
			defer r.Close()
			warmUp(r)
			collection, late, took := stall(func() { read(r) })
			if took < ms(wait)/2 {
				panic(failure{fmt.Errorf("the slow page came after %.1f ms", took)})
			}
			return []float64{collection, late}
		}
	}
	readAt := func(r reader) { must1(r.ReadAt(make([]byte, 64), slowAt)) }
	byView := region + ".View"
	entrants := []entrant{
		{osFile, run(openOSFile, readAt)},
		{xExp, run(openXExp, readAt)},
		{region, run(openRegion, readAt)},
		{byView, run(openRegion, func(r reader) {
			must(r.(*mmap.Region).View(slowAt, 64, func(b []byte) error { sink += sum(b); return nil }))
		})},
	}
	got := play(rounds, entrants...)
	report(cell{
		id: "P20", workload: fmt.Sprintf("a page that takes %v to arrive: runtime.GC beside it", wait), unit: "ms",
		order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, "", 10), atMost(byView, "", 10)},
	})
	report(cell{
		id: "P20", workload: "the same: worst overrun of a 1 ms sleep", unit: "ms", order: names(entrants), figures: got[1],
		claims: []claim{atMost(region, "", 10), atMost(byView, "", 10)},
	})
}

// rowFrozenStore is P22: WriteAt to a file system that is frozen meanwhile.
// Judged is a page that was written long ago. A page written within the last
// second, by which a Region knows pages to be writable, is shown beside it.
func rowFrozenStore(l *lab, report func(cell)) {
	wait := pick(l, 3*time.Second, time.Second)
	fs := mountFreezable(l)
	defer fs.unmount()
	name := fs.path("file")
	writeFile(name, 4*miB, miB)
	p := []byte("8 bytes!")
	run := func(open func() writer, settle time.Duration) func() []float64 {
		return func() []float64 {
			w := open()
			defer w.Close()
			for range 4 { // a page it knows
				must1(w.WriteAt(p, 0))
			}
			time.Sleep(settle)
			thawed := fs.freeze(wait)
			defer thawed()
			collection, late, took := stall(func() { must1(w.WriteAt(p, 0)) })
			if took < ms(wait)/2 {
				panic(failure{fmt.Errorf("the store took %.1f ms: nothing was frozen", took)})
			}
			return []float64{collection, late}
		}
	}
	const longAgo = 2500 * time.Millisecond
	justNow := region + ", written just before"
	openRegionWriter := func() writer { return openRegionRW(name) }
	entrants := []entrant{
		{osFile, run(func() writer { return must1(os.OpenFile(name, os.O_RDWR, 0)) }, 0)},
		{edsrzf, run(func() writer { return mapEdsrzf(name, edsrzfmmap.RDWR) }, 0)},
		{region, run(openRegionWriter, longAgo)},
		{justNow, run(openRegionWriter, 0)},
	}
	got := play(pick(l, 3, 1), entrants...)
	report(cell{
		id: "P22", workload: fmt.Sprintf("a store that waits %v for a frozen file system: runtime.GC beside it", wait), unit: "ms",
		order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, "", 20), inform(justNow, "")},
	})
	report(cell{
		id: "P22", workload: "the same: worst overrun of a 1 ms sleep", unit: "ms", order: names(entrants), figures: got[1],
		claims: []claim{inform(region, osFile)},
	})
}
