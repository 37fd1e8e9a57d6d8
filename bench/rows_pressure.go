//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	edsrzfmmap "github.com/edsrzf/mmap-go"
	"github.com/seed-93fed273/mmap"
)

// load is a job: goroutines that read pages of a file at random, and write some
// of them, for a while.
type load struct {
	Entrant    string
	File       string
	Size       int64
	Goroutines int
	Time       time.Duration
	Zipf       bool  // a few pages are read most; else all of them alike
	Writes     int   // of a hundred calls
	Limit      int64 // of resident bytes, by the library; 0: none
	Timed      bool  // each call is, and the sleeper and the collector beside them
	Seed       uint64
}

// The figures of a load.
const (
	loadRate = iota // thousand calls a second
	loadP50         // of a call, ms
	loadP99
	loadP999
	loadTick    // the median by which a 1 ms sleep was overrun, ms
	loadTickP99 // ms
	loadGC      // the longest collection, ms; one that did not end counts as long as it was waited for
	loadRSS     // MiB of files in the process's memory, at most
	loadDisk    // pages that came from the disk, for each call
)

// readerWriter is a file that can be read and, if that was asked for, written.
type readerWriter interface {
	reader
	io.WriterAt
}

// readOnly is a reader that nobody writes to.
type readOnly struct{ reader }

func (readOnly) WriteAt([]byte, int64) (int, error) { panic("not opened for writing") }

// open opens the file for the entrant.
func (j load) open() readerWriter {
	flag, prot := os.O_RDONLY, edsrzfmmap.RDONLY
	if j.Writes > 0 {
		flag, prot = os.O_RDWR, edsrzfmmap.RDWR
	}
	switch j.Entrant {
	case osFile:
		return must1(os.OpenFile(j.File, flag, 0))
	case edsrzf:
		return mapEdsrzf(j.File, prot)
	case xExp:
		return readOnly{openXExp.open(j.File)}
	}
	return must1(mmap.OpenFile(j.File, flag, 0, nil))
}

// pages returns what chooses the next page. Which pages are the popular ones is
// spread over the file: a prime that does not divide the number of pages
// leaves none out.
func (j load) pages(g int) func() int64 {
	rng := rand.New(rand.NewPCG(j.Seed, uint64(g)))
	n := j.Size / page
	if !j.Zipf {
		return func() int64 { return rng.Int64N(n) * page }
	}
	z := rand.NewZipf(rng, 1.1, 1, uint64(n-1))
	const prime = 1_000_003
	return func() int64 { return int64(z.Uint64()) * prime % n * page }
}

// run is the job.
func (j load) run() []float64 {
	if j.Limit > 0 {
		limitResident(j.Limit)
	}
	f := j.open()
	defer f.Close()
	calls := make([]int, j.Goroutines)
	took := make([]series, j.Goroutines)
	disk := diskReads()
	begin := time.Now()
	beside := j.startBeside()
	var wg sync.WaitGroup
	for g := range j.Goroutines {
		wg.Go(func() { calls[g], took[g] = j.play(f, g, begin) })
	}
	wg.Wait()
	long := time.Since(begin)
	all := 0
	for _, n := range calls {
		all += n
	}
	t, gc, rss := beside()
	disk = diskReads() - disk
	times := slices.Concat(took...)
	return []float64{perSecond(long, all) / 1000,
		quantile(times, 0.5), quantile(times, 0.99), quantile(times, 0.999),
		max(quantile(t, 0.5), 0.001), max(quantile(t, 0.99), 0.001), gc, rss, disk / page / float64(all)}
}

// diskReads returns how many bytes this process had from disks.
func diskReads() float64 { return processNumber("/proc/self/io", "read_bytes") }

// play is one goroutine's part. Looking at the clock costs as much as several
// reads from memory, so only timed calls are looked at one by one.
func (j load) play(f readerWriter, g int, begin time.Time) (calls int, took series) {
	next, p := j.pages(g), make([]byte, page)
	write := rand.New(rand.NewPCG(j.Seed+1, uint64(g)))
	each := 64
	if j.Timed {
		each = 1
		took = make(series, 0, 1<<12)
	}
	for now := begin; now.Sub(begin) < j.Time; {
		for range each {
			off := next()
			if j.Writes > 0 && write.IntN(100) < j.Writes {
				must1(f.WriteAt(p, off))
			} else {
				must1(f.ReadAt(p, off))
			}
		}
		calls += each
		at := time.Now()
		if j.Timed {
			took = append(took, ms(at.Sub(now)))
		}
		now = at
	}
	return calls, took
}

// startBeside starts what goes on beside the calls: a sleeper and a collector,
// and a look at the process's memory. What it returns ends them.
func (j load) startBeside() func() (ticks series, gc, rss float64) {
	if !j.Timed {
		most, stop := watchRSS()
		return func() (series, float64, float64) { stop(); return nil, math.NaN(), most() }
	}
	t := startTicker()
	most, stop := watchRSS()
	collected := startCollector()
	return func() (series, float64, float64) {
		gc := collected()
		stop()
		return t.stop(), gc, most()
	}
}

// startCollector collects every tenth of a second, until the function that it
// returns is called, which says how many ms the longest collection took.
func startCollector() (longest func() float64) {
	var mu sync.Mutex
	var most time.Duration
	begin := time.Now() // of the collection under way
	quit := make(chan struct{})
	go func() {
		for {
			select {
			case <-quit:
				return
			case <-time.After(100 * time.Millisecond):
			}
			mu.Lock()
			begin = time.Now()
			mu.Unlock()
			runtime.GC()
			mu.Lock()
			most, begin = max(most, time.Since(begin)), time.Time{}
			mu.Unlock()
		}
	}()
	return func() float64 {
		close(quit)
		mu.Lock()
		defer mu.Unlock()
		if most == 0 && !begin.IsZero() {
			most = time.Since(begin) // none has ended
		}
		return ms(most)
	}
}

// watchRSS looks at how many MiB of files are in the process's memory.
func watchRSS() (most func() float64, stop func()) {
	var mu sync.Mutex
	seen := 0.0
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		seen = max(seen, processNumber("/proc/self/status", "RssFile")/1024)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			look()
			select {
			case <-quit:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() float64 { return seen }, func() { close(quit); <-done }
}

// pressure are the sizes of P24: a file three times as large as the memory
// allowed.
func (l *lab) pressure() (name string, size, allowed int64) {
	size = pick[int64](l, 2*giB, 256*miB)
	return l.file(size, miB), size, pick[int64](l, 700*miB, 88*miB)
}

// rowLargerThanMemory is P24.
func rowLargerThanMemory(l *lab, report func(cell)) {
	name, size, allowed := l.pressure()
	group := l.memoryGroup(allowed)
	defer group.remove()
	run := func(j load) func() []float64 {
		j.File, j.Size, j.Timed = name, size, true
		j.Time = pick(l, 4*time.Second, 1200*time.Millisecond)
		return func() []float64 {
			l.cold(name)
			l.seed++
			j.Seed = l.seed
			return l.runJob(group, "load", j)
		}
	}
	for _, kind := range []struct {
		words  string
		zipf   bool
		writes int
		peers  []string
		faster float64
	}{
		{"random 4 KiB", false, 0, []string{xExp, edsrzf}, 1.5},
		{"Zipf 1.1 of 4 KiB", true, 0, []string{xExp, edsrzf}, 2},
		{"random 4 KiB, one in ten a write", false, 10, []string{edsrzf}, 1},
		{"Zipf 1.1 of 4 KiB, one in ten a write", true, 10, []string{edsrzf}, 1},
	} {
		var entrants []entrant
		for _, who := range slices.Concat([]string{osFile}, kind.peers, []string{region}) {
			entrants = append(entrants, entrant{who, run(load{Entrant: who, Goroutines: 16, Zipf: kind.zipf, Writes: kind.writes})})
		}
		if c := l.reference(); c != nil && !kind.zipf && kind.writes == 0 {
			entrants = append(entrants, entrant{cProg, func() []float64 {
				l.cold(name)
				l.seed++
				return l.runJob(group, "reference", referenceJob{c.bin, name, pick(l, 150_000, 20_000), 16, uint32(l.seed)})
			}})
		}
		got := play(pick(l, 5, 1), entrants...)
		words := fmt.Sprintf("%s in %s with %s of memory, 16 goroutines", kind.words, sizeName(size), sizeName(allowed))
		claims := []claim{atLeast(region, osFile, kind.faster)}
		if kind.writes == 0 {
			claims = append(claims, atLeast(region, xExp, 100))
			if !kind.zipf {
				claims = append(claims, inform(region, cProg))
			}
		}
		reportLoad(words, names(entrants), got, claims, report)
	}
	if l.draws {
		l.plotPressure(run)
	}
}

// reportLoad reports the figures of a load under pressure.
func reportLoad(words string, order []string, got []figures, claims []claim, report func(cell)) {
	for _, c := range []cell{
		{workload: words, unit: "kIOPS", figures: got[loadRate], claims: claims},
		{workload: "the same: pages from the disk a call", figures: got[loadDisk], claims: []claim{inform(region, osFile)}},
		{workload: "the same: a call, median", unit: "ms", figures: got[loadP50], claims: []claim{inform(region, osFile)}},
		{workload: "the same: a call, p99", unit: "ms", figures: got[loadP99], claims: []claim{inform(region, osFile)}},
		{workload: "the same: a call, p99.9", unit: "ms", figures: got[loadP999], claims: []claim{atMost(region, osFile, 1)}},
		{workload: "the same: median overrun of a 1 ms sleep", unit: "ms", figures: got[loadTick], claims: []claim{atMost(region, osFile, 0.25)}},
		{workload: "the same: p99 of the overruns", unit: "ms", figures: got[loadTickP99], claims: []claim{inform(region, osFile)}},
		{workload: "the same: the longest runtime.GC", unit: "ms", figures: got[loadGC], claims: []claim{atMost(region, osFile, 1)}},
	} {
		c.id, c.order = "P24", order
		report(c)
	}
}

// referenceJob is a job: the C program, whose threads show what the disk and the
// group can give.
type referenceJob struct {
	Bin, File      string
	Reads, Threads int
	Seed           uint32
}

// run is the job. Its figure is thousand reads a second.
func (j referenceJob) run() []float64 {
	c := reference{j.Bin}
	return []float64{perSecond(c.random(j.File, j.Reads, j.Threads, j.Seed), j.Reads) / 1000}
}

// plotPressure draws reads a second by the number of goroutines.
func (l *lab) plotPressure(run func(load) func() []float64) {
	for _, zipf := range []bool{false, true} { // in the quick form, of the larger numbers only
		file := "pressure"
		if zipf {
			file = "pressure-zipf"
		}
		for _, g := range pick(l, []int{1, 4, 16, 64}, []int{64}) {
			for _, who := range []string{osFile, xExp, region} {
				got := play(1, entrant{who, run(load{Entrant: who, Goroutines: g, Zipf: zipf})})
				l.point(file, who, float64(g), median(got[loadRate][who]))
			}
		}
	}
}

// rowResidentLimit is P28: a hot working set of which the library may keep a
// quarter in the process's memory.
func rowResidentLimit(l *lab, report func(cell)) {
	if limitResident == nil {
		panic(skip("the library has no SetResidentLimit yet: see limit_none.go"))
	}
	size := pick[int64](l, giB, 256*miB)
	name := l.file(size, miB)
	warm(name)
	limit := size / 4
	for _, kind := range []struct {
		words  string
		zipf   bool
		faster float64
	}{{"random 4 KiB", false, 1}, {"Zipf 1.1 of 4 KiB", true, 3}} {
		var entrants []entrant
		for _, e := range []struct {
			name string
			load
		}{
			{osFile, load{Entrant: osFile}},
			{region + " without limit", load{Entrant: region}},
			{region, load{Entrant: region, Limit: limit}},
		} {
			j := e.load
			j.File, j.Size, j.Zipf, j.Goroutines = name, size, kind.zipf, runtime.GOMAXPROCS(0)
			j.Time = pick(l, 4*time.Second, 1500*time.Millisecond)
			entrants = append(entrants, entrant{e.name, func() []float64 {
				l.seed++
				j.Seed = l.seed
				return l.runJob(nil, "load", j)
			}})
		}
		got := play(pick(l, 5, 1), entrants...)
		words := fmt.Sprintf("%s of %s, hot, with SetResidentLimit(%s)", kind.words, sizeName(size), sizeName(limit))
		report(cell{
			id: "P28", workload: words, unit: "k/s", order: names(entrants), figures: got[loadRate],
			claims: []claim{atLeast(region, osFile, kind.faster), inform(region, region+" without limit")},
		})
		report(cell{
			id: "P28", workload: "the same: file pages in the process's memory", unit: "MiB", order: names(entrants), figures: got[loadRSS],
			claims: []claim{atMost(region, "", 1.1*float64(limit)/miB)},
		})
	}
}
