package linear

import (
	"hash/maphash"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what came of a check.
type Verdict uint8

const (
	Linearizable Verdict = iota
	Torn                 // linearizable, with what tear.go allows
	Undecided            // there was not enough time
	Illegal              // not linearizable
)

// String says it in words.
func (v Verdict) String() string {
	return [...]string{"linearizable", "linearizable with torn calls", "undecided", "not linearizable"}[v]
}

// patience is how long one check may take.
const patience = 2 * time.Second

// seed is that of the hashes of states.
var seed = maphash.MakeSeed()

// Check looks for an order of the calls that explains their results.
func (h History) Check() Verdict {
	g := newGrid(h)
	if h.check(g, func(i int) []event { return []event{g.event(h.Ops[i])} }) == porcupine.Ok {
		return Linearizable
	}
	for _, fine := range []bool{false, true} {
		switch h.check(g, newTearer(h, g, fine).events) {
		case porcupine.Ok:
			return Torn
		case porcupine.Unknown:
			if fine {
				return Undecided
			}
		}
	}
	return Illegal
}

// check checks the history with each call replaced by its events.
func (h History) check(g grid, events func(i int) []event) porcupine.CheckResult {
	m := &model{grid: g, append: h.Append, exact: h.Exact}
	var data string
	for _, tag := range []byte(h.start()) {
		data += repeat(tag, len(g.cuts))
	}
	var all []porcupine.Operation
	for i, o := range h.Ops {
		for _, e := range events(i) {
			all = append(all, porcupine.Operation{ClientId: o.Goroutine, Input: e, Call: o.Begin, Return: o.End})
		}
	}
	rules := porcupine.NondeterministicModel{
		Init: func() []any { return []any{state{data: data, known: len(data)}} },
		Step: func(s, input, _ any) (next []any) {
			for _, t := range m.step(s.(state), input.(event)) {
				next = append(next, t)
			}
			return next
		},
		Hash: func(s any) uint64 { return maphash.Comparable(seed, s.(state)) },
	}
	return porcupine.CheckOperationsTimeout(rules.ToModel(), all, patience)
}
