//go:build linux

package linear

import (
	"hash/maphash"
	"slices"
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
const patience = time.Second

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
			return Undecided
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
	rules := porcupine.Model{
		Init: func() any { return newSet([]state{{data: data, known: len(data)}}) },
		Step: func(s, input, _ any) (bool, any) {
			var next []state
			for _, one := range s.(*set).all {
				next = append(next, m.step(one, input.(event))...)
			}
			return len(next) > 0, newSet(next)
		},
		Equal: func(s, t any) bool { return s.(*set).equal(t.(*set)) },
		Hash:  func(s any) uint64 { return s.(*set).hash },
	}
	return porcupine.CheckOperationsTimeout(rules, all, patience)
}

// set is the states in which a file may be, each of them once.
type set struct {
	all    []state
	hashes []uint64 // of the states, in rising order
	hash   uint64   // of all
}

// newSet makes a set of all states that are in a list.
func newSet(list []state) *set {
	s := &set{all: list[:0:0]}
	for _, one := range list {
		h := maphash.Comparable(seed, one)
		i, _ := slices.BinarySearch(s.hashes, h)
		known := false
		for j := i; j < len(s.hashes) && s.hashes[j] == h; j++ {
			known = known || s.all[j] == one
		}
		if !known {
			s.all, s.hashes, s.hash = slices.Insert(s.all, i, one), slices.Insert(s.hashes, i, h), s.hash+h
		}
	}
	return s
}

// equal reports whether two sets have the same states.
func (s *set) equal(t *set) bool {
	return s.hash == t.hash && len(s.all) == len(t.all) && slices.Equal(s.hashes, t.hashes) && slices.Equal(s.all, t.all)
}
