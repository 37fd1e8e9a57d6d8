//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// without returns the file's text with the mechanism switched off.
func (m mechanism) without(source []byte) ([]byte, error) {
	if n := bytes.Count(source, []byte(m.from)); n != 1 {
		return nil, fmt.Errorf("its text is in %s %d times, not once: %q", m.file, n, m.from)
	}
	return bytes.Replace(source, []byte(m.from), []byte(m.to), 1), nil
}

// build builds this program with and without the mechanism, from the library
// in root.
func (m mechanism) build(l *lab, root, with, without string) error {
	name := filepath.Join(root, m.file)
	source, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	source, err = m.without(source)
	if err != nil {
		return err
	}
	changed, overlay := l.path("changed.go"), l.path("overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{name: changed}})
	if err != nil {
		return err
	}
	for file, text := range map[string][]byte{changed: source, overlay: replace} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"-o", with}, {"-overlay", overlay, "-o", without}} {
		if _, err := l.output("go", append([]string{"build"}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// pairs is how many times the program runs with and without a mechanism.
const pairs = 7

// ablation switches off each mechanism in turn, if one of its rows is in the
// list, and writes how many times better its rows are with it. It runs in the
// folder of its own source.
func ablation(list, dir, out string) error {
	if _, err := chooseRows(list); err != nil {
		return err
	}
	l, err := newLab(dir, true)
	if err != nil {
		return err
	}
	defer l.close()
	l.closeOnSignal()
	found, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/seed-93fed273/mmap").Output()
	if err != nil {
		return fmt.Errorf("the library's source: %w (run this by go -C bench run .)", err)
	}
	root := strings.TrimSpace(string(found))
	with, without := l.path("with"), l.path("without")
	var lines [][]string
	var errs []error
	for _, m := range mechanisms {
		if list != "" && !m.shows(list) {
			continue
		}
		var got [][]string
		err := m.build(l, root, with, without)
		if err == nil {
			got, err = m.compare(l, with, without)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("mechanism %q: %w", m.name, err))
		}
		for _, line := range got {
			fmt.Fprintln(os.Stderr, strings.Join(line, " | "))
		}
		lines = append(lines, got...)
	}
	return errors.Join(append(errs, writeMechanisms(l, lines, out))...)
}

// shows reports whether one of the mechanism's rows is in the list.
func (m mechanism) shows(list string) bool {
	return slices.ContainsFunc(m.rows, func(s spot) bool {
		return slices.Contains(strings.Split(strings.ToUpper(list), ","), s.row)
	})
}

// compare runs both programs in turns and returns a line for each spot.
func (m mechanism) compare(l *lab, with, without string) (lines [][]string, err error) {
	got := map[string]map[spot]series{with: {}, without: {}}
	var cells []measured
	for pair := range pairs {
		turn := []string{with, without}
		if pair%2 == 1 {
			slices.Reverse(turn)
		}
		for _, bin := range turn {
			if cells, err = m.measure(l, bin); err != nil {
				return nil, err
			}
			for _, s := range m.rows {
				c, err := s.find(cells)
				if err != nil {
					return nil, err
				}
				got[bin][s] = append(got[bin][s], median(c.Figures[s.name()]))
			}
		}
	}
	for _, s := range m.rows {
		c, err := s.find(cells)
		if err != nil {
			return nil, err
		}
		lines = append(lines, m.line(s, c, got[with][s], got[without][s]))
	}
	return lines, nil
}

// measure runs the mechanism's rows.
func (m mechanism) measure(l *lab, bin string) (cells []measured, err error) {
	var ids []string
	quick := true
	for _, s := range m.rows {
		ids = append(ids, s.row)
		quick = quick && !s.full
	}
	out, err := l.output(bin, fmt.Sprintf("-quick=%t", quick), "-figures", "-entrants", region, "-dir", l.dir, "-rows", strings.Join(ids, ","))
	if err != nil {
		return nil, err
	}
	return cells, json.Unmarshal(out, &cells)
}

// output runs a program and returns what it prints. When the lab closes first,
// the program is ended and waited for: it may have mounts to take away, and
// makes files in the lab's folder.
func (l *lab) output(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	l.atEnd(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	err := cmd.Wait()
	close(ended)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, &errs)
	}
	return out.Bytes(), nil
}

// name is the entrant's.
func (s spot) name() string {
	if s.entrant == "" {
		return region
	}
	return s.entrant
}

// find returns the spot's cell. That there is none, or no figure in it, is an
// error: it would be a mechanism that nothing measures.
func (s spot) find(cells []measured) (measured, error) {
	why := "there is no such figure"
	for _, c := range cells {
		missing := func(word string) bool { return !strings.Contains(c.Workload, strings.TrimSpace(word)) }
		switch {
		case c.Why != "" && slices.Contains(strings.Split(c.ID, ", "), s.row):
			why = c.Why
		case c.ID == s.row && len(c.Figures[s.name()]) > 0 && !slices.ContainsFunc(strings.Split(s.words, ","), missing):
			return c, nil
		}
	}
	return measured{}, fmt.Errorf("%s %q of %s: %s", s.row, s.words, s.name(), why)
}

// line says how many times better the figure is with the mechanism, and
// whether all pairs but one agree that it is better at all.
func (m mechanism) line(s spot, c measured, with, without series) []string {
	better := ratios(with, without)
	if (cell{unit: c.Unit}).small() {
		better = ratios(without, with)
	}
	sorted := slices.Sorted(slices.Values(better))
	verdict := "not outside the noise"
	switch {
	case sorted[1] > 1:
		verdict = "better"
	case sorted[len(sorted)-2] < 1:
		verdict = "worse"
	case slices.Equal(with, without):
		verdict = "the same"
	}
	where := c.Workload
	if s.entrant != "" {
		where += ": " + s.entrant
	}
	return []string{m.name, m.file, s.row, where,
		strings.TrimSpace(short(median(with)) + " " + c.Unit), strings.TrimSpace(short(median(without)) + " " + c.Unit),
		fmt.Sprintf("%s [%s..%s]", short(median(better)), short(sorted[0]), short(sorted[len(sorted)-1])), verdict}
}

// mechanismsHead are the columns.
var mechanismsHead = []string{"mechanism", "file", "row", "workload", "with", "without", "times better with, median [min..max]", "with it the row is"}

// writeMechanisms writes the lines beside the results, or only shows them.
func writeMechanisms(l *lab, lines [][]string, out string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Mechanisms\n\n%s\n%s\n", l.describe(), fmt.Sprintf(mechanismsLegend, pairs))
	writeMarkdown(&b, mechanismsHead, lines)
	b.WriteString("\nWhat stays where its row does not move, and why:\n\n")
	for _, k := range kept {
		fmt.Fprintf(&b, "- *%s*: %s\n", k[0], k[1])
	}
	if out == "-" {
		fmt.Print(b.String())
		return nil
	}
	return os.WriteFile(filepath.Join(filepath.Dir(out), "mechanisms.md"), []byte(b.String()), 0o644)
}

const mechanismsLegend = `Each mechanism of the library that is there for speed, switched off by itself: mechanisms.go has the
source text that is replaced. The comparison was built with and without it, and its row run by both in
turns, %d times each, in the quick form where that shows it. "Better" and "worse" need all pairs but one
to agree. Where nothing moves, chance alone says each of them of one line in sixteen: a ratio near 1 is
to be measured again before anything is built on it.
`
