//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMechanisms checks that each mechanism can still be switched off: its text
// is in the source once, what replaces it compiles, and its rows exist.
func TestMechanisms(t *testing.T) {
	const library = "github.com/seed-93fed273/mmap"
	exports := map[string]string{}
	for line := range strings.Lines(goList(t, "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", library)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	dir := strings.TrimSpace(goList(t, "-f", "{{.Dir}}", library))
	sources := map[string][]byte{}
	for name := range strings.FieldsSeq(goList(t, "-f", `{{join .GoFiles " "}}`, library)) {
		source, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		sources[name] = source
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, m := range mechanisms {
		changed, err := m.without(sources[m.file])
		if err != nil {
			t.Errorf("%q: %v", m.name, err)
			continue
		}
		var files []*ast.File
		for name, source := range sources {
			if name == m.file {
				source = changed
			}
			f, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatalf("without %q: %v", m.name, err)
			}
			files = append(files, f)
		}
		conf := types.Config{Importer: imports, Error: func(err error) { t.Errorf("without %q: %v", m.name, err) }}
		conf.Check(library, fset, files, nil)
		for _, s := range m.rows {
			if _, err := chooseRows(s.row); err != nil {
				t.Errorf("%q: %v", m.name, err)
			}
		}
	}
}

// goList returns what go list says.
func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestKept: a reason is that of a mechanism there is.
func TestKept(t *testing.T) {
	for _, k := range kept {
		if !slices.ContainsFunc(mechanisms, func(m mechanism) bool { return m.name == k[0] }) {
			t.Errorf("there is no mechanism %q", k[0])
		}
	}
}
