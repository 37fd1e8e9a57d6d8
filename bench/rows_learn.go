//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// rowLearning is P26: writes of 8 bytes at random from the first one on. What
// counts is all of them together, those included by which a Region learns where
// memory may be stored to.
func rowLearning(l *lab, report func(cell)) {
	size := pick[int64](l, 256*miB, 64*miB)
	share := int(256 * miB / size) // as many writes a page in both forms
	for _, kind := range folios {
		counts := []int{50_000 / share, 200_000 / share, 1_000_000 / share, 5_000_000 / share}
		bounds := []float64{0.95, 1.5, 3, 6}
		if l.quick {
			counts = counts[:3]
		}
		name := l.file(size, kind.piece)
		warm(name)
		var entrants []entrant
		for _, o := range writeOpeners {
			entrants = append(entrants, entrant{o.name, func() []float64 {
				syncFile(name)
				w := o.open(name)
				defer w.Close()
				return l.learn(o.name, w, size, counts)
			}})
		}
		got := play(pick(l, 5, 1), entrants...)
		syncFile(name)
		for i, n := range counts {
			report(cell{
				id: "P26", workload: fmt.Sprintf("the first %d WriteAt of 8 B at random in %s, %s", n, sizeName(size), kind.name),
				unit: "ms", order: names(entrants), figures: got[i],
				claims: []claim{asFast(region, osFile, bounds[i]), inform(region, edsrzf)},
			})
			for _, who := range names(entrants) {
				l.point("learning-"+kind.name[:5], who, float64(n), median(got[i][who])/float64(n)*1e6)
			}
		}
	}
}

// learn writes until the last of counts is reached, and returns how many ms
// each of them took. A file whose first writes are slow would take minutes; its
// later ones are like the middle ones, so they are not all made.
func (l *lab) learn(who string, w writer, size int64, counts []int) (took []float64) {
	rng := l.rng()
	p := []byte("8 bytes!")
	done := 0
	begin := time.Now()
	for i, n := range counts {
		if who == osFile && i > 0 && time.Since(begin) > 10*time.Second {
			took = append(took, took[i-1]*float64(n)/float64(counts[i-1]))
			continue
		}
		writeRandomly(w, size, n-done, p, rng)
		done = n
		took = append(took, ms(time.Since(begin)))
	}
	return took
}

// writeRandomly makes n writes.
func writeRandomly(w writer, size int64, n int, p []byte, rng *rand.Rand) {
	for range n {
		must1(w.WriteAt(p, rng.Int64N(size/8)*8))
	}
}
