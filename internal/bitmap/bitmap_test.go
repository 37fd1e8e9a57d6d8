package bitmap

import (
	"math/rand"
	"testing"
)

// TestBitmap plays random ranges on a Set and on a slice of bools, across
// the boundaries of words and of chunks.
func TestBitmap(t *testing.T) {
	const n = 3*ChunkBits + 77
	b := Set{N: n}
	want := make([]bool, n)
	rnd := rand.New(rand.NewSource(1))
	places := []int64{0, 1, 63, 64, 65, ChunkBits - 1, ChunkBits, ChunkBits + 1, 2 * ChunkBits, n - 1, n}
	place := func() int64 {
		if rnd.Intn(2) == 0 {
			return places[rnd.Intn(len(places))]
		}
		return rnd.Int63n(n + 1)
	}
	for range 400 {
		lo, hi := place(), place()
		lo, hi = min(lo, hi), max(lo, hi)
		add := rnd.Intn(3) > 0
		if add {
			b.Add(lo, hi)
		} else {
			b.Remove(lo, hi)
		}
		for i := lo; i < hi; i++ {
			want[i] = add
		}
		from, to := place(), place()
		from, to = min(from, to), max(from, to)
		first := from
		for first < to && want[first] {
			first++
		}
		if got := b.NextClear(from, to); got != first {
			t.Fatalf("NextClear(%d, %d) = %d, want %d", from, to, got, first)
		}
		if got := b.Contains(from, to); got != (first == to) {
			t.Fatalf("Contains(%d, %d) = %v", from, to, got)
		}
		for first = from; first < to && !want[first]; {
			first++
		}
		if got := b.NextSet(from, to); got != first {
			t.Fatalf("NextSet(%d, %d) = %d, want %d", from, to, got, first)
		}
	}
}

// TestBitmapForgetsAll: what was emptied at once is empty, and can be filled
// again.
func TestBitmapForgetsAll(t *testing.T) {
	b := Set{N: 2 * ChunkBits}
	for range 3 {
		b.Add(5, ChunkBits+5)
		b.Remove(0, 2*ChunkBits)
		if at := b.NextClear(0, 2*ChunkBits); at != 0 || b.Contains(5, 6) || b.Contains(ChunkBits, ChunkBits+1) {
			t.Fatal("something is left")
		}
	}
}

// TestBitmapEdges puts ranges in and takes them out that begin and end where
// words and chunks do, or one beside, and asks about all such ranges.
func TestBitmapEdges(t *testing.T) {
	const chunk, size = ChunkBits, 2*ChunkBits + 100
	places := []int64{0, 1, 63, 64, 65, chunk - 64, chunk - 1, chunk, chunk + 1, chunk + 64, 2*chunk - 1, 2 * chunk, 2*chunk + 1, size}
	for i, lo := range places {
		for _, hi := range places[i:] {
			in, out := &Set{N: size}, &Set{N: size}
			in.Add(lo, hi)
			out.Add(0, size)
			out.Remove(lo, hi)
			if in.Any() != (lo < hi) || lo == 0 && hi == size && out.Any() {
				t.Errorf("[%d, %d): in has some: %v; out: %v", lo, hi, in.Any(), out.Any())
			}
			for j, from := range places {
				for _, to := range places[j:] {
					both := max(min(hi, to)-max(lo, from), 0)
					after := from // the first that is not in [lo, hi)
					if lo <= from && from < hi {
						after = min(hi, to)
					}
					checkBitmap(t, in, from, to, both, after)
					after = to // the first that is
					if both > 0 {
						after = max(lo, from)
					}
					checkBitmap(t, out, from, to, to-from-both, after)
				}
			}
			if t.Failed() {
				t.Fatalf("[%d, %d)", lo, hi)
			}
		}
	}
}

// checkBitmap asks about one range: how many of it are in the set, and which is
// the first that is not.
func checkBitmap(t *testing.T, set *Set, lo, hi, count, after int64) {
	t.Helper()
	if all := set.Contains(lo, hi); all != (count == hi-lo) {
		t.Errorf("all of [%d, %d): %v", lo, hi, all)
	}
	if got := set.NextClear(lo, hi); got != after {
		t.Errorf("[%d, %d) has all up to %d, not %d", lo, hi, got, after)
	}
	if hi-lo > 1000 {
		return // counting takes its time
	}
	if got := set.Count(lo, hi); got != count {
		t.Errorf("[%d, %d) has %d, not %d", lo, hi, got, count)
	}
}
