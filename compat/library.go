package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// modulePath is the library's.
const modulePath = "github.com/seed-93fed273/mmap"

// library is a copy of the library, made as a module that needs nothing but
// x/sys: the rest of go.mod is for its own tests, and would raise the versions
// of what the projects use.
type library struct {
	dir     string // the copy
	control string // a copy that panics in every call that opens a file
	sys     string // the version of x/sys
	goLine  string // the version of Go in go.mod
}

// copyLibrary copies the library at root into dir, together with osfile.
func copyLibrary(root, dir string) (*library, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !bytes.Contains(mod, []byte("module "+modulePath+"\n")) {
		return nil, fmt.Errorf("the directory %s is not the library: start this by go -C compat run", root)
	}
	lib := &library{dir: filepath.Join(dir, "lib"), control: filepath.Join(dir, "control")}
	lib.sys = firstMatch(mod, `golang\.org/x/sys (v\S+)`)
	lib.goLine = firstMatch(mod, `(?m)^go (\S+)`)
	if lib.sys == "" || lib.goLine == "" {
		return nil, fmt.Errorf("%s/go.mod names no x/sys, or no version of Go", root)
	}
	for _, to := range []string{lib.dir, lib.control} {
		if err := lib.copyTo(root, to); err != nil {
			return nil, err
		}
	}
	return lib, sabotage(lib.control)
}

// copyTo makes one copy, a module of its own.
func (lib *library) copyTo(root, to string) error {
	for _, part := range []string{".", "internal", "mmapgo", "compat/osfile"} {
		if err := copyPackages(filepath.Join(root, part), filepath.Join(to, part), part != "."); err != nil {
			return err
		}
	}
	mod := fmt.Sprintf("module %s\n\ngo %s\n\nrequire golang.org/x/sys %s\n", modulePath, lib.goLine, lib.sys)
	return os.WriteFile(filepath.Join(to, "go.mod"), []byte(mod), 0o644)
}

// copyPackages copies the Go files of a directory that are no tests; deep, of
// those below it too.
func copyPackages(from, to string, deep bool) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && rel != "." && !deep:
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, ".s") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		return copyFile(name, filepath.Join(to, rel))
	})
}

// opener is the beginning of a call that opens a file or makes memory.
var opener = regexp.MustCompile(`(?m)^func (OpenFile|Map|Anonymous)\(.*\{\n`)

// controlMark is what a sabotaged library says.
const controlMark = "compat: the control was reached"

// sabotage makes every call of the library at dir that opens a file panic.
func sabotage(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	found := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		n := len(opener.FindAll(text, -1))
		if n == 0 {
			continue
		}
		found += n
		// The condition keeps vet and the compiler from finding dead code.
		text = opener.ReplaceAll(text, []byte("${0}\tif sabotaged {\n\t\tpanic(\""+controlMark+"\")\n\t}\n"))
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	if found != 3 {
		return fmt.Errorf("%d of the 3 functions that open a file were found", found)
	}
	return os.WriteFile(filepath.Join(dir, "sabotage.go"), []byte("package mmap\n\nvar sabotaged = true\n"), 0o644)
}

// firstMatch returns the first group of the first match, or nothing.
func firstMatch(text []byte, pattern string) string {
	if m := regexp.MustCompile(pattern).FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// copyFile copies one file. The copy can be written, whatever the original is.
func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm()|0o200)
}

// copyTree copies a directory with all that is in it; symbolic links are
// copied as such.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case !d.Type().IsRegular():
			return nil
		}
		return copyFile(name, target)
	})
}
