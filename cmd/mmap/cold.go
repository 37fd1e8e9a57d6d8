package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-93fed273/mmap"
)

const (
	// coldLeast is the smallest file worth reading cold: a smaller one is
	// in the cache after a few reads, by read-ahead alone.
	coldLeast = 16 * miB
	// coldMost bounds the random reads of a round.
	coldMost = 4096
)

// evicted measures reading when nothing is in the system's cache.
func (b *bench) evicted(wanted bool) error {
	const name = "cold reads"
	switch {
	case !wanted:
		b.report.note(name, "not wanted (-cold=false)")
		return nil
	case b.subject.used < coldLeast:
		b.report.note(name, fmt.Sprintf("the file is too small: less than %s is in the cache again after a few reads", size(coldLeast)))
		return nil
	}
	if err := b.evict(); err != nil {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		b.report.note(name, err.Error())
		return nil
	}
	b.report.section("cold")
	for _, w := range []coldWork{
		b.coldRandom("ReadAt 4 KiB, 64 goroutines", 64),
		b.coldRandom("ReadAt 4 KiB, one goroutine", 1),
		{"ReadAt 1 MiB, in sequence", perSecond, miB, b.coldSequence},
	} {
		if err := b.coldLine(w); err != nil {
			return err
		}
	}
	return nil
}

// coldWork is one line of the table for which the cache is dropped before
// each round. Do works until it is done or late, and says how many operations
// that were.
type coldWork struct {
	name  string
	unit  unit
	bytes int64
	do    func(h handle, late func() bool) (n int64, err error)
}

// evict drops the file from the cache and looks whether it is gone, but for a
// page in a thousand. What stays for good is an error.
func (b *bench) evict() error {
	var in, all int
	for range 8 {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		if err := dropCache(b.subject.name); err != nil {
			return err
		}
		var err error
		if in, all, err = b.cached(); err != nil {
			return fmt.Errorf("cannot tell what is in the cache: %w", err)
		}
		if in <= all/1000 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%d of %d pages stay in memory: the file system lives there, or someone else uses the file", in, all)
}

// cached counts the pages that are in the cache.
func (b *bench) cached() (in, all int, err error) {
	r, err := mmap.Open(b.subject.name)
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	resident, err := r.Resident(0, b.subject.used)
	for _, yes := range resident {
		if yes {
			in++
		}
	}
	return in, len(resident), err
}

// coldRandom is the line for reading random pages, each at most once.
func (b *bench) coldRandom(name string, goroutines int) coldWork {
	pages := rand.New(rand.NewPCG(4, 5)).Perm(int(b.subject.used / (4 * kiB)))
	pages = slices.Clone(pages[:min(coldMost, len(pages)/8)])
	return coldWork{name, callsPerSecond, 4 * kiB, func(h handle, late func() bool) (int64, error) {
		var next, done atomic.Int64
		err := share(goroutines, goroutines, func(uint64, int) error {
			p := make([]byte, 4*kiB)
			for !late() {
				i := next.Add(1) - 1
				if i >= int64(len(pages)) {
					break
				}
				if err := readAt(h, p, int64(pages[i])*4*kiB); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
		return done.Load(), err
	}}
}

// coldSequence reads the file from its beginning on.
func (b *bench) coldSequence(h handle, late func() bool) (n int64, err error) {
	p := make([]byte, miB)
	for ; (n+1)*miB <= b.subject.used && !late(); n++ {
		if err := readAt(h, p, n*miB); err != nil {
			return n, err
		}
	}
	return n, nil
}

// coldLine measures w on both sides in turns and adds it to the table.
func (b *bench) coldLine(w coldWork) error {
	var took [2][]float64
	for round := range b.pace.colds {
		for i := range took {
			by := side((i + round) % len(took))
			b.say("measuring, cold: " + w.name)
			if err := b.evict(); err != nil {
				if b.ctx.Err() != nil {
					return err
				}
				b.report.note(w.name, err.Error())
				return nil
			}
			t, err := b.coldRound(w, by)
			if err != nil {
				return b.subject.shorter(err)
			}
			took[by] = append(took[by], t)
		}
	}
	b.report.add(w.name, w.unit, w.bytes, median(took[osFile]), median(took[region]))
	return nil
}

// coldRound opens the file, does the work once, and returns the nanoseconds of
// one operation. The file is closed afterwards: what is mapped stays cached.
func (b *bench) coldRound(w coldWork, by side) (float64, error) {
	h, err := b.subject.open(by, os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	begin := time.Now()
	late := func() bool { return time.Since(begin) > b.pace.cold || b.ctx.Err() != nil }
	n, err := w.do(h, late)
	if err == nil {
		err = b.ctx.Err()
	}
	return float64(time.Since(begin).Nanoseconds()) / float64(max(n, 1)), err
}

// dropCache writes the file out, because dirty pages stay, and asks the system
// to drop what its cache has of it. Pages that are mapped and in use stay too.
func dropCache(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := clean(f, 0, 0); err != nil {
		return err
	}
	return drop(f, 0, 0)
}
