package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-93fed273/mmap"
)

// places is how many random places a file is read at when it is hot.
const places = 1024

// sink takes what was summed up, so that the sums are made.
var sink atomic.Uint64

// hot measures reading while the bytes are in the system's cache.
func (b *bench) hot() error {
	set, err := b.openFor(allSides, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer set.close()
	for _, w := range b.readings() {
		if w.bytes > b.subject.used {
			b.report.note(w.Name, "the file is too small for it")
		} else if err := b.line(set, w); err != nil {
			return err
		}
	}
	return nil
}

// readings are the hot lines.
func (b *bench) readings() []work {
	cpus := runtime.GOMAXPROCS(0)
	all := []work{
		b.reading("ReadAt 64 B", "small reads", 64, 1),
		b.reading("ReadAt 4 KiB", "small reads", 4*kiB, 1),
		b.reading("ReadAt 1 MiB", "large reads", miB, 1),
	}
	if cpus > 1 {
		all = append(all,
			b.reading("ReadAt 64 B, all CPUs", "small reads", 64, cpus),
			b.reading("ReadAt 4 KiB, all CPUs", "small reads", 4*kiB, cpus))
	}
	return append(all,
		work{"hot", "sum of all, by View", "looking at all bytes", perSecond, b.subject.used, allSides, b.sumAll},
		work{"hot", "open, read 4 KiB, close", "open and close", perCall, min(4*kiB, b.subject.used), allSides, b.reopen})
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
func (b *bench) reading(name, words string, size int64, goroutines int) work {
	u := perCall
	if size >= miB {
		u = perSecond
	}
	return work{"hot", name, words, u, size, allSides, func(h handle, by side, n int) (int, error) {
		return n, share(by, goroutines, n, func(seed uint64, n int) error {
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
func share(by side, goroutines, n int, do func(seed uint64, n int) error) error {
	one := func(seed uint64, n int) error {
		if by == expMmap { // a file that became shorter would end the process
			return unfaulted(func() error { return do(seed, n) })
		}
		return do(seed, n)
	}
	if goroutines == 1 {
		return one(0, n)
	}
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() { errs[i] = one(uint64(i), (n+i)/goroutines) })
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// sumAll sums the file, n times: where it lies, or through a buffer.
func (b *bench) sumAll(h handle, by side, n int) (int, error) {
	p := make([]byte, min(miB, b.subject.used))
	return n, share(by, 1, n, func(uint64, int) (err error) {
		for i := 0; i < n && err == nil; i++ {
			if r, ok := h.(*mmap.Region); ok {
				err = r.View(0, b.subject.used, func(p []byte) error { sink.Add(sum(p)); return nil })
				continue
			}
			for off := int64(0); off < b.subject.used && err == nil; off += miB {
				part := p[:min(int64(len(p)), b.subject.used-off)]
				err = readAt(h, part, off)
				sink.Add(sum(part))
			}
		}
		return err
	})
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
func (b *bench) reopen(_ handle, by side, n int) (int, error) {
	p := make([]byte, min(4*kiB, b.subject.used))
	return n, share(by, 1, n, func(uint64, int) error {
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
	})
}

const (
	// coldLeast is the smallest file worth reading cold: a smaller one is
	// in the cache after a few reads, by read-ahead alone.
	coldLeast = 16 * miB
	// coldMost bounds the random reads of a round.
	coldMost = 4096
)

// cold measures reading when nothing is in the system's cache.
func (b *bench) cold(wanted bool) error {
	why := ""
	switch {
	case !wanted:
		why = "not wanted (-cold=false)"
	case b.subject.used < coldLeast:
		why = fmt.Sprintf("the file is too small: less than %s is in the cache again after a few reads", size(coldLeast))
	default:
		if err := b.evict(); err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		b.report.note("cold reads", why)
		return b.ctx.Err()
	}
	random := rand.New(rand.NewPCG(4, 5)).Perm(int(b.subject.used / (4 * kiB)))
	random = random[:min(coldMost, len(random)/8)]
	var sequence []int
	for i := range int(b.subject.used / miB) {
		sequence = append(sequence, i)
	}
	for _, w := range []work{
		b.coldReading("ReadAt 4 KiB, 64 at once", "cold random reads", callsPerSecond, 4*kiB, random, 64),
		b.coldReading("ReadAt 4 KiB, one by one", "cold random reads", callsPerSecond, 4*kiB, random, 1),
		b.coldReading("ReadAt 1 MiB, in sequence", "cold reading in sequence", perSecond, miB, sequence, 1),
	} {
		if err := b.line(nil, w); err != nil {
			return err
		}
	}
	return nil
}

// evict drops the file from the cache and looks whether it is gone, but for a
// page in a thousand. What stays for good is an error.
func (b *bench) evict() error {
	f, info, err := openRegular(b.subject.name)
	if err != nil {
		return err
	}
	defer f.Close()
	left := residency{}
	for try := 0; try < 8 && b.ctx.Err() == nil; try++ {
		if err := dropParts(f, []span{{0, info.Size()}}); err != nil {
			return err
		}
		if left = inspect(f, b.subject.used, 0); left.why != nil {
			return fmt.Errorf("cannot tell what is in the cache: %w", left.why)
		}
		if left.resident <= left.pages/1000 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return cmp.Or(b.ctx.Err(), fmt.Errorf("%s of %s stay in memory: the file system lives there, or someone else uses the file",
		size(left.bytes()), size(left.pages*pageSize)))
}

// coldReading is the line for reading pieces of the file, each at most once,
// until it is late.
func (b *bench) coldReading(name, words string, u unit, bytes int64, order []int, goroutines int) work {
	return work{"cold", name, words, u, bytes, allSides, func(h handle, by side, _ int) (int, error) {
		var next, done atomic.Int64
		err := share(by, goroutines, goroutines, func(uint64, int) error {
			p := make([]byte, bytes)
			for i := next.Add(1) - 1; i < int64(len(order)) && !b.late(); i = next.Add(1) - 1 {
				if err := readAt(h, p, int64(order[i])*bytes); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
		return int(done.Load()), err
	}}
}

// writes measures writing, on a file made here alone, and checks afterwards
// that both sides still see the same bytes.
func (b *bench) writes() error {
	if !b.subject.made {
		b.report.note("WriteAt and Flush", "only measured on a file made for it (without FILE)")
		return nil
	}
	set, err := b.openFor(2, os.O_RDWR)
	if err != nil {
		return err
	}
	defer set.close()
	for _, w := range []work{b.writing("WriteAt 8 B", "small writes", false), b.writing("WriteAt 8 B and Flush", "write and flush", true)} {
		if err := b.line(set, w); err != nil {
			return err
		}
	}
	return b.check("after writing")
}

// writing is the line for writing 8 bytes at one of the places, and making them
// durable.
func (b *bench) writing(name, words string, flush bool) work {
	offs, at := b.offsets(7, 8), 0
	return work{"writing", name, words, perCall, 8, 2, func(h handle, _ side, n int) (int, error) {
		for range n {
			at++
			_, err := h.(file).WriteAt([]byte("modified"), offs[at%places])
			if err == nil && flush {
				err = durable(h)
			}
			if err != nil {
				return 0, err
			}
		}
		return n, nil
	}}
}

// durable puts what h wrote on the disk.
func durable(h handle) error {
	if r, ok := h.(*mmap.Region); ok {
		return r.Flush()
	}
	return h.(*os.File).Sync()
}
