//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bytes"
	"os"
	"runtime"
	"time"

	edsrzfmmap "github.com/edsrzf/mmap-go"
	"github.com/seed-93fed273/mmap"
	"golang.org/x/sys/unix"
)

// rowOpenRead is P11.
func rowOpenRead(l *lab, report func(cell)) {
	name := l.file(4*kiB, 4*kiB)
	n := pick(l, 5000, 1500)
	p := make([]byte, 4*kiB)
	var entrants []entrant
	for _, o := range openers {
		entrants = append(entrants, one(o.name, func() float64 {
			begin := time.Now()
			for range n {
				r := o.open(name)
				must1(r.ReadAt(p, 0))
				must(r.Close())
			}
			return each(time.Since(begin), n)
		}))
	}
	got := play(pick(l, 21, 9), entrants...)
	report(cell{
		id: "P11", workload: "open, read 4 KiB, close", unit: "ns", order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, osFile, 1.2)},
	})
}

// rowOpenClose is P12: Regions that never come to map, Regions that must, and
// what is left of many.
func rowOpenClose(l *lab, report func(cell)) {
	name, _ := l.big()
	n := pick(l, 4000, 1000)
	mapAtOnce := &mmap.Options{Prot: mmap.ProtRead}
	times := func(open func() reader) func() float64 {
		return func() float64 {
			begin := time.Now()
			for range n {
				must(open().Close())
			}
			return each(time.Since(begin), n)
		}
	}
	mapped := func() reader { return must1(mmap.OpenFile(name, os.O_RDONLY, 0, mapAtOnce)) }
	lazy := region + " not mapped"
	entrants := []entrant{
		one(osFile, times(func() reader { return openOSFile.open(name) })),
		one(edsrzf, times(func() reader { return mapEdsrzf(name, edsrzfmmap.RDONLY) })),
		one(lazy, times(func() reader { return openRegion.open(name) })),
		one(region, times(mapped)),
	}
	got := play(pick(l, 15, 7), entrants...)
	report(cell{
		id: "P12", workload: "open and close without reading", unit: "ns", order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, edsrzf, 2), atMost(lazy, edsrzf, 2)},
	})
	leftOver(l, mapped, report)
}

// leftOver counts the maps and descriptors that many openings leave behind.
func leftOver(l *lab, open func() reader, report func(cell)) {
	n := pick(l, 200_000, 20_000)
	maps, fds := countMaps(), countFiles()
	worst := maps
	for i := range n {
		must(open().Close())
		if i%(n/20) == 0 {
			worst = max(worst, countMaps())
		}
	}
	runtime.GC()
	time.Sleep(200 * time.Millisecond)
	const left, most, files = region, "maps at most", "descriptors"
	report(cell{
		id: "P12", workload: short(float64(n)) + " in a row: maps left over", order: []string{most, files, left},
		figures: figures{
			left:  {float64(countMaps() - maps)},
			most:  {float64(worst - maps)},
			files: {float64(countFiles() - fds)},
		},
		claims: []claim{atMost(left, "", 50), atMost(most, "", 3000), atMost(files, "", 2)},
	})
}

// countMaps counts this process's mappings.
func countMaps() int {
	return bytes.Count(must1(os.ReadFile("/proc/self/maps")), []byte("\n"))
}

// countFiles counts this process's descriptors.
func countFiles() int { return len(must1(os.ReadDir("/proc/self/fd"))) }

// rowAllocations is P21: what a call allocates, on the fast path and, before
// the file is mapped, on the slow one.
func rowAllocations(l *lab, report func(cell)) {
	name := l.path("allocations")
	writeFile(name, 4*miB, miB)
	p := make([]byte, 512)
	hot := must1(mmap.OpenFile(name, os.O_RDWR, 0, nil))
	defer hot.Close()
	mapRegion(hot)
	readThrough(hot, 4*miB, make([]byte, miB))
	view := func([]byte) error { return nil }
	f := figures{}
	order := []string{}
	try := func(name string, n int, fn func()) {
		order = append(order, name)
		f[name] = series{allocations(n, fn)}
	}
	must1(hot.Seek(0, 0))
	try("ReadAt", 1000, func() { must1(hot.ReadAt(p, 4096)) })
	try("Read", 1000, func() { must1(hot.Read(p)) })
	must1(hot.Seek(0, 0))
	try("WriteAt", 1000, func() { must1(hot.WriteAt(p, 4096)) })
	try("Write", 1000, func() { must1(hot.Write(p)) })
	try("Seek", 1000, func() { must1(hot.Seek(8, 0)) })
	try("View", 1000, func() { must(hot.View(0, 512, view)) })
	try("Flush", 50, func() { must(hot.Flush()) })
	stream := must1(mmap.OpenFile(name, os.O_RDWR|unix.O_DSYNC, 0, nil)) // writes go by the descriptor
	defer stream.Close()
	try("WriteAt, slow path", 20, func() { must1(stream.WriteAt(p, 4096)) })
	try("ReadAt at the end", 1000, func() { stream.ReadAt(p, 4*miB-100) })
	f[region] = f.best(true, order...)
	report(cell{
		id: "P21", workload: "allocations a call, the worst of all", order: append(order, region), figures: f,
		claims: []claim{atMost(region, "", 0)},
	})
}

// allocations returns how many objects a call of fn makes: the least of a few
// tries, because other goroutines allocate too.
func allocations(n int, fn func()) float64 {
	var before, after runtime.MemStats
	fn()
	least := uint64(1 << 62)
	for range 3 {
		runtime.ReadMemStats(&before)
		for range n {
			fn()
		}
		runtime.ReadMemStats(&after)
		least = min(least, (after.Mallocs-before.Mallocs)/uint64(n))
	}
	return float64(least)
}
