package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// whoVerb is `mmap who`.
var whoVerb = verb{
	name:  "who",
	args:  "[flags] FILE|DIR...",
	short: "which processes have files open or mapped, and how much they use",
	long: `Who shows the processes that have a file open or mapped: how many descriptors of it (r, w: opened for reading, writing), how many bytes of addresses are mapped to it, and of those the bytes that the process has in memory (RSS), its fair share of them where several processes use the same pages (PSS), and the bytes it changed (DIRTY) and locked. They are sorted by RSS.
The figures are the kernel's own, from /proc/PID/smaps and /proc/PID/fd. Other users' processes can only be looked into by root; how many could not is said.`,
	flags: func(fs *flag.FlagSet) action {
		var o whoOptions
		fs.BoolVar(&o.recurse, "r", false, "look into folders inside folders")
		fs.BoolVar(&o.json, "json", false, "print JSON, sizes in bytes")
		return o.who
	},
}

// whoOptions are what the flags of who say.
type whoOptions struct{ recurse, json bool }

// use is what one process does with one file. Sizes are in bytes.
type use struct {
	PID     int    `json:"pid"`
	User    string `json:"user"`
	Command string `json:"command"`
	Open    int    `json:"open"` // descriptors
	Modes   string `json:"modes,omitempty"`
	Mapped  int64  `json:"mapped"`
	RSS     int64  `json:"rss"`
	PSS     int64  `json:"pss"`
	Dirty   int64  `json:"dirty"`
	Locked  int64  `json:"locked"`
}

// who names the process.
func (u *use) who() string { return fmt.Sprintf("process %d (%s)", u.PID, oneLine(u.Command)) }

// found is who uses which file.
type found struct {
	uses   map[string][]use // by the name of the file
	hidden int              // processes that could not be looked into
}

// who is the verb's action.
func (o *whoOptions) who(ctx context.Context, args []string, c *console) error {
	if len(args) == 0 {
		return usageError("give the name of a FILE or of a DIR")
	}
	if err := whoWorks(); err != nil {
		return err
	}
	var names []string
	err := newWalker(c, o.recurse).each(ctx, args, func(name string, _ fs.FileInfo) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		return err
	}
	f, err := whoUses(ctx, c, names)
	if err != nil {
		return err
	}
	if o.json {
		err = f.printJSON(c, names)
	} else {
		err = c.write(strings.Join(f.table(c, names), "\n") + "\n")
	}
	if err != nil {
		return err
	}
	return c.result()
}

// whoJSON is what -json prints of a file.
type whoJSON struct {
	Name string `json:"name"`
	Uses []use  `json:"uses"`
}

// printJSON prints who uses the files.
func (f *found) printJSON(c *console, names []string) error {
	out := struct {
		Files  []whoJSON `json:"files"`
		Hidden int       `json:"hidden_processes"`
	}{[]whoJSON{}, f.hidden}
	for _, name := range names {
		uses := f.uses[name]
		if uses == nil {
			uses = []use{}
		}
		out.Files = append(out.Files, whoJSON{name, uses})
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return c.write(string(text) + "\n")
}

// table returns the lines that say who uses the files.
func (f *found) table(c *console, names []string) (lines []string) {
	rows := [][]string{{"PROCESS", "PID", "USER", "OPEN", "MAPPED", "RSS", "PSS", "DIRTY", "LOCKED"}}
	heads := map[int]string{} // the file's name goes before the row of that number
	nobody := 0
	for _, name := range names {
		if len(f.uses[name]) == 0 {
			nobody++
			continue
		}
		heads[len(rows)] = name
		for _, u := range f.uses[name] {
			rows = append(rows, u.row())
		}
	}
	if len(rows) > 1 {
		for i, line := range align(rows, c.width(), 0) {
			if name, ok := heads[i]; ok && len(names) > 1 {
				lines = append(lines, c.paint(bold, oneLine(name)))
			}
			if i == 0 {
				line = c.paint(bold, line)
			}
			lines = append(lines, line)
		}
	}
	switch {
	case nobody > 0 && len(names) == 1:
		lines = append(lines, oneLine(names[0])+": no process has it open or mapped")
	case nobody > 0:
		lines = append(lines, count(nobody, "file")+": no process has it open or mapped")
	}
	if f.hidden > 0 {
		lines = append(lines, count(f.hidden, "process")+" could not be looked into: permission denied")
	}
	return lines
}

// row returns the cells of the table.
func (u *use) row() []string {
	open := "-"
	if u.Open > 0 {
		open = strconv.Itoa(u.Open) + " " + u.Modes
	}
	row := []string{oneLine(u.Command), strconv.Itoa(u.PID), u.User, open}
	for _, n := range []int64{u.Mapped, u.RSS, u.PSS, u.Dirty, u.Locked} {
		row = append(row, short(n))
	}
	return row
}
