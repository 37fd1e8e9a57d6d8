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

// stall runs op in a goroutine, a moment later a collection, or one after the
// other until op ends, and returns how long the longest collection took, by how
// much a sleeper overslept, and how long op took, all in milliseconds.
func stall(op func(), again bool) (collection, late, took float64) {
	runtime.GC()
	t := startTicker()
	begun, done := make(chan bool), make(chan float64, 1)
	go func() {
		close(begun)
		begin := time.Now()
		op()
		done <- ms(time.Since(begin))
	}()
	<-begun
	for took == 0 {
		time.Sleep(5 * time.Millisecond)
		begin := time.Now()
		runtime.GC()
		collection = max(collection, ms(time.Since(begin)))
		if !again {
			took = <-done
			continue
		}
		select {
		case took = <-done:
		default:
		}
	}
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
			collection, late, _ := stall(func() { must1(r.ReadAt(p, 0)) }, false)
			return []float64{collection, late}
		}
	}
	own := must1(mmap.OpenFile(name, os.O_RDONLY, 0, &mmap.Options{Private: true}))
	defer own.Close()
	readThrough(own, size, make([]byte, miB))
	private := "private " + region // whose bytes no descriptor has
	entrants := []entrant{{osFile, run(rs.f)}, {xExp, run(rs.x)}, {region, run(rs.r)}, {private, run(own)}}
	got := play(pick(l, 9, 5), entrants...)
	report(cell{
		id: "P23", workload: "one ReadAt of " + sizeName(size) + ": runtime.GC beside it", unit: "ms", order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, "", 20), atMost(private, "", 20)},
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
	warmUp := func(r reader) { // until it is mapped, and knows its first pages
		for range 16 {
			must1(r.ReadAt(make([]byte, page), 0))
		}
	}
	run := func(o opener, read func(r reader)) func() []float64 {
		return func() []float64 {
			r := o.open(fs.file())
			defer r.Close()
			warmUp(r)
			collection, late, took := stall(func() { read(r) }, false)
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
	fs := mountOwn(l)
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
			collection, late, took := stall(func() { must1(w.WriteAt(p, 0)) }, false)
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
	rowThrottledStores(l, fs, report)
}

// rowThrottledStores is P22 for a file system that may have few dirty pages:
// whoever makes one more dirty has to wait until the disk has taken some. Each
// page is written three times, so that a Region comes to store to it.
func rowThrottledStores(l *lab, fs *ownFS, report func(cell)) {
	name, size := fs.path("throttled"), int64(64*miB)
	writeFile(name, size, miB)
	fs.throttle(4 * miB)
	long := pick(l, 2*time.Second, time.Second)
	p := []byte("8 bytes!")
	var entrants []entrant
	for _, o := range writeOpeners {
		entrants = append(entrants, entrant{o.name, func() []float64 {
			syncFile(name)
			w := o.open(name)
			defer w.Close()
			pages := l.rng().Perm(int(size / page))
			written := 0
			collection, late, _ := stall(func() {
				for begin := time.Now(); time.Since(begin) < long; written++ {
					for range 3 {
						must1(w.WriteAt(p, int64(pages[written%len(pages)])*page))
					}
				}
			}, true)
			return []float64{collection, late, float64(written) / long.Seconds()}
		}})
	}
	got := play(pick(l, 5, 1), entrants...)
	report(cell{
		id: "P22", workload: fmt.Sprintf("stores to page after page for %v, throttled: the longest runtime.GC beside them", long), unit: "ms",
		order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, "", 20), inform(region, osFile)},
	})
	report(cell{
		id: "P22", workload: "the same: worst overrun of a 1 ms sleep", unit: "ms", order: names(entrants), figures: got[1],
		claims: []claim{inform(region, osFile)},
	})
	report(cell{
		id: "P22", workload: "the same: pages", unit: "a second", order: names(entrants), figures: got[2],
		claims: []claim{inform(region, osFile)},
	})
}
