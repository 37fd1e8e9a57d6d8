package main

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   series
		want float64
	}{
		{series{3}, 3},
		{series{3, 1}, 2},
		{series{9, 1, 5}, 5},
		{series{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.in); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.in, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median(nil) = %v, want NaN", got)
	}
	if s := (series{3, 1, 2}); median(s) != 2 || s[0] != 3 {
		t.Errorf("median changed the order of its input: %v", s)
	}
}

func TestQuantile(t *testing.T) {
	s := series{4, 3, 2, 1, 0}
	for q, want := range map[float64]float64{0: 0, 0.5: 2, 0.99: 4, 1: 4} {
		if got := quantile(s, q); got != want {
			t.Errorf("quantile(%v) = %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("quantile of nothing is a number")
	}
}

func TestCertain(t *testing.T) {
	// The order statistics of the sign test, as tables have them.
	for n, out := range map[int]int{1: 0, 2: 0, 5: 0, 6: 0, 8: 0, 9: 1, 11: 1, 12: 2, 15: 3, 22: 5, 31: 9, 51: 18} {
		s := make(series, n)
		for i := range s {
			s[i] = float64((i*7 + 3) % n) // 7 divides none of them: all of 0 to n-1
		}
		low, high := certain(s)
		if low != float64(out) || high != float64(n-1-out) {
			t.Errorf("of %d: %v to %v, want %d to %d", n, low, high, out, n-1-out)
		}
	}
}

func TestJudge(t *testing.T) {
	f := figures{"a": {2, 4, 9}, "b": {1, 2, 3}, "once": {4}}
	for _, c := range []struct {
		claim
		mid, low, high float64
		verdict        string
	}{
		{atLeast("a", "b", 2), 2, 2, 3, "met"},
		{atLeast("a", "b", 2.5), 2, 2, 3, "even"},
		{atLeast("a", "b", 4), 2, 2, 3, "short: 2 of 4"},
		{atMost("b", "a", 0.4), 0.5, 1.0 / 3, 0.5, "even"},
		{atMost("b", "a", 0.5), 0.5, 1.0 / 3, 0.5, "met"},
		{atMost("a", "", 10), 4, 2, 9, "met"},
		{atMost("a", "", 1), 4, 2, 9, "short: 4 of 1"},
		{asFast("b", "a", 2), 2, 2, 3, "met"},
		{atMost("once", "", 1), 4, 4, 4, "once: 4 of 1"},
		{inform("a", "b"), 2, 2, 3, "–"},
		{atLeast("a", "absent", 1), math.NaN(), 0, 0, "not measured"},
	} {
		j := c.judge(f, true)
		same := j.mid == c.mid || math.IsNaN(j.mid) && math.IsNaN(c.mid)
		if !same || j.low != c.low || j.high != c.high || j.verdict() != c.verdict {
			t.Errorf("%+v: %v [%v..%v] %q", c.claim, j.mid, j.low, j.high, j.verdict())
		}
	}
}

func TestJudgeBest(t *testing.T) {
	f := figures{"a": {2, 4, 9}, "b": {1, 2, 3}}
	for _, c := range []struct {
		claim
		small bool
		want  float64
	}{
		{atLeast("a", "b", 1), true, 2},
		{atLeast("a", "b", 1), false, 3},
		{asFast("a", "b", 1), true, 0.5},
		{atMost("a", "", 1), true, 2},
	} {
		if got := c.judge(f, c.small).best; got != c.want {
			t.Errorf("%+v, small %v: best %v, want %v", c.claim, c.small, got, c.want)
		}
	}
}

func TestBest(t *testing.T) {
	f := figures{"a": {2, 4}, "b": {3, 1}}
	if got := f.best(true, "a", "b"); got[0] != 3 || got[1] != 4 {
		t.Errorf("largest: %v", got)
	}
	if got := f.best(false, "a", "b"); got[0] != 2 || got[1] != 1 {
		t.Errorf("smallest: %v", got)
	}
	if got := f.best(true, "absent"); got != nil {
		t.Errorf("of nobody: %v", got)
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0", 1: "1", 0.025: "0.0250", 0.93: "0.93", 5.14: "5.14", 23.45: "23.4", 1234.5: "1234", 2.5e6: "2.5M",
	} {
		if got := short(in); got != want {
			t.Errorf("short(%v) = %q, want %q", in, got, want)
		}
	}
}
