//go:build linux

package main

import (
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mutantsOf returns the names of the mutants of a source file, and what it becomes.
func mutantsOf(t *testing.T, text string) (names []string, edited string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &mutator{pkg: source{path: "a", dir: dir, name: "a", files: []string{"a.go"}}}
	err := m.mutate(nil, func(_ source, _ string, text []byte) error {
		edited = string(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range m.all {
		names = append(names, one.String()[strings.Index(one.String(), " ")+1:])
	}
	return names, edited
}

const sample = `package a

type T struct{ n int }

func (t *T) F(x, y int) int {
	if x < y && y < t.n {
		x += 2
	}
	return min(x, 7)
}
`

// TestMutants: the names of mutants, and that the code still parses.
func TestMutants(t *testing.T) {
	got, edited := mutantsOf(t, sample)
	want := []string{
		"a.T.F: if becomes if not #1: x < y && y < t.n",
		"a.T.F: < becomes <= #1: x < y",
		"a.T.F: < becomes <= #2: y < t.n",
		"a.T.F: + becomes - #1: x += 2",
		"a.T.F: min becomes max #1: min(x, 7)",
		"a.T.F: 7 becomes 8 #1: min(x, 7)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	set := token.NewFileSet()
	for name, text := range map[string]string{"the file": edited, "the switches": string(switchesFor("a", 9))} {
		if _, err := parser.ParseFile(set, "", text, 0); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// TestNamesStay: other names and a new line before change no mutant's name.
func TestNamesStay(t *testing.T) {
	strip := func(all []string) (names []string) {
		for _, one := range all {
			names = append(names, one[:strings.LastIndex(one, ": ")])
		}
		return names
	}
	before, _ := mutantsOf(t, sample)
	after, _ := mutantsOf(t, strings.NewReplacer("t.n", "t.limit", "n int", "limit int", "x", "off", "{\n\tif", "{\n\t// Bounds first.\n\tif").Replace(sample))
	if got, want := strip(after), strip(before); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSurvivors: the file is read as it is written, and what is no line of it is
// refused.
func TestSurvivors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "survivors.txt")
	want := survivors{{"a.F", "< becomes <=", 1}: unknown, {"a.F", "< becomes <=", 2}: equal + "the same"}
	if err := want.write(file); err != nil {
		t.Fatal(err)
	}
	got, err := readSurvivors(file)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("a.F\t< becomes <=\tone\twhy\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSurvivors(file); err == nil {
		t.Error("an ordinal that is no number")
	}
	if got, err := readSurvivors(filepath.Join(t.TempDir(), "none")); err != nil || len(got) != 0 {
		t.Errorf("a file that is not there: %v, %v", got, err)
	}
}

// TestSurvivorsAreMutants: each line of survivors.txt names a mutant of the code as
// it is.
func TestSurvivorsAreMutants(t *testing.T) {
	r := &runner{o: options{only: regexp.MustCompile("")}, known: survivors{}}
	defer r.close()
	if err := r.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	there := map[name]bool{}
	for _, m := range r.all {
		there[m.name()] = true
	}
	for n, why := range r.known {
		if !there[n] {
			t.Errorf("%v is no mutant: %s", n, why)
		}
	}
	if len(r.known) == 0 {
		t.Error("no survivors were read")
	}
}
