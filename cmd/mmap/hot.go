package main

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-93fed273/mmap"
)

// work is one line of the table: something that both sides do.
type work struct {
	name  string
	unit  unit
	bytes int64                                // of one operation
	do    func(h handle, by side, n int) error // n operations
}

// places is how many random places a file is read at when it is hot.
const places = 1024

// sink takes what was summed up, so that the sums are made.
var sink atomic.Uint64

// hot measures reading while the bytes are in the system's cache.
func (b *bench) hot() error {
	p, err := b.subject.openPair(os.O_RDONLY)
	if err != nil {
		return err
	}
	defer p.close()
	b.report.section("hot")
	for _, h := range p {
		if err := b.warm(h); err != nil {
			return err
		}
	}
	for _, w := range b.readings() {
		if w.bytes > b.subject.used {
			b.report.note(w.name, "the file is too small for it")
			continue
		}
		if err := b.line(p, w); err != nil {
			return err
		}
	}
	return nil
}

// readings are the hot lines.
func (b *bench) readings() []work {
	cpus := runtime.GOMAXPROCS(0)
	all := []work{
		b.reading("ReadAt 64 B", 64, 1),
		b.reading("ReadAt 4 KiB", 4*kiB, 1),
		b.reading("ReadAt 1 MiB", miB, 1),
	}
	if cpus > 1 {
		all = append(all,
			b.reading("ReadAt 64 B, all CPUs", 64, cpus),
			b.reading("ReadAt 4 KiB, all CPUs", 4*kiB, cpus))
	}
	return append(all,
		work{"Read 64 KiB, in sequence", perSecond, min(64*kiB, b.subject.used), b.reread},
		work{"View, sum of all (os.File: 1 MiB buffer)", perSecond, b.subject.used, b.sumAll},
		work{"open, ReadAt 4 KiB, close", perCall, min(4*kiB, b.subject.used), b.reopen})
}

// warm reads the file once; a Region maps it meanwhile.
func (b *bench) warm(h handle) error {
	b.say("warming up")
	p := make([]byte, miB)
	for off := int64(0); off < b.subject.used; off += miB {
		if err := readAt(h, p[:min(miB, b.subject.used-off)], off); err != nil {
			return b.subject.shorter(err)
		}
		if err := b.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// readAt fills p, or returns an error.
func readAt(h io.ReaderAt, p []byte, off int64) error {
	n, err := h.ReadAt(p, off)
	if n == len(p) {
		err = nil
	}
	return err
}

// reading is the line for ReadAt of size bytes by a number of goroutines.
func (b *bench) reading(name string, size int64, goroutines int) work {
	u := perCall
	if size >= miB {
		u = perSecond
	}
	return work{name, u, size, func(h handle, _ side, n int) error {
		return share(goroutines, n, func(seed uint64, n int) error {
			offs := b.offsets(seed, size)
			p := make([]byte, size)
			for i := range n {
				if err := readAt(h, p, offs[i%places]); err != nil {
					return err
				}
			}
			return nil
		})
	}}
}

// offsets returns random places where size bytes lie, the same for the same
// seed.
func (b *bench) offsets(seed uint64, size int64) []int64 {
	random := rand.New(rand.NewPCG(seed, 3))
	offs := make([]int64, places)
	for i := range offs {
		offs[i] = random.Int64N(b.subject.used - size + 1)
	}
	return offs
}

// share divides n operations among goroutines, and returns their first error.
func share(goroutines, n int, do func(seed uint64, n int) error) error {
	if goroutines == 1 {
		return do(0, n)
	}
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() { errs[i] = do(uint64(i), (n+i)/goroutines) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// reread reads on with Read, n times, and from the beginning again at the end.
func (b *bench) reread(h handle, _ side, n int) error {
	p := make([]byte, min(64*kiB, b.subject.used))
	left := int64(0)
	for range n {
		if left < int64(len(p)) {
			if _, err := h.Seek(0, io.SeekStart); err != nil {
				return err
			}
			left = b.subject.used
		}
		got, err := h.Read(p)
		if err != nil {
			return err
		}
		left -= int64(got)
	}
	return nil
}

// sumAll sums the file, n times.
func (b *bench) sumAll(h handle, by side, n int) error {
	for range n {
		if err := b.sumOnce(h, by); err != nil {
			return err
		}
	}
	return nil
}

// sumOnce sums the file: where it lies, or piece by piece through a buffer.
func (b *bench) sumOnce(h handle, by side) error {
	if by == region {
		return h.(*mmap.Region).View(0, b.subject.used, func(p []byte) error {
			sink.Add(sum(p))
			return nil
		})
	}
	p := make([]byte, min(miB, b.subject.used))
	for off := int64(0); off < b.subject.used; off += miB {
		part := p[:min(int64(len(p)), b.subject.used-off)]
		if err := readAt(h, part, off); err != nil {
			return err
		}
		sink.Add(sum(part))
	}
	return nil
}

// sum adds p up as words, about as fast as memory delivers them.
func sum(p []byte) (s uint64) {
	var s1, s2, s3 uint64
	for ; len(p) >= 32; p = p[32:] {
		s += binary.LittleEndian.Uint64(p)
		s1 += binary.LittleEndian.Uint64(p[8:])
		s2 += binary.LittleEndian.Uint64(p[16:])
		s3 += binary.LittleEndian.Uint64(p[24:])
	}
	for _, c := range p {
		s += uint64(c)
	}
	return s + s1 + s2 + s3
}

// reopen opens the file, reads its beginning and closes it, n times.
func (b *bench) reopen(_ handle, by side, n int) error {
	p := make([]byte, min(4*kiB, b.subject.used))
	for range n {
		h, err := b.subject.open(by, os.O_RDONLY)
		if err != nil {
			return err
		}
		err = readAt(h, p, 0)
		h.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// line measures w on both sides in turns and adds it to the table.
func (b *bench) line(p pair, w work) error {
	b.say("measuring: " + w.name)
	var n [2]int
	for by, h := range p {
		var err error
		n[by], err = b.calibrate(h, side(by), w)
		if errors.Is(err, errors.ErrUnsupported) {
			b.report.note(w.name, err.Error())
			return nil
		}
		if err != nil {
			return b.subject.shorter(err)
		}
	}
	var took [2][]float64
	for round, begin := 0, time.Now(); round < b.pace.rounds; round++ {
		if round >= leastRounds && time.Since(begin) > b.pace.line {
			break
		}
		for i := range p {
			by := side((i + round) % len(p)) // neither is always the first
			t, err := b.time(p[by], by, w, n[by])
			if err != nil {
				return b.subject.shorter(err)
			}
			took[by] = append(took[by], float64(t.Nanoseconds())/float64(n[by]))
		}
	}
	b.report.add(w.name, w.unit, w.bytes, median(took[osFile]), median(took[region]))
	return nil
}

// calibrate finds how many operations one round needs. It also is the first
// round, which does not count.
func (b *bench) calibrate(h handle, by side, w work) (int, error) {
	const most = 1 << 30
	for n := 1; ; n *= 2 {
		t, err := b.time(h, by, w, n)
		if err != nil || t >= b.pace.batch/2 || n >= most {
			return n, err
		}
	}
}

// time does n operations and returns how long they took.
func (b *bench) time(h handle, by side, w work, n int) (time.Duration, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	begin := time.Now()
	err := w.do(h, by, n)
	return time.Since(begin), err
}

// median returns the middle one.
func median(d []float64) float64 {
	slices.Sort(d)
	return d[len(d)/2]
}
