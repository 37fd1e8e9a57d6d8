package mmap_test

import (
	"bufio"
	"go/ast"
	"go/build/constraint"
	"go/doc"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fenced are the packages that may be imported in few places, and those.
var fenced = map[string]func(file string) bool{
	"unsafe": func(file string) bool {
		return path.Dir(file) == "internal/sys" || path.Dir(file) == "internal/addrspace" || slices.Contains([]string{"guard.go", "view.go", "chunks.go", "mapping.go"}, file)
	},
	"golang.org/x/term": func(file string) bool { return strings.HasPrefix(file, "cmd/") },
	"golang.org/x/sys": func(file string) bool {
		return path.Dir(file) == "internal/sys" || strings.HasPrefix(file, "cmd/") // a program, not the library
	},
}

// moduleFiles returns the Go files of this module that are no tests, with
// slashes.
func moduleFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir // another module, or none
			}
		}
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			files = append(files, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		t.Skip("the sources are not here: ", err)
	}
	return files
}

// TestFence: package unsafe and the system's calls stay where they are looked
// for, and each file that uses unsafe begins by saying why it may.
func TestFence(t *testing.T) {
	for _, file := range moduleFiles(t) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			for fence, may := range fenced {
				if (p == fence || strings.HasPrefix(p, fence+"/")) && !may(file) {
					t.Errorf("%s imports %s", file, p)
				}
			}
			if p == "unsafe" && path.Dir(file) == "." && !strings.Contains(f.Comments[0].Text(), "unsafe") {
				t.Errorf("%s does not begin by saying why it may use unsafe", file)
			}
		}
	}
}

// TestLinkname: no file reaches into other packages past their exported names.
func TestLinkname(t *testing.T) {
	for _, file := range moduleFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "//go:linkname") {
				t.Errorf("%s: %s", file, line)
			}
		}
	}
}

// TestDocumented: every exported name of the library has a doc comment, and so
// has every field of its structs that could be set or read.
func TestDocumented(t *testing.T) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, file := range moduleFiles(t) {
		if path.Dir(file) != "." {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, "github.com/seed-93fed273/mmap")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(pkg.Doc, "Package mmap ") {
		t.Error("the package has no comment")
	}
	need := func(name, text string) {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no doc comment", name)
		}
	}
	for _, f := range pkg.Funcs {
		need(f.Name, f.Doc)
	}
	values(pkg.Consts, need)
	values(pkg.Vars, need)
	for _, typ := range pkg.Types {
		need(typ.Name, typ.Doc)
		for _, f := range append(typ.Funcs, typ.Methods...) {
			need(typ.Name+"."+f.Name, f.Doc)
		}
		values(typ.Consts, need)
		values(typ.Vars, need)
		fields(typ, need)
	}
	for _, v := range pkg.Vars {
		if len(v.Names) == 1 && strings.HasPrefix(v.Names[0], "Err") {
			continue // what errors.Is looks for, as io.EOF
		}
		t.Errorf("exported variables can be changed by anyone: %v", v.Names)
	}
}

// values asks for a comment on each group of constants or variables.
func values(groups []*doc.Value, need func(name, text string)) {
	for _, g := range groups {
		text := g.Doc
		for _, s := range g.Decl.Specs {
			text += s.(*ast.ValueSpec).Doc.Text() + s.(*ast.ValueSpec).Comment.Text()
		}
		need(strings.Join(g.Names, ", "), text)
	}
}

// fields asks for a comment on each exported field of a struct; one may stand
// for those that share a line, or a type that says it all.
func fields(typ *doc.Type, need func(name, text string)) {
	for _, spec := range typ.Decl.Specs {
		st, ok := spec.(*ast.TypeSpec).Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range st.Fields.List {
			if len(f.Names) > 0 && f.Names[0].IsExported() && typ.Name != "Span" {
				need(typ.Name+"."+f.Names[0].Name, f.Doc.Text()+f.Comment.Text())
			}
		}
	}
}

// TestDependencies: the module asks for four others and no more; x/term is the command's.
func TestDependencies(t *testing.T) {
	f, err := os.Open("go.mod")
	if err != nil {
		t.Skip("the sources are not here: ", err)
	}
	defer f.Close()
	var found []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line, comment, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s.Text()), "require "), "//")
		words := strings.Fields(line)
		if strings.HasPrefix(line, "replace") {
			t.Errorf("go.mod replaces a module: %s", line)
		}
		if len(words) == 2 && strings.HasPrefix(words[1], "v") && !strings.Contains(comment, "indirect") {
			found = append(found, words[0])
		}
	}
	slices.Sort(found)
	want := []string{"github.com/google/go-cmp", "golang.org/x/exp", "golang.org/x/sys", "golang.org/x/term"}
	if !slices.Equal(found, want) {
		t.Errorf("go.mod requires %q, not %q", found, want)
	}
}

// TestConstraints: a file for one system says so in a line of its own; the
// suffix _unix means nothing to the go command.
func TestConstraints(t *testing.T) {
	for _, file := range moduleFiles(t) {
		if !strings.HasSuffix(file, "_unix.go") && !strings.HasSuffix(file, "_other.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		constrained := false
		for line := range strings.Lines(string(text)) {
			constrained = constrained || constraint.IsGoBuild(strings.TrimSpace(line))
		}
		if !constrained {
			t.Errorf("%s has no //go:build line", file)
		}
	}
}

// layers are the files of the package in the order in which they may use one
// another: a file uses what stands above it, and nothing below. So whoever reads
// them in this order meets every name before it is used.
var layers = []string{
	"errors.go",
	"page.go",
	"options.go",
	"mapping.go",
	"guard.go",
	"residency.go",
	"residentlimit.go",
	"attrs.go",
	"descriptor.go",
	"region.go",
	"stats.go",
	"durability.go",
	"clock.go",
	"remap.go",
	"limit.go",
	"size.go",
	"eofpage.go",
	"resize.go",
	"aging.go",
	"probe.go",
	"ranges.go",
	"coherence.go",
	"fault.go",
	"access.go",
	"cursor.go",
	"reader.go",
	"writer.go",
	"zerocopy.go",
	"file.go",
	"sync.go",
	"control.go",
	"view.go",
	"chunks.go",
	"advise.go",
	"protect.go",
	"allocate.go",
	"evict.go",
	"format.go",
	"kind.go",
	"shared.go",
	"open.go",
	"fs.go",
	"doc.go",
}

// TestLayers: no file uses a name of a later one.
func TestLayers(t *testing.T) {
	fset := token.NewFileSet()
	place := map[string]int{}
	for i, name := range layers {
		place[name] = i
	}
	var files []*ast.File
	for _, file := range moduleFiles(t) {
		if path.Dir(file) != "." {
			continue
		}
		if _, ok := place[file]; !ok {
			t.Errorf("%s has no place among the layers", file)
		}
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil), FakeImportC: true, Error: func(error) {}}
	pkg, _ := config.Check("github.com/seed-93fed273/mmap", fset, files, info)
	if pkg == nil {
		t.Skip("the package cannot be checked here")
	}
	seen := map[string]bool{}
	for id, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() {
			continue
		}
		user, owner := fset.Position(id.Pos()).Filename, fset.Position(object.Pos()).Filename
		if place[owner] <= place[user] || seen[user+owner+object.Name()] {
			continue
		}
		seen[user+owner+object.Name()] = true
		t.Errorf("%s uses %s, of %s, which stands below it", user, object.Name(), owner)
	}
}
