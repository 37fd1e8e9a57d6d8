//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	edsrzfmmap "github.com/edsrzf/mmap-go"
	"github.com/seed-93fed273/mmap"
	expmmap "golang.org/x/exp/mmap"
)

// walk yields offsets for reads of size bytes, one behind the other, round and
// round in the first limit bytes.
type walk struct{ off, size, limit int64 }

func (w *walk) next() int64 {
	off := w.off
	w.off += w.size
	if w.off > w.limit-w.size {
		w.off = 0
	}
	return off
}

// The loops below are the same but for the type they call: see opener. A loop
// warms up before the clock starts; whoever runs right after the system calls
// of another pays for the processor's caches otherwise.

func loopOSFile(f *os.File, p []byte, w walk, n int) time.Duration {
	var begin time.Time
	for i := -n / 8; i < n; i++ {
		if i == 0 {
			begin = time.Now()
		}
		if _, err := f.ReadAt(p, w.next()); err != nil {
			panic(failure{err})
		}
	}
	return time.Since(begin)
}

func loopXExp(f *expmmap.ReaderAt, p []byte, w walk, n int) time.Duration {
	var begin time.Time
	for i := -n / 8; i < n; i++ {
		if i == 0 {
			begin = time.Now()
		}
		if _, err := f.ReadAt(p, w.next()); err != nil {
			panic(failure{err})
		}
	}
	return time.Since(begin)
}

func loopEdsrzf(f *edsrzfMap, p []byte, w walk, n int) time.Duration {
	var begin time.Time
	for i := -n / 8; i < n; i++ {
		if i == 0 {
			begin = time.Now()
		}
		if _, err := f.ReadAt(p, w.next()); err != nil {
			panic(failure{err})
		}
	}
	return time.Since(begin)
}

func loopRegion(f *mmap.Region, p []byte, w walk, n int) time.Duration {
	var begin time.Time
	for i := -n / 8; i < n; i++ {
		if i == 0 {
			begin = time.Now()
		}
		if _, err := f.ReadAt(p, w.next()); err != nil {
			panic(failure{err})
		}
	}
	return time.Since(begin)
}

// readers are a hot file opened in all ways, every page of it touched.
type readers struct {
	f *os.File
	x *expmmap.ReaderAt
	e *edsrzfMap
	r *mmap.Region
}

func openReaders(name string, size int64) *readers {
	rs := &readers{
		f: must1(os.Open(name)),
		x: must1(expmmap.Open(name)),
		e: mapEdsrzf(name, edsrzfmmap.RDONLY),
		r: must1(mmap.Open(name)),
	}
	mapRegion(rs.r)
	buf := make([]byte, miB)
	for _, r := range []io.ReaderAt{rs.f, rs.x, rs.e, rs.r} {
		readThrough(r, size, buf)
	}
	return rs
}

func (rs *readers) close() {
	rs.f.Close()
	rs.x.Close()
	rs.e.Close()
	rs.r.Close()
}

// enter makes the entrants that read size bytes at a time, within limit bytes:
// slow times by system calls, fast times from memory. Figures are ns a call.
func (rs *readers) enter(size, limit int64, slow, fast int) []entrant {
	p := make([]byte, size)
	w := walk{0, size, limit}
	return []entrant{
		one(osFile, func() float64 { return each(loopOSFile(rs.f, p, w, slow), slow) }),
		one(xExp, func() float64 { return each(loopXExp(rs.x, p, w, fast), fast) }),
		one(edsrzf, func() float64 { return each(loopEdsrzf(rs.e, p, w, fast), fast) }),
		one(region, func() float64 { return each(loopRegion(rs.r, p, w, fast), fast) }),
	}
}

// rowSmallReads is P1. Loops are long: a short one right after another's
// system calls measures those.
func rowSmallReads(l *lab, report func(cell)) {
	name, _ := l.big()
	rs := openReaders(name, 16*miB)
	defer rs.close()
	entrants := rs.enter(64, 256*kiB, pick(l, 300_000, 150_000), pick(l, 3_000_000, 1_000_000))
	got := play(pick(l, 21, 9), entrants...)
	report(cell{
		id: "P1", workload: "ReadAt 64 B, one goroutine", unit: "ns", order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, xExp, 2.2), atMost(region, osFile, 1.0/40)},
	})
	rowSmallSequential(l, rs, report)
}

// rowSmallSequential is Read instead of ReadAt, where bufio can take part.
func rowSmallSequential(l *lab, rs *readers, report func(cell)) {
	p := make([]byte, 64)
	n := pick(l, 250_000, 100_000) // 16 MB at most, the part that was touched
	through := func(r io.Reader, s io.Seeker) float64 {
		must1(s.Seek(0, io.SeekStart))
		begin := time.Now()
		for range n {
			must1(io.ReadFull(r, p))
		}
		return each(time.Since(begin), n)
	}
	entrants := []entrant{
		one(osFile, func() float64 { return through(rs.f, rs.f) }),
		one(bufIO, func() float64 { return through(bufio.NewReaderSize(rs.f, 64*kiB), rs.f) }),
		one(region, func() float64 { return through(rs.r, rs.r) }),
	}
	got := play(pick(l, 11, 5), entrants...)
	report(cell{
		id: "P1", workload: "Read 64 B at the cursor", unit: "ns", order: names(entrants), figures: got[0],
		claims: []claim{asFast(region, osFile, 1), inform(region, bufIO)},
	})
}

// parallel runs n goroutines and returns how many calls a second they made
// together. body makes that many calls.
func parallel(n, calls int, body func(g, calls int)) float64 {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for g := range n {
		wg.Go(func() {
			<-start
			body(g, calls)
		})
	}
	begin := time.Now()
	close(start)
	wg.Wait()
	return perSecond(time.Since(begin), n*calls)
}

// rowParallelReads is P2, and the plot of scaling by goroutines.
func rowParallelReads(l *lab, report func(cell)) {
	name, _ := l.big()
	rs := openReaders(name, 16*miB)
	defer rs.close()
	cores := runtime.GOMAXPROCS(0)
	body := map[string]func(g, calls int){
		osFile: func(g, n int) { loopOSFile(rs.f, make([]byte, 64), walk{int64(g%32) * 8 * kiB, 64, 256 * kiB}, n) },
		xExp:   func(g, n int) { loopXExp(rs.x, make([]byte, 64), walk{int64(g%32) * 8 * kiB, 64, 256 * kiB}, n) },
		region: func(g, n int) { loopRegion(rs.r, make([]byte, 64), walk{int64(g%32) * 8 * kiB, 64, 256 * kiB}, n) },
	}
	calls := map[string]int{osFile: 50_000, xExp: 3_000_000, region: 3_000_000}
	rate := func(impl string, g int) func() float64 {
		return func() float64 { return parallel(g, max(calls[impl]/g*min(g, cores), 1), body[impl]) / 1e6 }
	}
	alone := region + " alone"
	entrants := []entrant{
		one(alone, rate(region, 1)), one(region, rate(region, cores)),
		one(xExp+" alone", rate(xExp, 1)), one(xExp, rate(xExp, cores)),
		one(osFile+" alone", rate(osFile, 1)), one(osFile, rate(osFile, cores)),
	}
	got := play(pick(l, 15, 5), entrants...)
	report(cell{
		id: "P2", workload: fmt.Sprintf("ReadAt 64 B, %d goroutines against one", cores), unit: "M/s",
		order: []string{osFile + " alone", osFile, xExp + " alone", xExp, alone, region}, figures: got[0],
		claims: []claim{
			atLeast(region, alone, 0.85*float64(cores)),
			inform(xExp, xExp+" alone"), inform(osFile, osFile+" alone"),
		},
	})
	if !l.draws {
		return
	}
	for _, impl := range []string{osFile, xExp, region} {
		for g := 1; g <= max(16, 2*cores); g *= 2 {
			got := play(pick(l, 5, 2), one(impl, rate(impl, g)))
			l.point("goroutines", impl, float64(g), median(got[0][impl]))
		}
	}
}

// rowReadSizes is P3, and the plot of throughput by size.
func rowReadSizes(l *lab, report func(cell)) {
	name, size := l.big()
	rs := openReaders(name, size)
	defer rs.close()
	for _, n := range []int64{8, 512, 4 * kiB, 64 * kiB, 256 * kiB, miB, 16 * miB} {
		budget := pick[int64](l, 512*miB, 128*miB) // bytes a round, at most
		fast := int(min(max(budget/n, 1), 1_000_000))
		entrants := rs.enter(n, max(256*kiB, min(4*n, size)), max(min(fast, 60_000), 1), fast)
		got := play(pick(l, 11, 5), entrants...)
		bound := 1.0
		if n > 256*kiB {
			bound = 0.95
		}
		report(cell{
			id: "P3", workload: "ReadAt " + sizeName(n) + ", pages mapped", unit: "ns", order: names(entrants), figures: got[0],
			claims: []claim{asFast(region, osFile, bound)},
		})
		for _, impl := range names(entrants) {
			l.point("sizes", impl, float64(n), float64(n)/median(got[0][impl]))
		}
	}
}

// sizeName writes a power of two.
func sizeName(n int64) string {
	switch {
	case n >= miB:
		return fmt.Sprintf("%d MiB", n/miB)
	case n >= kiB:
		return fmt.Sprintf("%d KiB", n/kiB)
	}
	return fmt.Sprintf("%d B", n)
}

// rowViewSum is P4.
func rowViewSum(l *lab, report func(cell)) {
	name, size := l.big()
	rs := openReaders(name, size)
	defer rs.close()
	buf := make([]byte, miB)
	timed := func(fn func()) float64 {
		begin := time.Now()
		fn()
		return gbPerSecond(time.Since(begin), size)
	}
	entrants := []entrant{
		one(osFile, func() float64 { return timed(func() { sumReader(rs.f, size, buf) }) }),
		one(bufIO, func() float64 {
			must1(rs.f.Seek(0, io.SeekStart))
			return timed(func() { sumStream(bufio.NewReaderSize(rs.f, miB), size) })
		}),
		one(slice, func() float64 { return timed(func() { sink += sum(rs.e.m) }) }),
		one(region, func() float64 { return timed(func() { sumView(rs.r) }) }),
	}
	if c := l.reference(); c != nil {
		entrants = append(entrants, one(cProg, func() float64 { return gbPerSecond(c.sum(name), size) }))
	}
	got := play(pick(l, 11, 5), entrants...)
	report(cell{
		id: "P4", workload: "View over " + sizeName(size) + ", summing", unit: "GB/s", order: names(entrants), figures: got[0],
		claims: []claim{atLeast(region, slice, 0.97), atLeast(region, osFile, 1.5), inform(region, cProg)},
	})
}

// sumReader sums size bytes in pieces of buf.
func sumReader(r io.ReaderAt, size int64, buf []byte) {
	for off := int64(0); off < size; off += int64(len(buf)) {
		must1(r.ReadAt(buf, off))
		sink += sum(buf)
	}
}

// sumStream sums size bytes as bufio shows them, without a copy of its own.
func sumStream(r *bufio.Reader, size int64) {
	for left := size; left > 0; {
		b, err := r.Peek(int(min(left, miB)))
		must(err)
		sink += sum(b)
		must1(r.Discard(len(b)))
		left -= int64(len(b))
	}
}

// sumView sums everything in one View.
func sumView(r *mmap.Region) {
	must(r.View(0, mmap.ToEnd, func(b []byte) error {
		sink += sum(b)
		return nil
	}))
}

// rowFirstPass is P10: the mapping is new, the file is in the page cache.
func rowFirstPass(l *lab, report func(cell)) {
	size := pick[int64](l, 512*miB, 128*miB)
	for _, kind := range folios {
		name := l.file(size, kind.piece)
		buf := make([]byte, miB)
		var entrants []entrant
		for _, o := range openers {
			entrants = append(entrants, one(o.name, func() float64 {
				r := o.open(name)
				defer r.Close()
				begin := time.Now()
				readThrough(r, size, buf)
				return ms(time.Since(begin))
			}))
		}
		warm(name)
		got := play(pick(l, 11, 5), entrants...)
		report(cell{
			id: "P10", workload: "first pass of 1 MiB ReadAt over " + sizeName(size) + ", hot, " + kind.name,
			unit: "ms", order: names(entrants), figures: got[0],
			claims: []claim{asFast(region, osFile, 1)},
		})
		rowFirstTouches(l, name, size, kind.name, report)
	}
}

// rowFirstTouches is P10 page by page, at random and each page once.
func rowFirstTouches(l *lab, name string, size int64, kind string, report func(cell)) {
	p := make([]byte, page)
	var entrants []entrant
	for _, o := range openers {
		entrants = append(entrants, one(o.name, func() float64 {
			r := o.open(name)
			defer r.Close()
			pages := l.rng().Perm(int(size / page))[:pick(l, 32768, 16384)]
			begin := time.Now()
			for _, at := range pages {
				must1(r.ReadAt(p, int64(at)*page))
			}
			return each(time.Since(begin), len(pages))
		}))
	}
	got := play(pick(l, 11, 5), entrants...)
	report(cell{
		id: "P10", workload: "ReadAt 4 KiB of it at random, each page once, hot, " + kind,
		unit: "ns", order: names(entrants), figures: got[0],
		claims: []claim{asFast(region, osFile, 1)},
	})
}

// folios are the two ways a file can lie in the cache, by how it was written.
var folios = []struct {
	name  string
	piece int
}{{"small folios", 4 * kiB}, {"large folios", miB}}
