//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Mutants are copies of the library in which one bound or one rounding of the
// range arithmetic is wrong. Each must make a test fail: one that lives shows a
// bound that no test looks at, or one that does not matter.

// ranges are the functions with that arithmetic, by file.
var ranges = map[string][]string{
	"page.go":     {"AlignDown", "AlignUp", "alignUp", "Aligned", "Align"},
	"view.go":     {"span", "shown", "Bytes", "handOut", "typed"},
	"region.go":   {"visible", "publish", "cutTo"},
	"resident.go": {"pageRange", "holds", "maskFrom"},
	"reader.go":   {"readFile", "loadPages", "readFixed"},
	"writer.go":   {"writeFile", "storePages", "writeFixed", "clearTail"},
	"guard.go":    {"around", "bytes", "transfer", "bounce"},
}

// mutantTests are the tests that are to kill them.
const mutantTests = "^(TestAlign|TestSpanAlign|TestControl|TestCut|TestDiff|TestView|TestTyped|TestBytes|TestReader|TestReadLike|TestWrite|TestFixed|TestPrivate|TestOpen|TestBug|TestSharedGrows|TestAnonymous|TestReadInto|TestCopyInto|TestProtect)"

// mutant is one change of one file.
type mutant struct {
	what string
	file string
	text []byte
}

// runMutants makes mutants and counts the killed.
func runMutants(ctx context.Context, l *lab) error {
	root, err := library()
	if err != nil {
		return err
	}
	all, err := mutants(root)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("no mutants: the run shows nothing")
	}
	rng := rand.New(rand.NewPCG(l.seed, 6))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	tried := all[:min(len(all), pick(l, len(all), 6))]
	// The tests must pass without a mutant, or all would count as killed.
	if killed, out := mutant.killed(mutant{}, ctx, l, root, 0); killed {
		return fmt.Errorf("the tests fail without a mutant: %s", failures(out))
	}
	var mu sync.Mutex
	var lived []string
	dead, invalid := 0, 0
	next := make(chan int)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for i := range next {
				killed, out := tried[i].killed(ctx, l, root, i+1)
				mu.Lock()
				switch {
				case bytes.Contains(out, []byte("[build failed]")):
					invalid++
				case killed:
					dead++
				default:
					lived = append(lived, tried[i].what)
				}
				mu.Unlock()
			}
		})
	}
	for i := range tried {
		if ctx.Err() == nil {
			next <- i
		}
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	slices.Sort(lived)
	ran := len(tried) - invalid
	l.figure("mutants of the range arithmetic", "%d of %d tried, %d killed (%d %%)", ran, len(all)-invalid, dead, 100*dead/max(ran, 1))
	if len(lived) > 0 {
		l.figure("mutants that lived", "%s", strings.Join(lived, "\n"))
	}
	if dead*2 < ran {
		return fmt.Errorf("only %d of %d mutants were killed", dead, ran)
	}
	return nil
}

// killed runs the tests with a mutant in place of its file.
func (m mutant) killed(ctx context.Context, l *lab, root string, n int) (bool, []byte) {
	args := []string{"test", "-short", "-failfast", "-timeout=90s", "-run=" + mutantTests}
	if m.file != "" {
		copied, overlay := l.path(fmt.Sprintf("%d.go", n)), l.path(fmt.Sprintf("%d.json", n))
		defer os.Remove(copied)
		defer os.Remove(overlay)
		list, _ := json.Marshal(map[string]any{"Replace": map[string]string{m.file: copied}}) // cannot fail
		if errors.Join(os.WriteFile(copied, m.text, 0o600), os.WriteFile(overlay, list, 0o600)) != nil {
			return false, nil
		}
		args = append(args, "-overlay="+overlay)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	out, err := command(ctx, root, []string{"CGO_ENABLED=0", "TMPDIR=" + l.dir}, "go", append(args, "-vet=off", ".")...)
	return err != nil, out
}

// mutants returns all mutants of all ranges.
func mutants(root string) (all []mutant, err error) {
	for name, functions := range ranges {
		file := filepath.Join(root, name)
		for n := 0; ; n++ {
			m, err := nthMutant(file, functions, n)
			if err != nil {
				return nil, err
			}
			if m == nil {
				break
			}
			all = append(all, *m)
		}
	}
	slices.SortFunc(all, func(a, b mutant) int { return strings.Compare(a.what, b.what) })
	return all, nil
}

// nthMutant parses a file and makes its nth change.
func nthMutant(file string, functions []string, n int) (*mutant, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	what := ""
	for _, decl := range tree.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || !slices.Contains(functions, fn.Name.Name) {
			continue
		}
		ast.Inspect(fn.Body, func(node ast.Node) bool {
			if node == nil || what != "" {
				return false
			}
			for _, change := range changes(node) {
				if n--; n < 0 {
					at := set.Position(node.Pos())
					what = fmt.Sprintf("%s:%d: %s", filepath.Base(file), at.Line, change())
					return false
				}
			}
			return true
		})
	}
	if what == "" {
		return nil, nil
	}
	var b bytes.Buffer
	if err := format.Node(&b, set, tree); err != nil {
		return nil, err
	}
	return &mutant{what, file, b.Bytes()}, nil
}

// flips are what stands for what in a mutant.
var flips = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.ADD: token.SUB, token.SUB: token.ADD, token.AND: token.OR, token.AND_NOT: token.AND,
	token.SHL: token.SHR, token.SHR: token.SHL,
}

// renames are functions that round or bound the other way.
var renames = map[string]string{"min": "max", "max": "min", "alignUp": "AlignDown", "AlignDown": "alignUp"}

// changes returns what can be changed at a node; each says what it was.
func changes(node ast.Node) (all []func() string) {
	switch e := node.(type) {
	case *ast.BinaryExpr:
		if to, ok := flips[e.Op]; ok {
			all = append(all, func() string {
				was := e.Op
				e.Op = to
				return fmt.Sprintf("%v became %v", was, to)
			})
		}
	case *ast.BasicLit:
		if v, err := strconv.Atoi(e.Value); e.Kind == token.INT && err == nil {
			all = append(all, func() string {
				e.Value = strconv.Itoa(v + 1)
				return fmt.Sprintf("%d became %d", v, v+1)
			})
		}
	case *ast.CallExpr:
		if name, ok := e.Fun.(*ast.Ident); ok && renames[name.Name] != "" {
			all = append(all, func() string {
				was := name.Name
				name.Name = renames[was]
				return fmt.Sprintf("%s became %s", was, name.Name)
			})
		}
	}
	return all
}
