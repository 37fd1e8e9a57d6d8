package mmap_test

import (
	"errors"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestPageSizes: both units are powers of two, and a place in a file where a
// mapping may begin is a place where a page begins.
func TestPageSizes(t *testing.T) {
	page, unit := mmap.PageSize(), mmap.Granularity()
	if page < 512 || page&(page-1) != 0 {
		t.Errorf("PageSize = %d", page)
	}
	if unit < page || unit&(unit-1) != 0 {
		t.Errorf("Granularity = %d, with pages of %d bytes", unit, page)
	}
}

// TestAlign is the table of edges of AlignDown, AlignUp and Aligned.
func TestAlign(t *testing.T) {
	page := mmap.PageSize()
	const most = math.MaxInt64
	last := most - page + 1 // the greatest multiple
	for _, c := range []struct {
		off, down, up int64 // up -1: an error
		aligned       bool
	}{
		{0, 0, 0, true},
		{1, 0, page, false},
		{page - 1, 0, page, false},
		{page, page, page, true},
		{page + 1, page, 2 * page, false},
		{1<<40 + 1, 1 << 40, 1<<40 + page, false},
		{last - 1, last - page, last, false},
		{last, last, last, true},
		{last + 1, last, -1, false},
		{most, last, -1, false},
		{-1, -page, -1, false},
		{-page, -page, -1, true},
		{-page - 1, -2 * page, -1, false},
		{math.MinInt64, math.MinInt64, -1, true},
	} {
		if got := mmap.AlignDown(c.off); got != c.down {
			t.Errorf("AlignDown(%d) = %d, not %d", c.off, got, c.down)
		}
		if got := mmap.Aligned(c.off); got != c.aligned {
			t.Errorf("Aligned(%d) = %v", c.off, got)
		}
		got, err := mmap.AlignUp(c.off)
		switch {
		case c.up < 0 && (!errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "page")):
			t.Errorf("AlignUp(%d) = %d, %v; want EINVAL", c.off, got, err)
		case c.up >= 0 && (got != c.up || err != nil):
			t.Errorf("AlignUp(%d) = %d, %v; not %d", c.off, got, err, c.up)
		}
	}
}

// TestSpanAlign is the table of edges of Span.Align.
func TestSpanAlign(t *testing.T) {
	page, unit := mmap.PageSize(), mmap.Granularity()
	const most = math.MaxInt64
	last := most - page + 1
	type span = mmap.Span
	for _, c := range []struct {
		s, want span
		lead    int64
	}{
		{span{0, 0}, span{0, 0}, 0},
		{span{0, 1}, span{0, page}, 0},
		{span{0, page}, span{0, page}, 0},
		{span{0, page + 1}, span{0, 2 * page}, 0},
		{span{1, 1}, span{0, page}, 1},
		{span{page - 1, 1}, span{0, page}, page - 1},
		{span{page - 1, 2}, span{0, 2 * page}, page - 1},
		{span{unit, 1}, span{unit, page}, 0},
		{span{unit - 1, 1}, span{0, unit}, unit - 1},
		{span{unit + 5, unit}, span{unit, unit + page}, 5},
		{span{0, last}, span{0, last}, 0},
		{span{last, 0}, span{last &^ (unit - 1), last & (unit - 1)}, last & (unit - 1)},
	} {
		got, lead, err := c.s.Align()
		if got != c.want || lead != c.lead || err != nil {
			t.Errorf("%+v.Align() = %+v, %d, %v; not %+v, %d", c.s, got, lead, err, c.want, c.lead)
		}
		if got.Off > c.s.Off || got.Off+got.Len < c.s.Off+c.s.Len {
			t.Errorf("%+v.Align() = %+v does not contain it", c.s, got)
		}
	}
	for _, s := range []span{
		{-1, 1}, {1, -1}, {-1, -1}, {math.MinInt64, 0}, {0, math.MinInt64}, {-page, page},
		{0, most}, {most, 0}, {most, 1}, {1, most}, {most, most}, {last, 1}, {1 << 62, 1 << 62},
	} {
		if got, lead, err := s.Align(); !errors.Is(err, syscall.EINVAL) || got != (span{}) || lead != 0 {
			t.Errorf("%+v.Align() = %+v, %d, %v; want EINVAL", s, got, lead, err)
		}
	}
}
