package difftest

import (
	"io"
	"math"
	"math/rand/v2"
	"os"
)

// What lengths and offsets like to be near to.
const (
	piece = 256 << 10 // how much the library copies at once
	large = 64 << 10  // from here on one call makes it map the file
	// widest is how large a file may become in a play: a file system takes
	// a byte at 2^60 and then has a file nobody can compare.
	widest = 1 << 20
)

var page = int64(os.Getpagesize())

// place returns the offset of c in a file of that size.
func (c call) place(size int64) int64 {
	v := int64(c.offset)
	switch c.where % 16 {
	case 0, 1, 2, 3, 4:
		return v * (size + 1) >> 16
	case 5, 6:
		return size + v%5 - 2
	case 7, 8:
		return v % 16
	case 9:
		return page*(v>>8%4) + v%3 - 1
	case 10:
		return piece + v%3 - 1
	case 11:
		return size + v%(2*page)
	case 12:
		return size &^ (page - 1)
	case 13:
		return v * 4
	case 14:
		return -1 - v%5
	default:
		odd := [...]int64{math.MinInt64, math.MaxInt64, math.MaxInt64 - 10, math.MaxInt32, math.MaxUint32, 1 << 40, 1 << 62, -size - 1}
		return odd[v%int64(len(odd))]
	}
}

// length returns the number of bytes of c.
func (c call) length() int {
	v, p := int(c.detail), int(page)
	switch c.size % 32 {
	case 0:
		return 0
	case 1, 2, 3:
		return 1
	case 4, 5, 6, 7, 8, 9, 10, 11, 12:
		return v % 64
	case 13, 14, 15, 16, 17, 18, 19:
		return v * 16
	case 20, 21, 22, 23:
		return p + v%3 - 1
	case 24, 25, 26:
		return 2*p + v%3 - 1
	case 27, 28:
		return large + v%3 - 1
	case 29:
		return piece + v%3 - 1
	case 30:
		return piece + p + v
	default:
		return 300_000
	}
}

// toEnd reports that c's range ends where the Region does.
func (c call) toEnd() bool { return c.detail%4 == 0 }

// whence returns the third argument of Seek: often a right one.
func (c call) whence() int {
	switch v := c.detail % 16; v {
	case 14:
		return -1
	case 15:
		return 3 + int(c.fill)
	default:
		return int(v) % 3
	}
}

// distance returns the first argument of a Seek with that whence.
func (c call) distance(whence int, size int64) int64 {
	at := c.place(size)
	switch {
	case c.where%16 >= 14: // odd ones stay what they are
	case whence == io.SeekCurrent:
		return at - size/2
	case whence == io.SeekEnd:
		return at - size
	}
	return at
}

// pattern fills p with bytes that begin with what fill says and do not repeat,
// so that what lands in the wrong place shows.
func pattern(p []byte, fill byte) []byte {
	copy(p, patterns[int(fill)*patternStep:])
	return p
}

// patternStep is how far two patterns are apart.
const patternStep = 997

// patterns holds them all. No call is longer than 512 KiB.
var patterns = func() []byte {
	b := make([]byte, 512<<10+256*patternStep)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // cannot fail
	return b
}()
