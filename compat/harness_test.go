package main

import (
	"context"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSuites: the table of suites is sound, and enough of them are quick.
func TestSuites(t *testing.T) {
	seen := map[string]bool{}
	quick := 0
	for _, s := range suites {
		if seen[s.name] {
			t.Errorf("there are two suites %s", s.name)
		}
		seen[s.name] = true
		if s.quick {
			quick++
		}
		if s.about == "" || len(s.packages) == 0 || len(s.edits) == 0 {
			t.Errorf("%s lacks something", s.name)
		}
		if s.module != "" && !strings.Contains(s.module, "@v") {
			t.Errorf("%s is not pinned to a version", s.name)
		}
		for name, why := range s.known {
			pkg, test, _ := strings.Cut(name, ".")
			if !slices.Contains(s.packages, pkg) || !strings.HasPrefix(test, "Test") || why == "" {
				t.Errorf("%s knows of a strange test %q", s.name, name)
			}
		}
	}
	if quick < 8 {
		t.Errorf("only %d suites are quick", quick)
	}
}

// TestChosen: suites are chosen by form and by name; an unknown name is an error.
func TestChosen(t *testing.T) {
	all, _ := options{full: true}.chosen()
	quick, _ := options{}.chosen()
	two, err := options{suites: "vellum,bbolt"}.chosen()
	if len(all) != len(suites) || len(quick) >= len(all) || err != nil || len(two) != 2 || two[1].name != "bbolt" {
		t.Errorf("%d of %d, %d, %d, %v", len(all), len(suites), len(quick), len(two), err)
	}
	if _, err := (options{suites: "vellum,none"}).chosen(); err == nil {
		t.Error("an unknown suite is no error")
	}
}

// TestExchange: names of package os become those of osfile, and others stay.
func TestExchange(t *testing.T) {
	const text = "package p\n\nimport \"os\"\n\nvar f *os.File\n\nfunc g(m os.FileMode) {\n\tf, _ = os.Open(\"x\")\n\tos.OpenRoot(\"y\")\n}\n"
	got, err := exchange{}.text(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"*osfile.File\n", `osfile.Open("x")`, "os.FileMode", `os.OpenRoot("y")`, "compat/osfile\""} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	parses(t, got)
	same := "package p\n\nimport \"os\"\n\nvar _ = os.Args\n"
	if got, err := (exchange{}).text(same); got != same || err != nil {
		t.Errorf("a text without a file became %q, %v", got, err)
	}
}

// TestExchangeFuncs: in a file with a dot import only the named functions
// change, and their own names do not.
func TestExchangeFuncs(t *testing.T) {
	const text = `package p_test

import . "os"

func Open1(f *File) { Open("a"); x.Open("b"); OpenFile("c", 0, 0) }

func TestFile(t *T) { f, err := r.OpenFile("d", O_RDONLY, 0); _ = "File" }

func other(f *File) { Open("e") }
`
	got, err := exchange{funcs: []string{"Open1", "TestFile"}}.text(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`func Open1(f *osfile.File) { osfile.Open("a"); x.Open("b"); osfile.OpenFile("c", 0, 0) }`,
		`func TestFile(t *T) { f, err := osfile.Wrap(r.OpenFile("d", O_RDONLY, 0)); _ = "File" }`,
		`func other(f *File) { Open("e") }`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	parses(t, got)
	if _, err := (exchange{funcs: []string{"Open1", "missing"}}).text(text); err == nil {
		t.Error("a function that is not there is no error")
	}
}

// parses fails the test if the text is no Go file.
func parses(t *testing.T, text string) {
	t.Helper()
	if _, err := parser.ParseFile(token.NewFileSet(), "", text, 0); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
}

// TestEditsThatFindNothing: each is an error.
func TestEditsThatFindNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.go"), "package p // one two two\n")
	write(t, filepath.Join(dir, "go.mod"), "module m\n")
	tr := &tree{dir: dir, lib: &library{goLine: "1.26.0"}}
	for name, e := range map[string]edit{
		"no text":       substitute{file: "a.go", old: "three", new: "x"},
		"twice":         substitute{file: "a.go", old: "two", new: "x"},
		"no file":       substitute{file: "b.go", old: "one", new: "x"},
		"no file (2)":   rewrite{file: "b.go", text: "x"},
		"no file (3)":   exchange{files: []string{"b*.go"}},
		"nothing of os": exchange{files: []string{"a.go"}},
		"no module":     replaceModule{"example.com/m"},
	} {
		if err := e.apply(context.Background(), tr); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, e := range map[string]edit{
		"once":  substitute{file: "a.go", old: "one", new: "1"},
		"twice": substitute{file: "a.go", old: "two", new: "2", times: 2},
	} {
		if err := e.apply(context.Background(), tr); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := string(mustRead(filepath.Join(dir, "a.go"))); got != "package p // 1 2 2\n" {
		t.Errorf("the file has %q", got)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestNote: what test2json says is counted; a test in which the program ended
// has failed.
func TestNote(t *testing.T) {
	const out = `{"Action":"start"}
{"Action":"run","Test":"TestA"}
{"Action":"run","Test":"TestA/sub"}
{"Action":"fail","Test":"TestA/sub"}
{"Action":"pass","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"output","Test":"TestB","Output":"why\n"}
{"Action":"fail","Test":"TestB"}
{"Action":"run","Test":"TestC"}
{"Action":"skip","Test":"TestC"}
{"Action":"run","Test":"TestD"}
panic: at once
`
	s := newSession()
	s.note("p", strings.NewReader(out), errors.New("exit status 2"))
	want := map[string]string{"p.TestA": "pass", "p.TestB": "fail", "p.TestC": "skip", "p.TestD": "fail"}
	for name, status := range want {
		if s.tests[name] != status {
			t.Errorf("%s is %q, not %q", name, s.tests[name], status)
		}
	}
	if len(s.tests) != len(want) {
		t.Errorf("there are %d tests", len(s.tests))
	}
	if s.output["p.TestB"] != "why\n" || len(s.broken) != 1 || !strings.Contains(s.broken["p"], "panic: at once") {
		t.Errorf("output %q, broken %q", s.output, s.broken)
	}
}

// made returns a session of tests with the given results, by one letter each.
func made(took time.Duration, results string) session {
	s := newSession()
	s.took = took
	for i, c := range results {
		if status := map[rune]string{'p': "pass", 'f': "fail", 's': "skip"}[c]; status != "" {
			s.tests["p.Test"+string(rune('A'+i))] = status
		}
	}
	return s
}

// TestCompare: each pair of results has its place; "-" is a test that did not
// run.
func TestCompare(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{"p", "p", "passed"}, {"f", "f", "both"}, {"s", "s", "idle"}, {"p", "f", "worse"}, {"p", "s", "worse"},
		{"p", "-", "worse"}, {"f", "p", "better"}, {"s", "p", "better"}, {"-", "p", "better"}, {"s", "f", "worse"},
		{"s", "-", "worse"}, {"-", "f", "worse"}, {"f", "-", "both"}, {"f", "s", "both"},
	} {
		var o outcome
		compare(&o, []session{made(2, c.before), made(1, c.before)}, []session{made(3, c.after), made(5, c.after)})
		got := map[string]int{"passed": o.passed, "both": len(o.both), "idle": o.idle, "worse": len(o.worse), "better": len(o.better)}
		for name, n := range got {
			if want := map[bool]int{true: 1}[name == c.want]; n != want {
				t.Errorf("%s then %s: %s is %d", c.before, c.after, name, n)
			}
		}
		if o.before != 1 || o.after != 3 {
			t.Errorf("times %v and %v", o.before, o.after)
		}
	}
	o := outcome{suite: suite{known: map[string]string{"p.TestA": "why"}}, reached: true}
	compare(&o, []session{made(1, "pp")}, []session{made(1, "fp")})
	if len(o.known) != 1 || len(o.worse) != 0 || o.failed() {
		t.Errorf("what is known counts as %+v", o)
	}
}

// TestWorst: a test that failed in one of several runs has failed.
func TestWorst(t *testing.T) {
	var o outcome
	compare(&o, []session{made(1, "pp"), made(1, "pp")}, []session{made(1, "pf"), made(1, "pp")})
	if !slices.Equal(o.worse, []string{"p.TestB"}) {
		t.Errorf("worse: %q", o.worse)
	}
}

// TestVerdict: only a suite that passed, and whose control did not, has passed.
func TestVerdict(t *testing.T) {
	good := outcome{passed: 3, reached: true}
	if good.failed() || good.verdict() != "passed" {
		t.Error("a good outcome is not passed")
	}
	for name, o := range map[string]outcome{
		"worse":        {passed: 3, reached: true, worse: []string{"x"}},
		"error":        {err: io.EOF},
		"broken":       {passed: 3, reached: true, broken: []string{"p"}},
		"no test":      {reached: true},
		"not reached":  {passed: 3},
		"no test runs": {},
	} {
		if !o.failed() {
			t.Errorf("%s: not failed", name)
		}
	}
	if o := (outcome{skipped: "no network"}); o.failed() {
		t.Error("what did not run has failed")
	}
}

// TestStatus: a failure, or too few suites, is exit status 1.
func TestStatus(t *testing.T) {
	good, bad, none := outcome{passed: 3, reached: true}, outcome{err: io.EOF}, outcome{skipped: "no network"}
	for _, c := range []struct {
		o    options
		list []outcome
		want int
	}{
		{options{min: 2}, []outcome{good, good}, 0},
		{options{min: 2}, []outcome{good, good, bad}, 1},
		{options{min: 2}, []outcome{good, none}, 1},
		{options{min: 2}, []outcome{good, good, none}, 0},
		{options{min: 2, suites: "x"}, []outcome{good}, 0},
		{options{min: 2, suites: "x"}, []outcome{bad}, 1},
		{options{min: 2, suites: "x"}, []outcome{good, none}, 1},
	} {
		if got := c.o.status(io.Discard, c.list); got != c.want {
			t.Errorf("%d outcomes: status %d, not %d", len(c.list), got, c.want)
		}
	}
}

// TestOlder: versions of Go in order.
func TestOlder(t *testing.T) {
	for _, c := range [][2]string{{"", "1.26.0"}, {"1.9", "1.26.0"}, {"1.25.8", "1.26.0"}, {"1.26.0", "1.26.1"}} {
		if !older(c[0], c[1]) || older(c[1], c[0]) {
			t.Errorf("%q and %q", c[0], c[1])
		}
	}
	if older("1.26.0", "1.26.0") {
		t.Error("a version is older than itself")
	}
}

// TestLibrary: the copies compile, and the control has all three functions
// sabotaged.
func TestLibrary(t *testing.T) {
	lib, err := copyLibrary("..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{lib.dir, lib.control} {
		cmd := exec.Command("go", "vet", "-mod=mod", "./mmapgo", "./compat/osfile")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if _, err := copyLibrary(".", t.TempDir()); err == nil {
		t.Error("a directory that is not the library is no error")
	}
}

// TestProject runs a project that has a test of each kind, from the copy to the
// table.
func TestProject(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds three programs")
	}
	lib, err := copyLibrary("..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := suite{
		name: "project", about: "a project of our own", module: "./testdata/project", packages: []string{""},
		edits: []edit{exchange{files: []string{"project.go"}}},
	}
	l := &lab{suite: s, lib: lib, dir: t.TempDir(), rounds: 1, say: io.Discard}
	o := l.run(context.Background())
	if o.err != nil || o.skipped != "" {
		t.Fatal(o.err, o.skipped)
	}
	if o.passed != 1 || !slices.Equal(o.both, []string{".TestFailsAnyway"}) || o.idle != 1 ||
		!slices.Equal(o.worse, []string{".TestType"}) || !o.reached || !o.failed() {
		t.Errorf("the outcome is %+v", o)
	}
	text := options{}.markdown([]outcome{o})
	for _, want := range []string{"| project | 1 | 1 | 1 |", "fails unchanged too: .TestFailsAnyway", "TestType"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, l.dir) || strings.Contains(text, os.TempDir()) {
		t.Errorf("the table names a path of this machine:\n%s", text)
	}
	s.edits = []edit{rewrite{file: "project.go", text: string(mustRead("testdata/project/project.go")) + "\n// not over the library\n"}}
	l = &lab{suite: s, lib: lib, dir: t.TempDir(), rounds: 1, say: io.Discard}
	if o := l.run(context.Background()); o.err != nil || o.reached || !o.failed() {
		t.Errorf("a suite that does not use the library: %+v", o)
	}
}

// TestUnreachable: what cannot be fetched is told from what does not compile.
func TestUnreachable(t *testing.T) {
	for text, want := range map[string]bool{
		"a.go:1:2: x@v1.0.0: reading https://host.example/x.zip: 403 Forbidden\n\tserver response: no": true,
		"go: x@v1.0.0: Get \"https://host.example/x\": dial tcp: lookup host.example: no such host":    true,
		"./a.go:1:2: undefined: reading": false,
	} {
		if got := unreachable.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if s := firstLine("x: reading https://host.example/x.zip: no\nmore"); strings.Contains(s, "host") || strings.Contains(s, "more") {
		t.Error(s)
	}
}

// TestBroken: a program that fails though its tests passed (a check for leaks at
// the end, say) is a failure, unless it does so unchanged.
func TestBroken(t *testing.T) {
	good, bad := made(1, "p"), made(1, "p")
	bad.note("p", strings.NewReader("found a leak\n"), errors.New("exit status 1"))
	for _, c := range []struct {
		before, after session
		want          bool
	}{{good, good, false}, {good, bad, true}, {bad, bad, false}, {bad, good, false}} {
		o := outcome{reached: true}
		compare(&o, []session{c.before}, []session{c.after})
		if o.failed() != c.want {
			t.Errorf("%q then %q: failed is %v", c.before.broken, c.after.broken, o.failed())
		}
		if c.want && !strings.Contains(o.line(), "found a leak") {
			t.Errorf("it does not say why: %s", o.line())
		}
	}
}
