package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// edit changes a project's copy. An edit that finds nothing to change is an
// error: it would leave the suite testing something else.
type edit interface {
	apply(ctx context.Context, t *tree) error
}

// exchange puts osfile's File and functions in place of those of package os.
// In the files that import os by its name, that is the whole text; in those
// that import it by a dot, the functions that are named.
type exchange struct {
	files []string // patterns of paths, from the root of the tree on
	funcs []string // for files with a dot import: the functions to change
}

// replaceModule puts a module that passes everything on to mmapgo in place of
// one that has the API of edsrzf/mmap-go.
type replaceModule struct {
	path string
}

// substitute replaces a text that stands in a file a number of times (once if
// times is 0).
type substitute struct {
	file, old, new string
	times          int
}

// rewrite puts our own text in place of a file; an empty one removes it.
type rewrite struct {
	file, text string
}

// dependency puts a changed copy of another module in place of one that the
// project uses.
type dependency struct {
	module string // a path with a version
	edits  []edit
}

// path returns where a file of the tree is.
func (t *tree) path(file string) string {
	if t.std {
		file = "src/" + file
	}
	return filepath.Join(t.dir, filepath.FromSlash(file))
}

// osNames are the names of package os that osfile has.
const osNames = `File|OpenFile|Open|Create|CreateTemp`

var (
	qualified   = regexp.MustCompile(`\bos\.(` + osNames + `)\b`)
	unqualified = regexp.MustCompile(`(^|[^.\w"])(` + osNames + `)\b`)
	inRoot      = regexp.MustCompile(`\br\.OpenFile\([^()]*\)`) // of an os.Root
	packageLine = regexp.MustCompile(`(?m)^package \w+.*$`)
)

func (e exchange) apply(ctx context.Context, t *tree) error {
	for _, pattern := range e.files {
		names, err := filepath.Glob(t.path(pattern))
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fmt.Errorf("exchange: there is no file %s", pattern)
		}
		changed := false
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			new, err := e.text(string(text))
			if err != nil {
				return fmt.Errorf("exchange in %s: %w", pattern, err)
			}
			if new == string(text) {
				continue
			}
			changed = true
			if err := os.WriteFile(name, []byte(new), 0o644); err != nil {
				return err
			}
		}
		if !changed {
			return fmt.Errorf("exchange: nothing to change in %s", pattern)
		}
	}
	return nil
}

// text returns the changed text of a Go file.
func (e exchange) text(text string) (string, error) {
	new := text
	if len(e.funcs) == 0 {
		new = qualified.ReplaceAllString(text, "osfile.$1")
	} else {
		var err error
		if new, err = exchangeFuncs(text, e.funcs); err != nil {
			return "", err
		}
	}
	if new == text {
		return text, nil
	}
	at := packageLine.FindStringIndex(new)
	if at == nil {
		return "", fmt.Errorf("no package clause")
	}
	new = new[:at[1]] + "\n\nimport \"" + modulePath + "/compat/osfile\"\n" + new[at[1]:]
	if len(e.funcs) == 0 {
		new += "\nvar _ = os.Getpid // os may have no other use here\n"
	}
	return new, nil
}

// exchangeFuncs changes the named functions of a file that imports os by a
// dot. All must be there.
func exchangeFuncs(text string, funcs []string) (string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", text, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	wanted := map[string]bool{}
	for _, name := range funcs {
		wanted[name] = true
	}
	var b strings.Builder
	done := 0
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !wanted[fn.Name.Name] {
			continue
		}
		// Not the name of the function: only what follows it.
		from, to := fset.Position(fn.Type.Params.Pos()).Offset, fset.Position(fn.End()).Offset
		b.WriteString(text[done:from])
		body := unqualified.ReplaceAllString(text[from:to], "${1}osfile.$2")
		b.WriteString(inRoot.ReplaceAllString(body, "osfile.Wrap($0)"))
		done = to
		delete(wanted, fn.Name.Name)
	}
	for name := range wanted {
		return "", fmt.Errorf("there is no function %s", name)
	}
	return b.String() + text[done:], nil
}

// shim passes on to mmapgo what a module with the API of edsrzf/mmap-go has.
const shim = `package mmap

import "` + modulePath + `/mmapgo"

const (
	RDONLY = mmapgo.RDONLY
	RDWR   = mmapgo.RDWR
	COPY   = mmapgo.COPY
	EXEC   = mmapgo.EXEC
	ANON   = mmapgo.ANON
)

type MMap = mmapgo.MMap

var (
	Map       = mmapgo.Map
	MapRegion = mmapgo.MapRegion
)
`

func (e replaceModule) apply(ctx context.Context, t *tree) error {
	dir := filepath.Join(filepath.Dir(t.dir), "shim")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	mod := fmt.Sprintf("module %s\n\ngo %s\n\nrequire %s v0.0.0\n", e.path, t.lib.goLine, modulePath)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "shim.go"), []byte(shim), 0o644); err != nil {
		return err
	}
	return t.replace(e.path, dir)
}

// replace makes the project use what is in dir as the module, which it must
// use already.
func (t *tree) replace(module, dir string) error {
	name := filepath.Join(t.dir, "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), module+" v") {
		return fmt.Errorf("go.mod does not require %s", module)
	}
	return os.WriteFile(name, append(text, fmt.Sprintf("\nreplace %s => %s\n", module, dir)...), 0o644)
}

func (e dependency) apply(ctx context.Context, t *tree) error {
	from, err := download(ctx, e.module)
	if err != nil {
		return err
	}
	path, _, _ := strings.Cut(e.module, "@")
	dep := &tree{dir: filepath.Join(filepath.Dir(t.dir), "dependency"), env: t.env, lib: t.lib}
	if err := copyTree(from, dep.dir); err != nil {
		return err
	}
	if err := dep.editMod(ctx, "-require="+modulePath+"@v0.0.0"); err != nil {
		return err
	}
	for _, e := range e.edits {
		if err := e.apply(ctx, dep); err != nil {
			return err
		}
	}
	return t.replace(path, dep.dir)
}

func (e substitute) apply(ctx context.Context, t *tree) error {
	name := t.path(e.file)
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), e.old); n != max(e.times, 1) {
		return fmt.Errorf("substitute: %q stands %d times in %s, not %d", e.old, n, e.file, max(e.times, 1))
	}
	return os.WriteFile(name, []byte(strings.ReplaceAll(string(text), e.old, e.new)), 0o644)
}

func (e rewrite) apply(ctx context.Context, t *tree) error {
	name := t.path(e.file)
	if _, err := os.Stat(name); err != nil {
		return fmt.Errorf("rewrite: %w", err)
	}
	if e.text == "" {
		return os.Remove(name)
	}
	return os.WriteFile(name, []byte(e.text), 0o644)
}
