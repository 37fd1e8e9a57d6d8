//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// All mutants are in one test binary: each operation that can be wrong becomes
// a call that is told its number, and does the wrong thing when the environment
// names that number. So there is one build, and not one for each.

// The environment of such a binary.
const (
	mutantEnv = "MMAP_MUTANT"      // which one
	reachEnv  = "MMAP_MUTANT_FILE" // where to write the numbers of those that were reached
)

// mutantHead begins the file that is added to the library.
const mutantHead = `package mmap

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

func mutantUp(n int, x int64) int64 {
	if mutantOn(n) {
		return AlignDown(x)
	}
	return alignUp(x)
}

func mutantDown(n int, x int64) int64 {
	if mutantOn(n) {
		return alignUp(x)
	}
	return AlignDown(x)
}
`

// mutantBinary is a function of mutantHead's kind for an operator: its name,
// its second type parameter, its second parameter's type, its result, what it
// does when it is wrong and when it is right.
const mutantBinary = `
func mutant%s[T mutantInt%s](n int, x T, y %s) %s {
	if mutantOn(n) {
		return x %s y
	}
	return x %s y
}
`

// flips are what stands for what in a mutant.
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

// mutantFunctions returns the file that is added, for mutants below n.
func mutantFunctions(n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, mutantHead, n)
	for op, name := range opNames {
		more, second, result := "", "T", "T"
		switch op {
		case token.LSS, token.LEQ, token.GTR, token.GEQ:
			result = "bool"
		case token.SHL, token.SHR:
			more, second = ", U mutantInt", "U"
		}
		fmt.Fprintf(&b, mutantBinary, name, more, second, result, flips[op], op)
	}
	return b.Bytes()
}

// mutant is one thing that can be wrong.
type mutant struct {
	file, function string
	line           int
	expr, change   string // what is written there, and what becomes what
	again          int    // how often the same was in the function before
}

// key names a mutant wherever in its file it stands.
func (m mutant) key() string {
	key := fmt.Sprintf("%s: %s: %s", m.function, m.expr, m.change)
	if m.again > 0 {
		key += fmt.Sprintf(" #%d", m.again+1)
	}
	return key
}

func (m mutant) String() string { return fmt.Sprintf("%s:%d: %s", m.file, m.line, m.key()) }

// mutator makes the mutants of a package. Mutant n is all[n-1].
type mutator struct {
	all   []mutant
	info  *types.Info
	set   *token.FileSet
	src   []byte // of the file it is at
	file  string
	fn    string
	edits []edit
}

// edit puts text in place of [from, to) of a file.
type edit struct {
	from, to int
	text     string
}

// makeMutants returns the mutants of the library at root, and the overlay
// with all of them in it, written to dir.
func makeMutants(ctx context.Context, root, dir string) (all []mutant, overlay string, err error) {
	m := &mutator{set: token.NewFileSet(), info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
	}}
	files, err := m.load(ctx, root)
	if err != nil {
		return nil, "", err
	}
	left := maps.Clone(notRanges)
	replace := map[string]string{}
	write := func(name string, text []byte) {
		to := filepath.Join(dir, name)
		replace[filepath.Join(root, name)] = to
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
	}
	for _, f := range files {
		path := m.set.Position(f.Pos()).Filename
		if m.src, err = os.ReadFile(path); err != nil {
			return nil, "", err
		}
		m.file, m.edits = filepath.Base(path), nil
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				if m.fn = functionName(fn); notRanges[m.fn] == "" {
					m.walk(fn.Body)
				}
				delete(left, m.fn)
			}
		}
		if len(m.edits) > 0 {
			write(m.file, m.edited())
		}
	}
	if len(left) > 0 {
		return nil, "", fmt.Errorf("the table of functions without ranges has what is no function: %v", slices.Sorted(maps.Keys(left)))
	}
	write("mutant.go", mutantFunctions(len(m.all)+1))
	list, _ := json.Marshal(map[string]any{"Replace": replace}) // cannot fail
	overlay = filepath.Join(dir, "overlay.json")
	if err == nil {
		err = os.WriteFile(overlay, list, 0o600)
	}
	return m.all, overlay, err
}

// functionName returns the name of a function, a method's with its type.
func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// load parses and checks the package.
func (m *mutator) load(ctx context.Context, root string) (files []*ast.File, err error) {
	env := []string{"CGO_ENABLED=0"}
	names, err := command(ctx, root, env, "go", "list", "-f", `{{join .GoFiles "\n"}}`, ".")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, names)
	}
	deps, err := command(ctx, root, env, "go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, deps)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(deps)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	for name := range strings.FieldsSeq(string(names)) {
		f, err := parser.ParseFile(m.set, filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	conf := types.Config{Importer: importer.ForCompiler(m.set, "gc", open)}
	_, err = conf.Check("mmap", m.set, files, m.info)
	return files, err
}

// edited returns the file with the edits in it. Where several begin at one
// place they are in the order in which they were made.
func (m *mutator) edited() []byte {
	slices.SortStableFunc(m.edits, func(a, b edit) int { return a.from - b.from })
	var b bytes.Buffer
	at := 0
	for _, e := range m.edits {
		b.Write(m.src[at:e.from])
		b.WriteString(e.text)
		at = e.to
	}
	b.Write(m.src[at:])
	return b.Bytes()
}

// offset returns where in the file pos is.
func (m *mutator) offset(pos token.Pos) int { return m.set.Position(pos).Offset }

// text returns what is written at a node, in one line.
func (m *mutator) text(n ast.Node) string {
	return strings.Join(strings.Fields(string(m.src[m.offset(n.Pos()):m.offset(n.End())])), " ")
}

// replace is an edit of [from, to).
func (m *mutator) replace(from, to token.Pos, format string, args ...any) {
	m.edits = append(m.edits, edit{m.offset(from), m.offset(to), fmt.Sprintf(format, args...)})
}

// add makes a mutant and returns its number.
func (m *mutator) add(n ast.Node, format string, args ...any) int {
	made := mutant{m.file, m.fn, m.set.Position(n.Pos()).Line, m.text(n), fmt.Sprintf(format, args...), 0}
	for _, other := range m.all {
		if other.function == made.function && other.expr == made.expr && other.change == made.change {
			made.again++
		}
	}
	m.all = append(m.all, made)
	return len(m.all)
}

// integer returns the name of an expression's type if that is an integer of
// the language's own: flags and other types of a meaning are no ranges.
func (m *mutator) integer(e ast.Expr) string {
	b, ok := m.info.Types[e].Type.(*types.Basic)
	if !ok || b.Info()&types.IsInteger == 0 {
		return ""
	}
	return types.Default(b).String()
}

// pass gives what is untyped inside a constant the constant's own type, which
// the checker does not: it has no need to.
func (m *mutator) pass(e ast.Expr, to types.Type) {
	ast.Inspect(e, func(n ast.Node) bool {
		if in, ok := n.(ast.Expr); ok {
			tv := m.info.Types[in]
			if b, ok := tv.Type.(*types.Basic); ok && tv.Value != nil && b.Info()&types.IsUntyped != 0 {
				tv.Type = to
				m.info.Types[in] = tv
			}
		}
		return true
	})
}

// walk makes the mutants below a node.
func (m *mutator) walk(node ast.Node) {
	ast.Inspect(node, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok && m.info.Types[e].Value != nil {
			m.pass(e, m.info.Types[e].Type)
		}
		switch e := n.(type) {
		case *ast.GenDecl:
			return e.Tok != token.CONST
		case *ast.ArrayType:
			return false
		case *ast.BinaryExpr:
			return !m.binary(e)
		case *ast.AssignStmt:
			return !m.assign(e)
		case *ast.IncDecStmt:
			m.step(e)
			return false
		case *ast.CallExpr:
			return !m.call(e)
		}
		return true
	})
}

// binary makes the mutant of an operator and those of its operands.
func (m *mutator) binary(e *ast.BinaryExpr) bool {
	t, to := m.integer(e.X), flips[e.Op]
	if t == "" || to == token.ILLEGAL {
		return false
	}
	if e.Op == token.SHL || e.Op == token.SHR {
		t += ", " + m.integer(e.Y)
	}
	n := m.add(e, "%v becomes %v", e.Op, to)
	m.replace(e.Pos(), e.Pos(), "mutant%s[%s](%d, (", opNames[e.Op], t, n)
	m.operand(e.X, e)
	m.replace(e.OpPos, e.OpPos+token.Pos(len(e.Op.String())), "), (")
	m.operand(e.Y, e)
	m.replace(e.End(), e.End(), "))")
	return true
}

// assign makes the mutants of an assignment that adds or takes away.
func (m *mutator) assign(s *ast.AssignStmt) bool {
	op := map[token.Token]token.Token{token.ADD_ASSIGN: token.ADD, token.SUB_ASSIGN: token.SUB}[s.Tok]
	if op == token.ILLEGAL || m.integer(s.Lhs[0]) == "" {
		return false
	}
	n := m.add(s, "%v becomes %v", op, flips[op])
	m.replace(s.TokPos, s.TokPos+2, "= mutant%s[%s](%d, %s, (", opNames[op], m.integer(s.Lhs[0]), n, m.text(s.Lhs[0]))
	m.walk(s.Rhs[0])
	m.replace(s.End(), s.End(), "))")
	return true
}

// step makes the mutant of a step by one.
func (m *mutator) step(s *ast.IncDecStmt) {
	op := map[token.Token]token.Token{token.INC: token.ADD, token.DEC: token.SUB}[s.Tok]
	if t := m.integer(s.X); t != "" {
		n := m.add(s, "%v becomes %v", op, flips[op])
		m.replace(s.TokPos, s.TokPos+2, "= mutant%s[%s](%d, %s, 1)", opNames[op], t, n, m.text(s.X))
	}
}

// roundings are the functions that round or bound, and those in their place.
var roundings = map[string]struct{ to, by string }{
	"min": {"max", "mutantMin"}, "max": {"min", "mutantMax"},
	"alignUp": {"AlignDown", "mutantUp"}, "AlignDown": {"alignUp", "mutantDown"},
}

// call makes the mutant of a call that rounds or bounds, and those of its
// arguments.
func (m *mutator) call(e *ast.CallExpr) bool {
	name, ok := e.Fun.(*ast.Ident)
	if !ok || roundings[name.Name].to == "" || m.integer(e) == "" {
		return false
	}
	r, t := roundings[name.Name], ""
	if _, builtin := m.info.Uses[name].(*types.Builtin); builtin {
		t = "[" + m.integer(e) + "]"
	}
	n := m.add(e, "%s becomes %s", name.Name, r.to)
	m.replace(e.Pos(), e.Lparen+1, "%s%s(%d, ", r.by, t, n)
	for _, arg := range e.Args {
		m.pass(arg, m.info.Types[e].Type)
		m.operand(arg, e)
	}
	return true
}

// operand makes the mutant of a number that something is compared with, bounded
// by or added to in a larger expression, and those below all other operands.
func (m *mutator) operand(x, in ast.Expr) {
	e, ok := x.(*ast.BasicLit)
	if !ok {
		m.walk(x)
		return
	}
	v, err := strconv.Atoi(e.Value)
	if t := m.integer(e); e.Kind == token.INT && err == nil && t != "" {
		n := m.add(in, "%d becomes %d", v, v+1)
		m.replace(e.Pos(), e.End(), "mutantMore[%s](%d, %s)", t, n, e.Value)
	}
}
