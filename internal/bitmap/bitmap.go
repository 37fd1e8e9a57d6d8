// Package bitmap has a set of small integers that many goroutines read and
// change without a lock. The library keeps in it what it knows of pages.
package bitmap

import (
	"math/bits"
	"sync/atomic"
)

// Set is a set of integers in [0, N). The zero value with N set is empty and
// ready for use. Every method may run beside every other; each word of 64
// numbers changes in one step, a longer range does not.
//
// The set lies in chunks. A chunk takes no memory until something is added to
// it, and is skipped while it is empty: what a Set costs depends on what is in
// it, not on N.
type Set struct {
	N      int64 // numbers are below N; not to be changed
	chunks atomic.Pointer[[]atomic.Pointer[chunk]]
}

// ChunkBits is the number of integers in one chunk: the pages of 1 GiB, in
// 32 KiB of memory.
const ChunkBits = 1 << 18

// chunk is one part of a Set. Protocol: Add sets the bits first and then
// notEmpty; Remove of the whole chunk clears notEmpty first and then the bits.
// So a chunk with a bit set by an Add that has returned is never skipped.
type chunk struct {
	notEmpty atomic.Bool // some bit may be set
	n        int64       // integers in this chunk
	words    []atomic.Uint64
}

// chunk returns the chunk that holds lo, or nil if nothing was ever added to it.
func (s *Set) chunk(lo int64) *chunk {
	if chunks := s.chunks.Load(); chunks != nil {
		return (*chunks)[lo/ChunkBits].Load()
	}
	return nil
}

// ensureChunk returns the chunk that holds lo, and makes it if need be.
func (s *Set) ensureChunk(lo int64) *chunk {
	chunks := s.chunks.Load()
	if chunks == nil {
		made := make([]atomic.Pointer[chunk], (s.N+ChunkBits-1)/ChunkBits)
		if !s.chunks.CompareAndSwap(nil, &made) {
			made = *s.chunks.Load()
		}
		chunks = &made
	}
	at := &(*chunks)[lo/ChunkBits]
	if c := at.Load(); c != nil {
		return c
	}
	n := min(s.N-lo/ChunkBits*ChunkBits, ChunkBits)
	at.CompareAndSwap(nil, &chunk{n: n, words: make([]atomic.Uint64, (n+63)>>6)})
	return at.Load()
}

// word returns the word that holds lo.
func (c *chunk) word(lo int64) *atomic.Uint64 { return &c.words[lo%ChunkBits>>6] }

// Contains reports whether all of [lo, hi) are in the set.
func (s *Set) Contains(lo, hi int64) bool {
	for lo < hi {
		c := s.chunk(lo)
		if c == nil {
			return false
		}
		for end := chunkEnd(lo, hi); lo < end; {
			mask, next := maskFrom(lo, end)
			if c.word(lo).Load()&mask != mask {
				return false
			}
			lo = next
		}
	}
	return true
}

// Add puts [lo, hi) into the set and returns how many were not in it before.
func (s *Set) Add(lo, hi int64) (added int64) {
	for lo < hi {
		c := s.ensureChunk(lo)
		for end := chunkEnd(lo, hi); lo < end; {
			mask, next := maskFrom(lo, end)
			if c.word(lo).Load()&mask != mask {
				added += int64(bits.OnesCount64(mask &^ c.word(lo).Or(mask)))
			}
			lo = next
		}
		if !c.notEmpty.Load() {
			c.notEmpty.Store(true)
		}
	}
	return added
}

// Remove takes [lo, hi) out of the set and returns how many were in it before.
func (s *Set) Remove(lo, hi int64) (removed int64) {
	for lo < hi {
		end := chunkEnd(lo, hi)
		c := s.chunk(lo)
		if c != nil && c.notEmpty.Load() {
			if end-lo == c.n {
				c.notEmpty.Store(false)
			}
			for at := lo; at < end; {
				mask, next := maskFrom(at, end)
				if c.word(at).Load()&mask != 0 {
					removed += int64(bits.OnesCount64(mask & c.word(at).And(^mask)))
				}
				at = next
			}
		}
		lo = end
	}
	return removed
}

// NextClear returns the first number of [lo, hi) that is not in the set, or hi.
func (s *Set) NextClear(lo, hi int64) int64 {
	for lo < hi {
		c := s.chunk(lo)
		if c == nil {
			return lo
		}
		for end := chunkEnd(lo, hi); lo < end; {
			mask, next := maskFrom(lo, end)
			if missing := mask &^ c.word(lo).Load(); missing != 0 {
				return lo&^63 + int64(bits.TrailingZeros64(missing))
			}
			lo = next
		}
	}
	return hi
}

// NextSet returns the first number of [lo, hi) that is in the set, or hi.
func (s *Set) NextSet(lo, hi int64) int64 {
	for lo < hi {
		end := chunkEnd(lo, hi)
		if c := s.chunk(lo); c != nil && c.notEmpty.Load() {
			for at := lo; at < end; {
				mask, next := maskFrom(at, end)
				if found := c.word(at).Load() & mask; found != 0 {
					return at&^63 + int64(bits.TrailingZeros64(found))
				}
				at = next
			}
		}
		lo = end
	}
	return hi
}

// Any reports whether something may be in the set. False is certain.
func (s *Set) Any() bool {
	chunks := s.chunks.Load()
	if chunks == nil {
		return false
	}
	for i := range *chunks {
		if c := (*chunks)[i].Load(); c != nil && c.notEmpty.Load() {
			return true
		}
	}
	return false
}

// Count returns how many of [lo, hi) are in the set.
func (s *Set) Count(lo, hi int64) (n int64) {
	for lo < hi {
		end := chunkEnd(lo, hi)
		if c := s.chunk(lo); c != nil && c.notEmpty.Load() {
			for at := lo; at < end; {
				mask, next := maskFrom(at, end)
				n += int64(bits.OnesCount64(c.word(at).Load() & mask))
				at = next
			}
		}
		lo = end
	}
	return n
}

// chunkEnd returns the end of [lo, hi) within lo's chunk.
func chunkEnd(lo, hi int64) int64 { return min(hi, lo|(ChunkBits-1)+1) }

// maskFrom returns the bits of [lo, hi) that share lo's word, and where the
// next word begins.
func maskFrom(lo, hi int64) (mask uint64, next int64) {
	next = min(lo|63+1, hi)
	return (1<<uint(next-lo) - 1) << uint(lo&63), next
}
