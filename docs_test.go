package mmap_test

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var docsUpdate = flag.Bool("docs.update", false, "TestDocsFigures: take the README's figures over from the results files")

// docsImports are the packages that a code block may use without an import, by
// the name that stands before the dot.
var docsImports = map[string]string{
	"atomic": "sync/atomic", "binary": "encoding/binary", "bufio": "bufio", "bytes": "bytes", "context": "context",
	"crc32": "hash/crc32", "errors": "errors", "exec": "os/exec", "fmt": "fmt", "fs": "io/fs", "http": "net/http",
	"io": "io", "log": "log", "math": "math", "os": "os", "runtime": "runtime", "sync": "sync", "syscall": "syscall",
	"time": "time", "unsafe": "unsafe",
	"mmap": "github.com/seed-93fed273/mmap", "mmapgo": "github.com/seed-93fed273/mmap/mmapgo",
}

// docsNames are what a code block may use without declaring it.
const docsNames = `
var (
	name, pattern   string
	buf, record     []byte
	off, size       int64
	n               int
	sum             uint32
	file            *os.File
	region          *mmap.Region
	conn            io.Writer
)
`

// docsFiles returns the documents for people, by their paths.
func docsFiles(t *testing.T) []string {
	t.Helper()
	files := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "examples/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no documents %s: %v", pattern, err)
		}
		for _, file := range found {
			files = append(files, filepath.ToSlash(file))
		}
	}
	return files
}

// readDoc returns a document with the line ends of Unix.
func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// codeBlock is a fenced block of Go.
type codeBlock struct {
	line int // of its first line
	code string
}

// goBlocks returns the blocks of Go in a document.
func goBlocks(text string) (blocks []codeBlock) {
	inside, other := false, false
	for i, line := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case inside && !fence:
			blocks[len(blocks)-1].code += line + "\n"
		case fence && (inside || other):
			inside, other = false, false
		case line == "```go":
			inside, blocks = true, append(blocks, codeBlock{line: i + 2})
		case fence:
			other = true
		}
	}
	return blocks
}

// asFile makes a file of a block: one that begins with package is one already,
// declarations get a package clause, and statements a function too.
func (b codeBlock) asFile() string {
	if strings.HasPrefix(b.code, "package ") {
		return b.code
	}
	body := fmt.Sprintf("//line %d\n%s", b.line, b.code)
	if !regexp.MustCompile(`(?m)^(func|type|import) `).MatchString(b.code) {
		body = "func _() error {\n" + body + "\nreturn nil\n}"
	}
	var imports strings.Builder
	for name, pkg := range docsImports {
		if regexp.MustCompile(`\b`+name+`\.`).MatchString(body+docsNames) && !strings.Contains(body, `"`+pkg+`"`) {
			fmt.Fprintf(&imports, "import %s %q;", name, pkg)
		}
	}
	if i := strings.Index(body, "\nimport "); i >= 0 { // the block's own go first
		return "package p;" + imports.String() + body + docsNames
	}
	return "package p;" + imports.String() + docsNames + body
}

// exportData returns a reader of what the go command has compiled of packages.
func exportData(t *testing.T, pkgs ...string) importer.Lookup {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not here")
	}
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}, pkgs...)
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		if e := (*exec.ExitError)(nil); errors.As(err, &e) {
			err = fmt.Errorf("%w: %s", err, e.Stderr)
		}
		t.Fatal("go list: ", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		pkg, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[pkg] = file
	}
	return func(pkg string) (io.ReadCloser, error) { return os.Open(files[pkg]) }
}

// TestDocsCode checks that every block of Go in the documents compiles.
func TestDocsCode(t *testing.T) {
	var pkgs []string
	for _, pkg := range docsImports {
		if pkg != "unsafe" {
			pkgs = append(pkgs, pkg)
		}
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", exportData(t, pkgs...))
	blocks := 0
	for _, doc := range docsFiles(t) {
		for _, b := range goBlocks(readDoc(t, doc)) {
			blocks++
			f, err := parser.ParseFile(fset, doc, b.asFile(), parser.SkipObjectResolution)
			if err != nil {
				t.Errorf("block at %s:%d: %v", doc, b.line, err)
				continue
			}
			conf := types.Config{Importer: imports, Error: func(err error) {
				if e := err.(types.Error); !e.Soft { // unused variables may stand in an example
					t.Errorf("block at %s:%d: %v", doc, b.line, err)
				}
			}}
			conf.Check("p", fset, []*ast.File{f}, nil)
		}
	}
	if blocks < 10 {
		t.Errorf("only %d blocks of Go were found", blocks)
	}
}

var (
	docsLink    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	docsHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchors returns the anchors of the headings in a document, as web pages that
// show Markdown make them.
func anchors(text string) (all []string) {
	for _, m := range docsHeading.FindAllStringSubmatch(text, -1) {
		a := strings.ToLower(m[1])
		a = regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(a, "")
		all = append(all, strings.ReplaceAll(a, " ", "-"))
	}
	return all
}

// TestDocsLinks checks that every link to a file of this module, and to a
// heading in a document, leads there.
func TestDocsLinks(t *testing.T) {
	links := 0
	for _, doc := range docsFiles(t) {
		for _, m := range docsLink.FindAllStringSubmatch(readDoc(t, doc), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			links++
			to := doc
			if target != "" {
				to = path.Join(path.Dir(doc), target)
			}
			if _, err := os.Stat(filepath.FromSlash(to)); err != nil {
				t.Errorf("%s: the link %s leads nowhere: %v", doc, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(readDoc(t, to)), anchor) {
				t.Errorf("%s: the link %s: %s has no such heading", doc, m[1], to)
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were found", links)
	}
}

// cells returns the cells of a row of a Markdown table.
func cells(row string) (c []string) {
	for _, cell := range strings.Split(strings.Trim(row, "|"), "|") {
		c = append(c, strings.TrimSpace(cell))
	}
	return c
}

// tableUnder returns the rows, without heads, of the README's table whose figures
// are those of the named file.
func tableUnder(t *testing.T, readme, file string) (rows []string) {
	t.Helper()
	_, rest, ok := strings.Cut(readme, "<!-- figures: "+file+" -->\n")
	if !ok {
		t.Fatalf("README.md has no table of figures of %s", file)
	}
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows = append(rows, strings.TrimSpace(line))
	}
	if len(rows) < 4 {
		t.Fatalf("README.md: the table of %s has no rows", file)
	}
	return rows[2:]
}

// benchRow returns a row of the README as the results of bench have it: the same
// workload, with the figures of os.File, both peers, and a Region.
func benchRow(results, row string) (string, error) {
	c := cells(row)
	id, workload := c[len(c)-1], c[0]
	for line := range strings.Lines(results) {
		r := cells(strings.TrimSpace(line))
		if len(r) < 5 || r[0] != id || r[1] != workload {
			continue
		}
		peers := map[string]string{"x/exp": "–", "edsrzf": "–"}
		for _, p := range strings.Split(r[3], ", ") {
			if who, figure, ok := strings.Cut(p, " "); ok {
				peers[who] = figure
			}
		}
		return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", workload, r[2], peers["x/exp"], peers["edsrzf"], r[4], id), nil
	}
	return "", fmt.Errorf("no row %s has the workload %q", id, workload)
}

// TestDocsFigures checks that the figures of the README stand in the files of
// results that it names. After a new run of bench:
//
//	go test -run TestDocsFigures . -docs.update
func TestDocsFigures(t *testing.T) {
	readme := readDoc(t, "README.md")
	results := readDoc(t, "bench/results.md")
	updated := readme
	for _, row := range tableUnder(t, readme, "bench/results.md") {
		want, err := benchRow(results, row)
		switch {
		case err != nil:
			t.Errorf("bench/results.md: %v", err)
		case *docsUpdate:
			updated = strings.Replace(updated, row, want, 1)
		case row != want:
			t.Errorf("README.md has\n%s\nand bench/results.md\n%s", row, want)
		}
	}
	if updated != readme {
		if err := os.WriteFile("README.md", []byte(updated), 0o666); err != nil {
			t.Fatal(err)
		}
	}

	torture := readDoc(t, "torture/RESULTS.md")
	for _, row := range tableUnder(t, readme, "torture/RESULTS.md") {
		c := cells(row)
		part, outcome := c[len(c)-1], c[len(c)-2]
		for _, figure := range strings.Split(outcome, "; ") {
			if !partHas(torture, part, figure) {
				t.Errorf("README.md says %q of the part %s, and torture/RESULTS.md does not", figure, part)
			}
		}
	}
}

// partHas reports whether a figure stands in a section of the results of torture,
// but not in its controls, which have to fail.
func partHas(results, part, figure string) bool {
	for _, section := range strings.Split(results, "\n## ")[1:] {
		section, _, _ = strings.Cut(section, "\n| control")
		if name, text, _ := strings.Cut(section, "\n"); strings.HasPrefix(name, part) &&
			regexp.MustCompile(`(^|[^0-9])`+regexp.QuoteMeta(figure)).MatchString(text) {
			return true
		}
	}
	return false
}
