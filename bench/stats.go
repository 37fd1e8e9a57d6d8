package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// series are the figures of one entrant, one a round.
type series []float64

// figures are the series of all entrants of one measurement, by name. Round i
// of one is to be compared with round i of another, and with nothing else.
type figures map[string]series

// median returns the middle of s, or the mean of the two in the middle; NaN
// of nothing.
func median(s series) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// quantile returns the value below which a part q of s lies, 0 ≤ q ≤ 1.
func quantile(s series, q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// certain returns between what the median of all rounds there could be lies with
// 95 % certainty: by how often as many coins as there are rounds fall on one
// side. Below six rounds that is between the smallest and the largest.
func certain(s series) (low, high float64) {
	sorted := slices.Sorted(slices.Values(s))
	n, out := len(sorted), 0 // how many are outside, at each end
	term := math.Pow(0.5, float64(n))
	for tail := term; tail <= 0.025; tail += term { // that out coins or fewer fall on one side
		out++
		term *= float64(n-out+1) / float64(out)
	}
	out = max(out-1, 0)
	return sorted[out], sorted[n-1-out]
}

// ratios divides round by round.
func ratios(num, den series) series {
	out := make(series, min(len(num), len(den)))
	for i := range out {
		out[i] = num[i] / den[i]
	}
	return out
}

// best returns, round by round, the best of the named entrants: the largest
// figure, or the smallest.
func (f figures) best(largest bool, names ...string) series {
	var out series
	for _, name := range names {
		for i, v := range f[name] {
			switch {
			case i == len(out):
				out = append(out, v)
			case largest:
				out[i] = max(out[i], v)
			default:
				out[i] = min(out[i], v)
			}
		}
	}
	return out
}

// claim is a target: a bound on the ratio of two entrants, or, without den, on
// one entrant's own figure.
type claim struct {
	num, den string
	op       string // "≥" or "≤"; "" is no target, for information
	bound    float64
	speed    bool // the figures are times and the ratio is of speeds: den's time by num's
}

// The kinds of claims.
func atLeast(num, den string, bound float64) claim { return claim{num, den, "≥", bound, false} }
func atMost(num, den string, bound float64) claim  { return claim{num, den, "≤", bound, false} }
func asFast(num, den string, bound float64) claim  { return claim{num, den, "≥", bound, true} }
func inform(num, den string) claim                 { return claim{num: num, den: den} }

// judged is a claim and what the rounds say about it.
type judged struct {
	claim
	mid, low, high float64
	rounds         int
	best           float64 // the ratio of the best figures of all rounds
}

// judge compares the claim with the figures, of which small ones are good
// (times), or large ones.
func (c claim) judge(f figures, small bool) judged {
	values := f[c.num]
	if c.den != "" {
		values = ratios(f[c.num], f[c.den])
	}
	if c.speed {
		values = ratios(f[c.den], f[c.num])
	}
	j := judged{claim: c, mid: median(values), rounds: len(values)}
	if len(values) > 0 {
		j.low, j.high = certain(values)
		pick := slices.Max[series]
		if small {
			pick = slices.Min[series]
		}
		j.best = pick(f[c.num])
		if c.den != "" {
			j.best /= pick(f[c.den])
		}
		if c.speed {
			j.best = 1 / j.best
		}
	}
	return j
}

// meets reports whether v is within the bound.
func (c claim) meets(v float64) bool {
	switch c.op {
	case "≥":
		return v >= c.bound
	case "≤":
		return v <= c.bound
	}
	return !math.IsNaN(v)
}

// verdict says in words whether the target is met: by the median, because
// single rounds catch what else the machine does. A median that misses by less
// than it is uncertain is even with the target; of another miss it says how far
// off it is. A miss in a single round says nothing yet.
func (j judged) verdict() string {
	switch {
	case j.rounds == 0 || math.IsNaN(j.mid):
		return "not measured"
	case j.op == "":
		return "–"
	case j.meets(j.mid):
		return "met"
	case j.rounds == 1:
		return fmt.Sprintf("once: %s of %s", short(j.mid), short(j.bound))
	case j.meets(j.low) || j.meets(j.high):
		return "even"
	case short(j.mid) == short(j.bound):
		return fmt.Sprintf("short: %.4f of %s", j.mid, short(j.bound))
	}
	return fmt.Sprintf("short: %s of %s", short(j.mid), short(j.bound))
}

// target is the claim in words; a ratio without a target says what it is of.
func (c claim) target() string {
	words := strings.TrimSpace(c.op + " " + short(c.bound))
	switch {
	case c.op == "" && c.den == "":
		return "–"
	case c.op == "":
		return "(" + c.num + " by " + c.den + ")"
	case c.den == "":
		return words
	case c.speed:
		return words + " × the speed of " + c.den
	}
	return words + " × " + c.den
}

// short writes a number with three significant digits, but never as a power.
func short(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 0):
		return "∞"
	case v == math.Trunc(v) && a < 1e6:
		return fmt.Sprintf("%.0f", v)
	case a >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4f", v)
}
