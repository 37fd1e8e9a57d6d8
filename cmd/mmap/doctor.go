package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/seed-93fed273/mmap"
)

// doctorVerb is `mmap doctor`.
var doctorVerb = verb{
	name:  "doctor",
	args:  "[-json] [DIR]",
	short: "what this machine and a file system allow, and what follows from it",
	long:  `Doctor tries out what package mmap uses of the system and of the file system that DIR (the current folder) is on, and says in words what the library does because of it. It makes a small file in DIR and removes it. Each finding is "ok", "note" (the library does without, or you should know) or "HURTS"; if something hurts, the exit status is 1.`,
	flags: func(fs *flag.FlagSet) action {
		asJSON := fs.Bool("json", false, "print JSON")
		return func(ctx context.Context, args []string, c *console) error { return doctor(args, *asJSON, c) }
	},
}

// The grades of a finding.
const (
	fine  = "ok"
	note  = "note"
	hurts = "HURTS"
)

// finding is one thing that doctor has found out.
type finding struct {
	Grade   string `json:"grade"`
	Name    string `json:"name"`
	Value   string `json:"value"`   // what was found
	Meaning string `json:"meaning"` // what the library does because of it
}

// examination collects findings.
type examination struct {
	dir      string
	findings []finding
}

// add adds a finding.
func (e *examination) add(grade, name, value, meaning string) {
	e.findings = append(e.findings, finding{grade, name, value, meaning})
}

// doctor is the verb's action.
func doctor(args []string, asJSON bool, c *console) error {
	if len(args) > 1 {
		return usageError("one DIR at most")
	}
	e := &examination{dir: "."}
	if len(args) == 1 {
		e.dir = args[0]
	}
	info, err := os.Stat(e.dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder: doctor makes a file in one", e.dir)
	}
	e.machine()
	e.folder()
	if asJSON {
		text, err := json.MarshalIndent(e.findings, "", "  ")
		if err == nil {
			err = c.write(string(text) + "\n")
		}
		return cmp.Or(err, e.verdict())
	}
	text := strings.Join(e.lines(c), "\n") + "\n"
	return cmp.Or(c.write(text), e.verdict())
}

// verdict is the error that names what hurts, or nil.
func (e *examination) verdict() error {
	var names []string
	for _, f := range e.findings {
		if f.Grade == hurts {
			names = append(names, f.Name)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("%s here will hurt: %s", count(len(names), "thing"), strings.Join(names, ", "))
}

// lines shows the findings.
func (e *examination) lines(c *console) (lines []string) {
	const nameColumn, valueColumn = 7, 22
	width := c.width()
	if width == 0 {
		width = helpWidth
	}
	width = min(width, 110)
	for _, f := range e.findings {
		colour := map[string]string{fine: green, note: yellow, hurts: red}[f.Grade]
		head := c.paint(colour, left(f.Grade, nameColumn)) + left(f.Name, valueColumn-nameColumn)
		for i, line := range wrap(oneLine(f.Value), width-valueColumn) {
			if i > 0 {
				head = strings.Repeat(" ", valueColumn)
			}
			lines = append(lines, head+line)
		}
		if f.Meaning != "" {
			for _, line := range wrap(f.Meaning, width-valueColumn) {
				lines = append(lines, strings.Repeat(" ", valueColumn)+c.paint(dim, line))
			}
		}
	}
	if e.verdict() == nil {
		lines = append(lines, "", "Nothing here will hurt.")
	}
	return lines
}

// machine looks at the system.
func (e *examination) machine() {
	system := strings.TrimSpace(runtime.GOOS + " " + kernel())
	e.add(fine, "system", fmt.Sprintf("%s, %s, %s, %s", system, runtime.GOARCH, runtime.Version(), count(runtime.NumCPU(), "CPU")), "")
	e.pages()
	e.kernelFeatures()
	e.limits()
}

// pages looks at the size of a page.
func (e *examination) pages() {
	grade, meaning := fine, ""
	if pageSize > 4*kiB {
		grade, meaning = note, "One byte read or written takes a whole page of memory; offsets of any value work all the same."
	}
	value := size(pageSize)
	if g := mmap.Granularity(); g != pageSize {
		value += fmt.Sprintf(", maps begin at multiples of %s", size(g))
	}
	e.add(grade, "page size", value, meaning)
}

// folder looks at the file system, with a file made for it.
func (e *examination) folder() {
	f, err := os.CreateTemp(e.dir, "mmap-doctor-")
	if err != nil {
		e.fileSystem(nil)
		e.add(note, "mapping", "not tried: "+err.Error(), "Files that are there can be read and mapped; doctor tries it with a file of its own only.")
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	e.fileSystem(f)
	e.mapping(f)
	e.fileFeatures(f)
}

// mapping maps the file, writes and flushes it.
func (e *examination) mapping(f *os.File) {
	r, err := mmap.Map(f, nil)
	if err != nil {
		e.add(hurts, "mapping", err.Error(), "")
		return
	}
	defer r.Close()
	const n = 64 * kiB
	if _, err := r.WriteAt(make([]byte, n), 0); err != nil {
		e.add(hurts, "writing", err.Error(), "")
		return
	}
	switch err := tryView(r, n); {
	case errors.Is(err, errors.ErrUnsupported):
		e.add(hurts, "mapping", err.Error(), "Files here are read and written by the descriptor alone, as os.File does it: the same results, no faster, and View and Bytes do not show the file itself.")
	case err != nil:
		e.add(hurts, "mapping", err.Error(), "")
	default:
		e.add(fine, "mapping", "a file of "+size(n)+" was mapped, changed and flushed", "Memory serves reads and writes; what was flushed is on the disk as far as the system's word goes.")
	}
}

// tryView stores to the file where it lies, flushes it, and reads it back.
func tryView(r *mmap.Region, n int64) error {
	err := r.View(0, n, func(b []byte) error { b[0]++; return nil })
	if err == nil {
		err = r.Flush()
	}
	if err != nil {
		return err
	}
	var one [1]byte
	if _, err := r.ReadAt(one[:], 0); err != nil {
		return err
	}
	if one[0] != 1 {
		return errors.New("a byte that was stored in memory is not in the file")
	}
	return nil
}
