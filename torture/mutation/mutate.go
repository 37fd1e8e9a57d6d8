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
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-93fed273/mmap/torture/internal/run"
)

// All mutants of all packages are in one build: each place that can be wrong
// becomes a call that is told its number, and does the wrong thing if the
// environment names that number.

// source is a package to be mutated.
type source struct {
	path, dir, name string
	files           []string // without tests
	tests           bool     // it has some
}

// mutator makes the mutants of a package. Mutant n is all[n-1].
type mutator struct {
	all   []mutant
	pkg   source
	scope *types.Scope
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

// mutate returns the mutants of the packages, and writes them to a directory
// together with the overlay that puts them into a build.
func mutate(ctx context.Context, root string, packages []source, dir string) (all []mutant, overlay string, err error) {
	exports, err := exportData(ctx, root)
	if err != nil {
		return nil, "", err
	}
	replace := map[string]string{}
	write := func(pkg source, name string, text []byte) error {
		to := filepath.Join(dir, strings.ReplaceAll(pkg.path, "/", "-")+"-"+name)
		replace[filepath.Join(pkg.dir, name)] = to
		return os.WriteFile(to, text, 0o600)
	}
	for _, pkg := range packages {
		m := &mutator{all: all, pkg: pkg}
		if err := m.mutate(exports, write); err != nil {
			return nil, "", fmt.Errorf("%s: %w", pkg.path, err)
		}
		all = m.all
	}
	for _, pkg := range packages {
		if err := write(pkg, "mutant_switches.go", switchesFor(pkg.name, len(all)+1)); err != nil {
			return nil, "", err
		}
	}
	list, _ := json.Marshal(map[string]any{"Replace": replace}) // cannot fail
	overlay = filepath.Join(dir, "overlay.json")
	return all, overlay, os.WriteFile(overlay, list, 0o600)
}

// exportData returns where the compiled form of each package is that the library
// imports.
func exportData(ctx context.Context, root string) (map[string]string, error) {
	out, err := run.Command(ctx, root, buildEnv, "go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "./...")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	return exports, nil
}

// mutate makes the mutants of one package.
func (m *mutator) mutate(exports map[string]string, write func(pkg source, name string, text []byte) error) error {
	m.set = token.NewFileSet()
	m.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	var files []*ast.File
	for _, name := range m.pkg.files {
		f, err := parser.ParseFile(m.set, filepath.Join(m.pkg.dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	conf := types.Config{Importer: importer.ForCompiler(m.set, "gc", open)}
	pkg, err := conf.Check(m.pkg.path, m.set, files, m.info)
	if err != nil {
		return err
	}
	m.scope = pkg.Scope()
	for i, f := range files {
		if m.src, err = os.ReadFile(filepath.Join(m.pkg.dir, m.pkg.files[i])); err != nil {
			return err
		}
		m.file, m.edits = m.pkg.files[i], nil
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				m.fn = m.pkg.name + "." + functionName(fn)
				m.walk(fn.Body)
			}
		}
		if len(m.edits) > 0 {
			if err := write(m.pkg, m.file, m.edited()); err != nil {
				return err
			}
		}
	}
	return nil
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
	if i, ok := t.(*ast.IndexExpr); ok {
		t = i.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
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
	made := mutant{
		Function: m.fn, Operator: fmt.Sprintf(format, args...), Ordinal: 1,
		place: fmt.Sprintf("%s:%d", m.file, m.set.Position(n.Pos()).Line), text: m.text(n),
	}
	for _, other := range m.all {
		if other.Function == made.Function && other.Operator == made.Operator {
			made.Ordinal++
		}
	}
	m.all = append(m.all, made)
	return len(m.all)
}

// integer returns the name of an expression's type if that is an integer of
// the language's own: flags and other types of a meaning are no numbers.
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
		case *ast.IfStmt:
			return !m.condition(e)
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

// condition makes the mutant of an if that does the opposite, and those below it.
func (m *mutator) condition(s *ast.IfStmt) bool {
	if b, ok := m.info.Types[s.Cond].Type.(*types.Basic); !ok || b.Info()&types.IsBoolean == 0 {
		return false
	}
	if s.Init != nil {
		m.walk(s.Init)
	}
	n := m.add(s.Cond, "if becomes if not")
	m.replace(s.Cond.Pos(), s.Cond.Pos(), "(")
	m.walk(s.Cond)
	m.replace(s.Cond.End(), s.Cond.End(), ") != mutantOn(%d)", n)
	m.walk(s.Body)
	if s.Else != nil {
		m.walk(s.Else)
	}
	return true
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

// call makes the mutant of a call that rounds or bounds, and those of its
// arguments.
func (m *mutator) call(e *ast.CallExpr) bool {
	name, ok := e.Fun.(*ast.Ident)
	if !ok || others[name.Name] == "" || m.integer(e) == "" {
		return false
	}
	if _, builtin := m.info.Uses[name].(*types.Builtin); builtin {
		by := map[string]string{"min": "Min", "max": "Max"}[name.Name]
		n := m.add(e, "%s becomes %s", name.Name, others[name.Name])
		m.replace(e.Pos(), e.Lparen+1, "mutant%s[%s](%d, ", by, m.integer(e), n)
	} else {
		one, other := m.info.Uses[name], m.scope.Lookup(others[name.Name])
		if other == nil || !types.Identical(one.Type(), other.Type()) {
			return false
		}
		n := m.add(e, "%s becomes %s", name.Name, others[name.Name])
		m.replace(e.Pos(), e.Lparen, "mutantPick(%d, %s, %s)", n, name.Name, others[name.Name])
	}
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
