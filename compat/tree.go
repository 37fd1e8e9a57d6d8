package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// tree is the copy of a project, in which its tests are built and run.
type tree struct {
	dir string   // the root of the module, or of Go
	std bool     // it is Go itself
	env []string // for the go command and the tests
	lib *library
}

// errUnavailable says that a project's sources cannot be had, which is nobody's
// fault.
var errUnavailable = errors.New("cannot be had here")

// newTree makes the copy of s below dir.
func newTree(ctx context.Context, s suite, lib *library, dir string) (*tree, error) {
	t := &tree{lib: lib, std: s.module == "", env: os.Environ()}
	if t.std {
		return t, t.copyGo(ctx, s, dir)
	}
	from, err := download(ctx, s.module)
	if err != nil {
		return nil, err
	}
	t.dir = filepath.Join(dir, "src")
	if err := copyTree(from, t.dir); err != nil {
		return nil, err
	}
	// The library's language version would be taken over with it. The
	// baseline has it too, so that it is no difference between the two.
	t.env = append(t.env, "GOFLAGS=-mod=mod", "GOWORK=off")
	have := firstMatch(mustRead(filepath.Join(t.dir, "go.mod")), `(?m)^go (\S+)`)
	edits := []string{"-toolchain=none"}
	if older(have, lib.goLine) {
		edits = append(edits, "-go="+lib.goLine)
	}
	return t, t.editMod(ctx, edits...)
}

// mustRead reads a file that may be missing.
func mustRead(name string) []byte {
	data, _ := os.ReadFile(name)
	return data
}

// older compares two versions of Go, of the form 1.26.0.
func older(a, b string) bool {
	var va, vb [3]int
	fmt.Sscanf(a, "%d.%d.%d", &va[0], &va[1], &va[2])
	fmt.Sscanf(b, "%d.%d.%d", &vb[0], &vb[1], &vb[2])
	for i := range va {
		if va[i] != vb[i] {
			return va[i] < vb[i]
		}
	}
	return false
}

// download returns the directory in the module cache that holds the module, a
// path with a version.
func download(ctx context.Context, module string) (dir string, err error) {
	if strings.HasPrefix(module, "./") {
		return module, nil // the harness's own tests
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = os.TempDir()
	out, err := cmd.Output()
	var m struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &m); jerr != nil {
		return "", fmt.Errorf("%s: %w: %v %v", module, errUnavailable, err, jerr)
	}
	if m.Error != "" || m.Dir == "" {
		return "", fmt.Errorf("%s: %w: %s", module, errUnavailable, m.Error)
	}
	return m.Dir, nil
}

// copyGo makes a GOROOT whose directories are links, but for those that are
// changed and for the one that takes the library in.
func (t *tree) copyGo(ctx context.Context, s suite, dir string) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	from := strings.TrimSpace(string(out))
	t.dir = filepath.Join(dir, "goroot")
	own := map[string]bool{"vendor": true}
	for _, pkg := range s.packages {
		top, _, _ := strings.Cut(pkg, "/")
		own[top] = true
	}
	if err := linkEntries(from, t.dir, map[string]bool{"src": true}); err != nil {
		return err
	}
	if err := linkEntries(filepath.Join(from, "src"), filepath.Join(t.dir, "src"), own); err != nil {
		return err
	}
	for top := range own {
		if err := copyTree(filepath.Join(from, "src", top), filepath.Join(t.dir, "src", top)); err != nil {
			return err
		}
	}
	sys, err := download(ctx, "golang.org/x/sys@"+t.lib.sys)
	if err != nil {
		return err
	}
	for _, part := range []string{"unix", "windows"} {
		if err := copyTree(filepath.Join(sys, part), filepath.Join(t.vendored("golang.org/x/sys"), part)); err != nil {
			return err
		}
	}
	t.env = append(t.env, "GOROOT="+t.dir, "GOFLAGS=-mod=mod", "GOWORK=off")
	return t.useLibrary(ctx, t.lib.dir)
}

// linkEntries makes links in to for everything in from, but what is skipped.
func linkEntries(from, to string, skip map[string]bool) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if skip[e.Name()] {
			continue
		}
		if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// vendored returns where Go's own packages look for one of another module.
func (t *tree) vendored(path string) string {
	return filepath.Join(t.dir, "src", "vendor", filepath.FromSlash(path))
}

// useLibrary makes the project see the copy of the library in dir.
func (t *tree) useLibrary(ctx context.Context, dir string) error {
	if !t.std {
		return t.editMod(ctx, "-require="+modulePath+"@v0.0.0", "-replace="+modulePath+"="+dir)
	}
	to := t.vendored(modulePath)
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return copyTree(dir, to)
}

// editMod changes the project's go.mod.
func (t *tree) editMod(ctx context.Context, edits ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"mod", "edit"}, edits...)...)
	cmd.Dir = t.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go mod edit: %w\n%s", err, out)
	}
	return nil
}

// packageDir returns the directory of a package of the suite.
func (t *tree) packageDir(pkg string) string {
	if t.std {
		return filepath.Join(t.dir, "src", filepath.FromSlash(pkg))
	}
	return filepath.Join(t.dir, filepath.FromSlash(pkg))
}

// build builds the test program of a package.
func (t *tree) build(ctx context.Context, pkg, out string, tags string) error {
	args := []string{"test", "-c", "-vet=off", "-o", out}
	if tags != "" {
		args = append(args, "-tags="+tags)
	}
	dir := t.dir
	if t.std {
		args = append(args, pkg)
		dir = filepath.Dir(out) // in GOROOT/src the go command would not look into vendor
	} else {
		args = append(args, "./"+pkg)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, t.env
	if text, err := cmd.CombinedOutput(); err != nil {
		if m := unreachable.Find(text); m != nil {
			return fmt.Errorf("%s: %w: %s", pkg, errUnavailable, m)
		}
		return fmt.Errorf("building the tests of %s: %w\n%s", pkg, err, clip(downloading.ReplaceAllString(string(text), ""), 3000))
	}
	if _, err := os.Stat(out); err != nil {
		return fmt.Errorf("%s has no tests", pkg)
	}
	return nil
}

// downloading is what the go command says while it fetches modules.
var downloading = regexp.MustCompile(`(?m)^go: downloading .*\n`)

// unreachable is what it says when it cannot.
var unreachable = regexp.MustCompile(`(?m)^.*(: reading http|: dial tcp|module lookup disabled|: Get "http).*$`)

// clip shortens a text that is too long to show.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most] + " …"
	}
	return strings.ToValidUTF8(s, "?")
}

// exe is the ending of a program's name.
func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}
