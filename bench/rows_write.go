//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	edsrzfmmap "github.com/edsrzf/mmap-go"
	"github.com/seed-93fed273/mmap"
	"golang.org/x/sys/unix"
)

// writer is what every way of writing a file at an offset has.
type writer interface {
	io.WriterAt
	io.Closer
}

// writeOpener opens a file for writing in one of the ways.
type writeOpener struct {
	name string
	open func(name string) writer
}

var writeOpeners = []writeOpener{
	{osFile, func(name string) writer { return must1(os.OpenFile(name, os.O_RDWR, 0)) }},
	{edsrzf, func(name string) writer { return mapEdsrzf(name, edsrzfmmap.RDWR) }},
	{region, func(name string) writer { return openRegionRW(name) }},
}

// openRegionRW opens a Region for writing, and maps it.
func openRegionRW(name string) *mmap.Region {
	r := must1(mmap.OpenFile(name, os.O_RDWR, 0, nil))
	mapRegion(r)
	return r
}

// rowSmallWrites is P13: to pages that are dirty already, and to clean ones.
func rowSmallWrites(l *lab, report func(cell)) {
	size := pick[int64](l, 256*miB, 32*miB)
	for _, kind := range folios {
		name := l.file(size, kind.piece)
		warm(name)
		var entrants []entrant
		for _, o := range writeOpeners {
			entrants = append(entrants, entrant{o.name, func() []float64 {
				syncFile(name)
				w := o.open(name)
				defer w.Close()
				first := firstTouches(w, size, pick(l, 16384, 1024), l.rng())
				makeDirty(w, size, o.name == region)
				long := pick(l, 1200*time.Millisecond, 250*time.Millisecond)
				if o.name == region {
					long = 1200 * time.Millisecond // so that what it does once a second shows
				}
				return []float64{first, steadyWrites(w, size, long, l.rng())}
			}})
		}
		got := play(pick(l, 5, 3), entrants...)
		syncFile(name)
		report(cell{
			id: "P13", workload: "WriteAt 8 B at random in " + sizeName(size) + ", pages dirty, " + kind.name,
			unit: "ns", order: names(entrants), figures: got[1],
			claims: []claim{atMost(region, osFile, 0.2)},
		})
		report(cell{
			id: "P13", workload: "the same, first touches of clean pages, " + kind.name,
			unit: "ns", order: names(entrants), figures: got[0],
			claims: []claim{atMost(region, osFile, 1)},
		})
	}
}

// firstTouches writes 8 bytes to n clean pages, each once, and returns the
// time of one.
func firstTouches(w io.WriterAt, size int64, n int, rng *rand.Rand) float64 {
	p := []byte("8 bytes!")
	pages := rng.Perm(int(size / page))[:n]
	begin := time.Now()
	for _, at := range pages {
		must1(w.WriteAt(p, int64(at)*page+128))
	}
	return each(time.Since(begin), n)
}

// makeDirty writes to every page, often enough for a Region to know them all.
func makeDirty(w io.WriterAt, size int64, often bool) {
	p := make([]byte, miB)
	passes := 1
	if often {
		passes = 3
	}
	for range passes {
		for off := int64(0); off < size; off += miB {
			must1(w.WriteAt(p, off))
		}
	}
}

// steadyWrites writes 8 bytes at random for that long and returns the time of
// one write.
func steadyWrites(w io.WriterAt, size int64, long time.Duration, rng *rand.Rand) float64 {
	p := []byte("8 bytes!")
	n := 0
	begin := time.Now()
	for time.Since(begin) < long {
		for range 256 {
			must1(w.WriteAt(p, rng.Int64N(size/8)*8))
		}
		n += 256
	}
	return each(time.Since(begin), n)
}

// rowLargeWrites is P14: the first pass finds clean pages, the second dirty
// ones; the last is one after which nothing changes any more.
func rowLargeWrites(l *lab, report func(cell)) {
	const lastPass = 24
	size := pick[int64](l, 512*miB, 64*miB)
	p := make([]byte, miB)
	for _, kind := range folios {
		name := l.file(size, kind.piece)
		warm(name)
		var entrants []entrant
		for _, o := range writeOpeners {
			entrants = append(entrants, entrant{o.name, func() (out []float64) {
				syncFile(name)
				w := o.open(name)
				defer w.Close()
				for range lastPass {
					begin := time.Now()
					for off := int64(0); off < size; off += miB {
						must1(w.WriteAt(p, off))
					}
					out = append(out, ms(time.Since(begin)))
				}
				return out
			}})
		}
		entrants = append(entrants, entrant{populate, func() []float64 {
			syncFile(name)
			clean := makeWritable(name)
			syncFile(name)
			f := must1(os.OpenFile(name, os.O_RDWR, 0))
			defer f.Close()
			makeDirty(f, size, false)
			return []float64{clean, makeWritable(name)}
		}})
		got := play(pick(l, 7, 3), entrants...)
		syncFile(name)
		for _, c := range []struct {
			pass   int
			claims []claim
		}{
			{1, []claim{asFast(region, osFile, 1), inform(populate, osFile)}},
			{2, []claim{asFast(region, osFile, 1.8), inform(populate, osFile)}},
			{lastPass, []claim{{num: osFile, den: region}}},
		} {
			report(cell{
				id: "P14", workload: fmt.Sprintf("WriteAt 1 MiB over %s, pass %d, %s", sizeName(size), c.pass, kind.name),
				unit: "ms", order: names(entrants), figures: got[c.pass-1], claims: c.claims,
			})
		}
	}
}

// populate stands in P14 for what nobody can do without who stores to memory
// and waits in no fault: it writes nothing, and only makes the pages writable,
// in pass 1 when they are clean and in pass 2 when they were written to.
const populate = "POPULATE_WRITE alone"

// makeWritable returns how long that takes.
func makeWritable(name string) float64 {
	r := openRegionRW(name)
	defer r.Close()
	begin := time.Now()
	must(r.Advise(0, mmap.ToEnd, mmap.AdvicePopulateWrite))
	return ms(time.Since(begin))
}

// rowNewFile is P15.
func rowNewFile(l *lab, report func(cell)) {
	size := pick[int64](l, 512*miB, 64*miB)
	records := pick(l, 500_000, 50_000)
	newFile(l, "writing a new file of "+sizeName(size)+" in 1 MiB pieces", miB, int(size/miB), report)
	newFile(l, "writing a new file of "+sizeName(size)+" in 4 KiB pieces", 4*kiB, int(size/(4*kiB)), report)
	appendRecords(l, records, report)
	rowLog(l, records, report)
}

// appendRecords is P15 in pieces of 100 B. It has a name so that a profile can
// show it alone.
func appendRecords(l *lab, records int, report func(cell)) {
	newFile(l, fmt.Sprintf("appending %d records of 100 B", records), 100, records, report)
}

// newFile is P15 with n pieces. Closing counts; removing the file does not.
func newFile(l *lab, workload string, piece, n int, report func(cell)) {
	p := make([]byte, piece)
	name := l.path("new")
	run := func(wrap func(io.Writer) (io.Writer, func() error), create func() io.WriteCloser) func() float64 {
		return func() float64 {
			os.Remove(name)
			begin := time.Now()
			f := create()
			w, flush := wrap(f)
			for range n {
				must1(w.Write(p))
			}
			must(flush())
			must(f.Close())
			took := ms(time.Since(begin))
			syncFile(name) // or the next one would pay for it
			return took
		}
	}
	plain := func(w io.Writer) (io.Writer, func() error) { return w, func() error { return nil } }
	buffered := func(w io.Writer) (io.Writer, func() error) {
		b := bufio.NewWriterSize(w, 64*kiB)
		return b, b.Flush
	}
	createFile := func() io.WriteCloser { return must1(os.Create(name)) }
	createRegion := func() io.WriteCloser { return must1(mmap.Create(name)) }
	entrants := []entrant{
		one(osFile, run(plain, createFile)),
		one(bufIO, run(buffered, createFile)),
		one(region, run(plain, createRegion)),
		one("bufio over Region", run(buffered, createRegion)),
	}
	got := play(pick(l, 7, 5), entrants...)
	os.Remove(name)
	report(cell{
		id: "P15", workload: workload, unit: "ms", order: names(entrants), figures: got[0],
		claims: []claim{asFast(region, osFile, 1)},
	})
}

// rowLog is P15 with a reader: each record is read as soon as it is written.
func rowLog(l *lab, records int, report func(cell)) {
	type log interface {
		io.Writer
		io.ReaderAt
		io.Closer
	}
	name, p := l.path("log"), make([]byte, 100)
	run := func(create func() log) func() float64 {
		return func() float64 {
			os.Remove(name)
			begin := time.Now()
			f := create()
			for i := range records {
				must1(f.Write(p))
				must1(f.ReadAt(p, int64(i*len(p))))
			}
			must(f.Close())
			took := ms(time.Since(begin))
			syncFile(name)
			return took
		}
	}
	entrants := []entrant{
		one(osFile, run(func() log { return must1(os.Create(name)) })),
		one(region, run(func() log { return must1(mmap.Create(name)) })),
	}
	got := play(pick(l, 7, 5), entrants...)
	os.Remove(name)
	report(cell{
		id: "P15", workload: fmt.Sprintf("appending %d records of 100 B, each read back", records),
		unit: "ms", order: names(entrants), figures: got[0],
		claims: []claim{asFast(region, osFile, 1)},
	})
}

// rowFlush is P16. Both sides flush what they wrote by WriteAt, at places that
// nobody flushed before: a disk writes to the same place faster the second
// time. What was stored through a View is measured beside it.
func rowFlush(l *lab, report func(cell)) {
	for _, kind := range folios {
		for _, n := range []int{1, 16, 256} {
			flushPages(l, n, kind.piece, kind.name, report)
		}
	}
}

// flushPages is P16 with n dirty pages.
func flushPages(l *lab, n, piece int, kind string, report func(cell)) {
	size := pick[int64](l, 512*miB, 64*miB)
	name := l.file(size, piece)
	warm(name)
	f := must1(os.OpenFile(name, os.O_RDWR, 0))
	defer f.Close()
	r := openRegionRW(name)
	defer r.Close()
	p := []byte("8 bytes!")
	fd := int(f.Fd())
	// run writes to n pages and returns the time of the flush alone.
	run := func(write func(off int64), flush func() error) func() float64 {
		return func() float64 {
			must(f.Sync())
			for _, off := range randomPages(l.rng(), size, n) {
				write(off)
			}
			begin := time.Now()
			must(flush())
			return ms(time.Since(begin)) * 1000
		}
	}
	byView := region + " after View"
	entrants := []entrant{
		one(osFile, run(func(off int64) { must1(f.WriteAt(p, off)) }, func() error { return unix.Fdatasync(fd) })),
		one(region, run(func(off int64) { must1(r.WriteAt(p, off)) }, r.Flush)),
		one(byView, run(func(off int64) {
			must(r.View(off, 8, func(b []byte) error { copy(b, p); return nil }))
		}, r.Flush)),
	}
	got := play(pick(l, 51, 21), entrants...)
	report(cell{
		id: "P16", workload: fmt.Sprintf("Flush with %d dirty pages of %s, %s", n, sizeName(size), kind),
		unit: "µs", order: names(entrants), figures: got[0],
		claims: []claim{atMost(region, osFile, 1.05), inform(byView, osFile)},
	})
}
