package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestCells checks that the parts of a file are equal, leave nothing out, and
// are found again page by page.
func TestCells(t *testing.T) {
	for pages := int64(1); pages < 40; pages++ {
		for cells := 1; cells <= int(pages); cells++ {
			next := int64(0)
			for i := range cells {
				from, to := cellRange(i, cells, pages)
				if n := to - from; from != next || n != pages/int64(cells) && n != pages/int64(cells)+1 {
					t.Fatalf("%d pages in %d parts: part %d is %d..%d", pages, cells, i, from, to)
				}
				for page := from; page < to; page++ {
					if got := cellOf(page, cells, pages); got != i {
						t.Fatalf("%d pages in %d parts: page %d is in part %d, not %d", pages, cells, page, got, i)
					}
				}
				next = to
			}
			if next != pages {
				t.Fatalf("%d pages in %d parts: %d are covered", pages, cells, next)
			}
		}
	}
}

// TestBar checks the shades of a bar.
func TestBar(t *testing.T) {
	e := entry{residency: residency{cells: []tally{{10, 0}, {10, 1}, {10, 5}, {10, 9}, {10, 10}}}}
	for want, c := range map[string]*console{"·░▒▓█": {}, ".-+*#": {ascii: true}} {
		if got := e.bar(c, 5); got != want {
			t.Errorf("bar %q, want %q", got, want)
		}
	}
	for width := 1; width < 30; width++ {
		if got := columns(e.bar(&console{}, width)); got != width {
			t.Errorf("a bar of %d columns has %d", width, got)
		}
	}
	if got := e.bar(&console{}, 2); got != "░▓" { // parts that share a character are added up
		t.Errorf("bar of two %q", got)
	}
	e.why = errors.New("unknown")
	if got := e.bar(&console{}, 5); got != "" {
		t.Errorf("a bar of what is not told: %q", got)
	}
}

// surveyOf returns a survey of made-up files.
func surveyOf() *survey {
	s := &survey{files: 4}
	s.add(entry{name: strings.Repeat("long-folder/", 9) + "name", residency: residency{size: 5 * giB, pages: 5 * giB / 4096, resident: 7, dirty: 1, cells: []tally{{9, 7}}}})
	s.add(entry{name: "日本", residency: residency{size: 4096, pages: 1, resident: 1, dirty: notTold, writeback: notTold, cells: []tally{{1, 1}}}})
	s.add(entry{name: "secret", residency: residency{size: 4096, pages: 1, why: errNotOwner}})
	s.add(entry{name: "evil\x1b[2J\n"})
	return s
}

// TestTable checks that the table fits terminals of many widths, that columns
// are aligned, and that what is not told is never 0 or 100 %.
func TestTable(t *testing.T) {
	for _, watched := range []bool{false, true} {
		for _, width := range []int{80, 100, 200} {
			c, _ := terminalOf(&bytes.Buffer{}, width, 24)
			s := surveyOf()
			s.watched = watched
			lines := s.table(c)
			for _, line := range lines {
				if columns(line) > width {
					t.Errorf("%d columns of %d: %s", columns(line), width, line)
				}
			}
			text := strings.Join(lines, "\n")
			if strings.Contains(text, "\x1b") || strings.Count(text, "█") == 0 {
				t.Errorf("%q", text)
			}
		}
	}
	s := surveyOf()
	lines := s.table(&console{})
	row := strings.Join(strings.Fields(lines[3]), " ")
	if row != "secret 4 KiB not told - - -" {
		t.Errorf("the row of what is not told: %q", row)
	}
	text := strings.Join(lines, "\n")
	if strings.ContainsAny(text, "█░·\x1b") {
		t.Errorf("piped: %s", text)
	}
	for _, want := range []string{"4 files", "not told: secret: the kernel tells only", "dirty and writing not told: 日本", "of 3 files"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
}

// TestStatJSON checks what -json prints of what is and is not told.
func TestStatJSON(t *testing.T) {
	text, err := json.Marshal(surveyOf().json())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"files":4`, `"resident_pages":7`, `"dirty_pages":1`,
		`"name":"日本","size":4096,"pages":1,"resident_pages":1,"resident_bytes":` + fmt.Sprint(pageSize) + `,"dirty_pages":null`,
		`"name":"secret","size":4096,"pages":1,"resident_pages":null,"resident_bytes":null,"dirty_pages":null,"writeback_pages":null,"not_told":"the kernel`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

// TestWalk checks which files are looked at: links once, folders with -r only.
func TestWalk(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "sub/b", "sub/deep/c"} {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := identify(info); ok {
		os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "sub", "again"))
		os.Symlink(filepath.Join(dir, "a"), filepath.Join(dir, "symlink"))
		os.Symlink(dir, filepath.Join(dir, "sub", "loop"))
	}
	var s surveyJSON
	for _, c := range []struct {
		args  []string
		files int
	}{{[]string{dir}, 1}, {[]string{"-r", dir}, 3}, {[]string{"-top", "1", dir}, 3}} {
		out := works(t, append([]string{"stat", "-json"}, c.args...)...)
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatal(err)
		}
		if s.Total.Files != c.files {
			t.Errorf("stat %v: %d files, want %d\n%s", c.args, s.Total.Files, c.files, out)
		}
	}
	if len(s.Files) != 1 {
		t.Errorf("-top 1 shows %d files", len(s.Files))
	}
	if !strings.Contains(works(t, "stat", dir), "1 folder not looked into: -r does") {
		t.Error("it is not said that a folder was not looked into")
	}
}

// TestEmptyFile checks that an empty file is told, and no error.
func TestEmptyFile(t *testing.T) {
	name := newFile(t, 0)
	if out := works(t, "stat", name); !matches(`(?m)file +0 +0 +- +0 +0$`, out) {
		t.Errorf("stat of an empty file:\n%s", out)
	}
	works(t, "warm", name)
}

// TestNotTold checks that a system that does not tell is said not to.
func TestNotTold(t *testing.T) {
	name := newFile(t, 5000)
	out := works(t, "stat", name)
	told := !strings.Contains(out, "not told")
	switch runtime.GOOS {
	case "linux":
		if !told {
			t.Error(out)
		}
	case "windows", "plan9", "js", "wasip1":
		if told || strings.Count(works(t, "stat", "-json", name), `"resident_pages":null`) != 2 {
			t.Error(out)
		}
	}
	if !told && (strings.Contains(out, " 0 %") || strings.Contains(out, "100 %")) {
		t.Error(out)
	}
}

// TestList checks that a list comes back as it was written, whatever the names,
// and that what is no list is refused.
func TestList(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(listHead + "\n")
	files := []listed{
		{"/a b\n\"c\"", 100, []span{{0, 10}, {20, 80}}},
		{"/\xff\xfe", 1 << 40, []span{{1 << 39, 1 << 39}}},
	}
	for i := range files {
		if err := files[i].write(&b); err != nil {
			t.Fatal(err)
		}
	}
	got, err := scanList(&b)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(files) {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{
		"", "something else\n", listHead + "\n0 10\n", listHead + "\nfile x \"a\"\n", listHead + "\nfile 1 a\n", listHead + "\nfile 1 \"a\"\n5\n",
		listHead + "\nfile 1 \"a\"\n-5 1\n", listHead + "\nfile 1 \"a\"\n5 0\n", listHead + "\nfile 1 \"\"\n", listHead + "\nfile 1 \"a\"\n9223372036854775807 2\n",
	} {
		if _, err := scanList(strings.NewReader(text)); err == nil {
			t.Errorf("%q is taken for a list", text)
		}
	}
	bad := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(bad, []byte(listHead+"\nfile 1 \"a\"\nnonsense\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := command(t, "warm", "-from", bad); status != statusFailed || !strings.Contains(errs, "line 3: ") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// TestRanges checks that ranges are put in order and joined.
func TestRanges(t *testing.T) {
	var r ranges
	for _, text := range []string{"8K-", "0-1K", "512-2K", "4k-5k"} {
		if err := r.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(r.of(10 * kiB)); got != "[{0 2048} {4096 1024} {8192 2048}]" {
		t.Error(got)
	}
	if got := fmt.Sprint(ranges(nil).of(5)); got != "[{0 5}]" {
		t.Error(got)
	}
	if got := within([]span{{0, 10}, {20, 10}}, []span{{5, 20}}); fmt.Sprint(got) != "[{5 5} {20 5}]" {
		t.Error(got)
	}
}

// TestCompare checks what is said to have come and gone.
func TestCompare(t *testing.T) {
	before := map[string]*entry{}
	look := func(entries ...entry) *survey {
		s := &survey{entries: entries}
		s.compare(before)
		return s
	}
	cells := func(a, b int64) residency {
		return residency{pages: 20, resident: a + b, cells: []tally{{10, a}, {10, b}}}
	}
	look(entry{name: "a", residency: cells(5, 5)}, entry{name: "b", residency: cells(1, 1)})
	s := look(entry{name: "a", residency: cells(9, 2)})
	if e := s.entries[0]; e.came != 4 || e.went != 3 || e.marks[0] != 1 || e.marks[1] != -1 {
		t.Errorf("%+v", e)
	}
	if s.all.came != 4 || s.all.went != 3+2 {
		t.Errorf("in all %d came, %d went: b has gone with 2", s.all.came, s.all.went)
	}
	grown := cells(9, 9)
	grown.pages = 30
	if e := look(entry{name: "a", residency: grown}).entries[0]; e.came != 7 || e.went != 0 {
		t.Errorf("%+v", e)
	}
}

// watcher is a terminal that does something each time it is drawn on.
type watcher struct {
	bytes.Buffer
	drawn func(text string)
}

func (w *watcher) Write(p []byte) (int, error) {
	w.drawn(string(p))
	return w.Buffer.Write(p)
}

// TestWatch watches a file that is cut, grows and goes: each is shown in place,
// and an interrupt leaves the last table.
func TestWatch(t *testing.T) {
	name := newFile(t, 1<<16)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	step := 0
	steps := []struct {
		seen string
		then func() error
	}{
		{"64 KiB", func() error { return os.Truncate(name, 1000) }},
		{" 1000 ", func() error { return os.WriteFile(name, make([]byte, 3<<16), 0o666) }},
		{"192 KiB", func() error { return os.Remove(name) }},
		{"0 files", func() error { cancel(); return nil }},
	}
	w := &watcher{}
	w.drawn = func(text string) {
		if step < len(steps) && strings.Contains(text, steps[step].seen) {
			if err := steps[step].then(); err != nil {
				t.Error(err)
			}
			step++
		}
	}
	c, errs := terminalOf(w, 80, 24)
	o := statOptions{watch: 10 * time.Millisecond}
	slow := time.AfterFunc(10*time.Second, cancel)
	defer slow.Stop()
	if err := o.stat(ctx, []string{name}, c); !errors.Is(err, errStopped) || errs.Len() > 0 {
		t.Errorf("%v, %s", err, errs)
	}
	if step < len(steps) {
		t.Errorf("%q was never drawn:\n%q", steps[step].seen, w.String())
	}
	text := w.String()
	if !strings.HasPrefix(text, enterScreen) || strings.Count(text, leaveScreen) != 1 || strings.Count(text, "\x1b[H") < len(steps) {
		t.Errorf("%q", text)
	}
}
