package mmap

import (
	"math/rand"
	"testing"
)

// TestBitmap plays random ranges on a bitmap and on a slice of bools, across
// the boundaries of words and of parts.
func TestBitmap(t *testing.T) {
	const n = 3*chunkBits + 77
	var b bitmap
	want := make([]bool, n)
	rnd := rand.New(rand.NewSource(1))
	places := []int64{0, 1, 63, 64, 65, chunkBits - 1, chunkBits, chunkBits + 1, 2 * chunkBits, n - 1, n}
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
			b.add(lo, hi, n)
		} else {
			b.remove(lo, hi)
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
		if got := b.nextClear(from, to); got != first {
			t.Fatalf("after(%d, %d) = %d, want %d", from, to, got, first)
		}
		if got := b.contains(from, to); got != (first == to) {
			t.Fatalf("all(%d, %d) = %v", from, to, got)
		}
	}
}

// TestBitmapForgetsAll: what was emptied at once is empty, and can be filled
// again.
func TestBitmapForgetsAll(t *testing.T) {
	var b bitmap
	for range 3 {
		b.add(5, chunkBits+5, 2*chunkBits)
		b.remove(0, 2*chunkBits)
		if at := b.nextClear(0, 2*chunkBits); at != 0 || b.contains(5, 6) || b.contains(chunkBits, chunkBits+1) {
			t.Fatal("something is left")
		}
	}
}
