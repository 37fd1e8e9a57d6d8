//go:build linux

package main

import (
	"cmp"
	"fmt"
	"go/token"
	"strings"
)

// mutant is one thing that is wrong. Its first three fields are its name: they
// stay what they are when the code around it is edited or moved.
type mutant struct {
	Function string // with its package and its type, as mmap.Region.ReadAt
	Operator string // what becomes what
	Ordinal  int    // 1 for the first such change in the function

	place string // file and line, for whoever looks for it
	text  string // what is written there
}

// name is what a mutant is called in the list of survivors.
type name struct {
	Function, Operator string
	Ordinal            int
}

// name returns the mutant's.
func (m mutant) name() name { return name{m.Function, m.Operator, m.Ordinal} }

// String shows where the mutant is.
func (m mutant) String() string {
	return fmt.Sprintf("%s: %s: %s #%d: %s", m.place, m.Function, m.Operator, m.Ordinal, m.text)
}

// compare is the order of names.
func (n name) compare(o name) int {
	return cmp.Or(strings.Compare(n.Function, o.Function), strings.Compare(n.Operator, o.Operator), cmp.Compare(n.Ordinal, o.Ordinal))
}

// flips says what an operator becomes.
var flips = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.ADD: token.SUB, token.SUB: token.ADD, token.QUO: token.MUL, token.MUL: token.QUO, token.REM: token.QUO,
	token.AND: token.OR, token.OR: token.AND, token.AND_NOT: token.AND,
	token.SHL: token.SHR, token.SHR: token.SHL,
}

// opNames are the operators in names of functions.
var opNames = map[token.Token]string{
	token.LSS: "Less", token.LEQ: "AtMost", token.GTR: "Greater", token.GEQ: "AtLeast",
	token.ADD: "Add", token.SUB: "Sub", token.QUO: "Div", token.MUL: "Mul", token.REM: "Rem",
	token.AND: "And", token.OR: "Or", token.AND_NOT: "AndNot", token.SHL: "Left", token.SHR: "Right",
}

// others says what a function that rounds or bounds becomes.
var others = map[string]string{"min": "max", "max": "min", "alignUp": "AlignDown", "AlignDown": "alignUp"}

// The environment of a test binary with mutants in it.
const (
	mutantEnv = "MMAP_MUTANT"      // the number of the one that is switched on
	reachEnv  = "MMAP_MUTANT_FILE" // the file to write the numbers to that were reached
)

// switches is the file that is added to each package: what asks whether a mutant
// is switched on, and the operators that do so.
const switches = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

type mutantInt interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

var (
	mutantNow, _   = strconv.Atoi(os.Getenv("` + mutantEnv + `"))
	mutantFile     = func() *os.File {
		f, err := os.OpenFile(os.Getenv("` + reachEnv + `"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return nil
		}
		return f
	}()
	mutantReached [%d]atomic.Bool
)

func mutantOn(n int) bool {
	if mutantFile != nil && !mutantReached[n].Load() && !mutantReached[n].Swap(true) {
		mutantFile.WriteString(strconv.Itoa(n) + "\n")
	}
	return n == mutantNow
}

func mutantMore[T mutantInt](n int, x T) T {
	if mutantOn(n) {
		return x + 1
	}
	return x
}

func mutantMin[T mutantInt](n int, x T, more ...T) T {
	for _, y := range more {
		if x < y == mutantOn(n) {
			x = y
		}
	}
	return x
}

func mutantMax[T mutantInt](n int, x T, more ...T) T {
	for _, y := range more {
		if x > y == mutantOn(n) {
			x = y
		}
	}
	return x
}

func mutantPick[F any](n int, right, wrong F) F {
	if mutantOn(n) {
		return wrong
	}
	return right
}
`

// binary is such an operator: its name, its second type parameter, its second
// parameter's type, its result, what it does when it is wrong and when right.
const binary = `
func mutant%s[T mutantInt%s](n int, x T, y %s) %s {
	if mutantOn(n) {
		return x %s y
	}
	return x %s y
}
`

// switchesFor returns the file for a package, for mutants below n.
func switchesFor(pkg string, n int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, switches, pkg, n)
	for op, name := range opNames {
		more, second, result := "", "T", "T"
		switch op {
		case token.LSS, token.LEQ, token.GTR, token.GEQ:
			result = "bool"
		case token.SHL, token.SHR:
			more, second = ", U mutantInt", "U"
		}
		fmt.Fprintf(&b, binary, name, more, second, result, flips[op], op)
	}
	return []byte(b.String())
}
