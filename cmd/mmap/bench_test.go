package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// TestOwnFile measures a file that bench makes, and then removes: hot, cold or
// why not, and written to. The figures come as JSON and as a drawing.
func TestOwnFile(t *testing.T) {
	mib := "16"
	if testing.Short() {
		mib = "1"
	}
	dir, drawing := t.TempDir(), filepath.Join(t.TempDir(), "drawing.svg")
	out := works(t, "bench", "-quick", "-json", "-svg", drawing, "-size", mib, "-dir", dir)
	var got report
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		runtime.GOOS, "CPU", "made for this: " + mib + " MiB", "x/exp/mmap", "before: io.Copy of " + mib + " MiB", "after writing: io.Copy",
		"ReadAt 64 B", "ReadAt 1 MiB", "open, read 4 KiB, close", "WriteAt 8 B", "Flush", `"faster"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q: %s", want, out)
		}
	}
	if runtime.GOOS == "linux" && (got.LoadBefore == "" || got.LoadAfter == "") {
		t.Error("the report lacks the load")
	}
	cold := slices.ContainsFunc(got.Rows, func(w row) bool { return w.Section == "cold" && w.Times["Region"].Median > 0 })
	said := slices.ContainsFunc(got.Notes, func(s string) bool { return strings.HasPrefix(s, "not measured: cold reads: ") })
	if cold == said {
		t.Errorf("cold reads measured: %v, said to be impossible: %v\n%s", cold, said, out)
	}
	for _, w := range got.Rows {
		for by, s := range w.Times {
			if !(0 < s.Low && s.Low <= s.Median && s.Median <= s.High) {
				t.Errorf("%s, %s: %+v", w.Name, by, s)
			}
		}
	}
	isEmpty(t, dir)
	text, err := os.ReadFile(drawing)
	if err != nil {
		t.Fatal(err)
	}
	bars := 0
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars < 2*len(got.Rows) {
		t.Errorf("%d bars for %d lines", bars, len(got.Rows))
	}
}

// TestUserFile measures files that are not bench's own: long, short and
// shorter than what is read at once.
func TestUserFile(t *testing.T) {
	for _, c := range []struct {
		size int
		want []string
	}{
		{1, []string{": 1 byte", "not measured: ReadAt 64 B: the file is too small", "not measured: WriteAt and Flush: only"}},
		{miB + 1, []string{": the first 1 MiB of 1 MiB", "ReadAt 1 MiB", "min..max", "same bytes, before: io.Copy of 1 MiB", "Beside os.File, Region is\n", "not measured: cold reads: not wanted"}},
	} {
		name := newFile(t, c.size)
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out := works(t, "bench", "-quick", "-cold=false", "-size", "1", name)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%d bytes: the report lacks %q:\n%s", c.size, want, out)
			}
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%d bytes: the file was changed (%v)", c.size, err)
		}
	}
}

// rowOf returns a line of the table for tests: the middle half of each side's
// rounds is a fiftieth wide.
func rowOf(section, name, words string, times ...float64) row {
	w := row{work: work{Section: section, Name: name, words: words}, Bytes: 8, Times: map[string]spread{}}
	w.bytes = 8
	for by, ns := range times {
		w.Times[side(by).String()] = spread{ns, ns / 2, ns * 2, ns * 0.99, ns * 1.01}
	}
	return w
}

// TestVerdict checks the words that the figures are put into.
func TestVerdict(t *testing.T) {
	r := report{Rows: []row{
		rowOf("hot", "ReadAt 64 B", "small reads", 500, 10, 9),
		rowOf("hot", "ReadAt 4 KiB", "small reads", 500, 50, 50),
		rowOf("hot", "ReadAt 1 MiB", "large reads", 100, 99, 50),
		rowOf("cold", "ReadAt 1 MiB", "cold reads", 100, 93, 50), // within a tenth
		rowOf("hot", "open", "open and close", 100, 130, 200),
		rowOf("writing", "flush", "flush", 100, 105), // nothing of x/exp/mmap
	}}
	if got := strings.Join(r.verdict(osFile).lines(), "\n"); got != "faster: small reads\nthe same: large reads; cold reads; flush\nslower: open and close" {
		t.Errorf("beside os.File:\n%s", got)
	}
	if got := strings.Join(r.verdict(expMmap).lines(), "\n"); got != "faster: open and close\nthe same: ReadAt 4 KiB\nslower: ReadAt 64 B; large reads; cold reads" {
		t.Errorf("beside x/exp/mmap:\n%s", got)
	}
	noisy := rowOf("hot", "x", "x", 100, 50)
	s := noisy.Times["Region"]
	s.q3 = 200
	noisy.Times["Region"] = s
	if noisy.outcome(osFile) != same {
		t.Error("a difference between rounds that overlap counts")
	}
}

// TestTableFits checks that the columns of the table stand below each other and
// fit the terminal.
func TestTableFits(t *testing.T) {
	r := report{Rows: []row{rowOf("hot", "short", "", 12.3, 45678, 7), rowOf("cold", "a name that is rather long", "", 1e5, 99)}}
	for _, width := range []int{80, 120, 200} {
		ends := map[int]bool{}
		for _, line := range r.table(width) {
			if columns(line) > width {
				t.Errorf("%d columns of %d: %s", columns(line), width, line)
			}
			if strings.HasSuffix(line, "×") || strings.HasSuffix(line, "speed") {
				ends[columns(line)] = true
			}
		}
		if len(ends) != 1 {
			t.Errorf("lines end at %v:\n%s", ends, strings.Join(r.table(width), "\n"))
		}
	}
}

// TestRefusals checks that what cannot be measured is refused with the reason.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"missing", []string{filepath.Join(dir, "missing")}, `missing: `},
		{"directory", []string{dir}, `is a directory`},
		{"empty", []string{newFile(t, 0)}, `is empty: there is nothing to read`},
		{"no folder", []string{"-dir", filepath.Join(dir, "missing")}, `missing`},
	}
	if runtime.GOOS == "linux" {
		cases = append(cases, cases[0], cases[0])
		cases[4].name, cases[4].args, cases[4].want = "proc", []string{"/proc/cpuinfo"}, `the kernel makes its content as it is read \(proc\)`
		cases[5].name, cases[5].args, cases[5].want = "device", []string{"/dev/null"}, `it is a device`
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, out, errs := command(t, append([]string{"bench", "-quick", "-size", "1"}, c.args...)...)
			if status != statusFailed || out != "" || !matches(`^mmap: [^\n]*(`+c.want+`)[^\n]*\n$`, errs) {
				t.Errorf("status %d, output %q: %q", status, out, errs)
			}
		})
	}
	isEmpty(t, dir)
}

// TestNoSpace lets the disk be full: a device that always is, and where this
// process may, a file system that really is.
func TestNoSpace(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if err := fill(context.Background(), full, 2*miB); !errors.Is(err, sys.NoSpace) {
		t.Errorf("fill says %v", err)
	}
	dir := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).Run(); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	defer exec.Command("umount", dir).Run()
	status, _, errs := command(t, "bench", "-quick", "-size", "2", "-dir", dir)
	if status != statusFailed || !matches(`^mmap: write [^\n]*no space left on device\n$`, errs) {
		t.Errorf("status %d: %q", status, errs)
	}
	isEmpty(t, dir)
}

// TestDifference checks that other bytes do not pass as the same.
func TestDifference(t *testing.T) {
	b := &bench{subject: &subject{name: "file"}}
	if err := b.same("View", []byte{1}, []byte{2}, nil); err == nil || !strings.Contains(err.Error(), "View gives other bytes") {
		t.Errorf("different hashes: %v", err)
	}
	if err := b.same("View", []byte{1}, []byte{1}, nil); err != nil {
		t.Errorf("equal hashes: %v", err)
	}
	if err := b.same("View", nil, nil, io.EOF); err != io.EOF {
		t.Errorf("a failed reading: %v", err)
	}
}

// TestShorter cuts the file while x/exp/mmap reads it: that is an error, and
// does not end the process.
func TestShorter(t *testing.T) {
	name := newFile(t, 64*kiB)
	s, err := findSubject(name, miB)
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.open(expMmap, os.O_RDONLY)
	if err != nil {
		t.Skip(err)
	}
	defer h.Close()
	if err := os.Truncate(name, 0); err != nil {
		t.Skip("the system forbids it:", err)
	}
	err = share(expMmap, 2, 2, func(uint64, int) error { return readAt(h, make([]byte, 1), 32*kiB) })
	if err = s.shorter(err); err == nil || !strings.Contains(err.Error(), "became shorter") {
		t.Errorf("reading a file that was cut: %v", err)
	}
}
