package mmap

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// PageSize returns the size of a memory page in bytes: the unit in which the
// system maps, protects, locks and evicts. It is a power of two.
func PageSize() int64 { return pageSize }

// Granularity returns, in bytes, what the offset of a mapping in its file must
// be a multiple of: a page on Unix, 64 KiB on Windows. A [Region] takes any
// offset and aligns inside. It is a power of two and a multiple of [PageSize].
func Granularity() int64 { return granularity }

var (
	pageSize    = int64(os.Getpagesize())
	granularity = int64(sys.Granularity())
	pageShift   = bits.TrailingZeros64(uint64(pageSize))
)

// AlignDown returns the greatest multiple of [PageSize] that is not greater
// than off, a number of bytes. It rounds a negative off away from zero.
func AlignDown(off int64) int64 { return off &^ (pageSize - 1) }

// AlignUp returns the smallest multiple of [PageSize] that is not less than
// off, a number of bytes. A negative off, and one whose multiple does not fit
// an int64, is an error wrapping EINVAL.
func AlignUp(off int64) (int64, error) {
	if off < 0 || off > math.MaxInt64-(pageSize-1) {
		return 0, fmt.Errorf("mmap: no page boundary at or after %d: %w", off, syscall.EINVAL)
	}
	return alignUp(off), nil
}

// alignUp is AlignUp for an off known to be the length of something.
func alignUp(off int64) int64 { return (off + pageSize - 1) &^ (pageSize - 1) }

// Aligned reports whether off, a number of bytes, is a multiple of [PageSize].
func Aligned(off int64) bool { return off&(pageSize-1) == 0 }

// Span is a range of bytes: Len of them from Off on.
type Span struct{ Off, Len int64 }

// Align returns the smallest span that contains s and can be mapped: it begins
// at a multiple of [Granularity] and ends at one of [PageSize]. Lead is the
// number of bytes by which it begins before s, from 0 to Granularity-1. A
// negative offset or length, and an end that does not fit an int64, is an
// error wrapping EINVAL.
func (s Span) Align() (aligned Span, lead int64, err error) {
	if s.Off < 0 || s.Len < 0 || s.Off > math.MaxInt64-s.Len {
		return Span{}, 0, fmt.Errorf("mmap: no span of %d bytes at %d: %w", s.Len, s.Off, syscall.EINVAL)
	}
	end, err := AlignUp(s.Off + s.Len)
	if err != nil {
		return Span{}, 0, err
	}
	lead = s.Off & (granularity - 1)
	start := s.Off - lead
	return Span{Off: start, Len: max(end-start, 0)}, lead, nil
}

// ToEnd, as the length of a range, means to the end of the Region.
const ToEnd int64 = -1
