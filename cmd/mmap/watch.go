package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// watchCells is in how many parts a file is looked at where no bar is drawn.
const watchCells = 64

// The orders to a terminal for a screen of its own, without a cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
)

// keepWatching looks at the files again and again until it is interrupted. On
// a terminal it draws each time over what was there, and leaves the last table
// behind.
func (o *statOptions) keepWatching(ctx context.Context, args []string, c *console) error {
	cells := max(barWidth(c.width()), watchCells)
	s, err := o.look(ctx, args, c, cells)
	if err != nil {
		return err
	}
	if c.clear(); s.files == 0 && c.failed {
		return errSaid
	}
	show := o.showNext
	if c.terminal() && !o.json {
		show = o.draw
		fmt.Fprint(c.out, enterScreen)
		defer func() { fmt.Fprint(c.out, leaveScreen, strings.Join(s.table(c), "\n"), "\n") }()
	}
	tick := time.NewTicker(o.watch)
	defer tick.Stop()
	for before := map[string]*entry{}; ; {
		s.compare(before)
		if err := show(s, c); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errStopped
		case <-tick.C:
		}
		next, err := o.look(ctx, args, s.quiet(c), cells)
		if ctx.Err() != nil {
			return errStopped
		}
		if err != nil {
			return err
		}
		s = next
	}
}

// quiet returns a console for the next look: on a terminal the errors are kept
// for a place below the table.
func (s *survey) quiet(c *console) *console {
	q := *c
	if q.terminal() {
		q.err, q.errSize = &strings.Builder{}, nil
	}
	return &q
}

// showNext prints a look below the one before.
func (o *statOptions) showNext(s *survey, c *console) error {
	if o.json {
		return s.print(c, true)
	}
	return c.write(time.Now().Format(time.TimeOnly) + "\n" + strings.Join(s.table(c), "\n") + "\n\n")
}

// compare works out what came and went since the look before, and keeps this
// look for the next.
func (s *survey) compare(before map[string]*entry) {
	s.watched = true
	seen := map[string]bool{}
	for i := range s.entries {
		e := &s.entries[i]
		seen[e.name] = true
		if old := before[e.name]; old != nil && old.why == nil && e.why == nil {
			e.compare(old)
		}
		s.all.came += e.came
		s.all.went += e.went
		kept := *e
		before[e.name] = &kept
	}
	for name, old := range before {
		if !seen[name] { // removed, or no longer among the first
			s.all.went += old.resident
			delete(before, name)
		}
	}
}

// compare works out what came and went since old. Where the file is divided
// otherwise, or its size is another, only the sums are compared.
func (e *entry) compare(old *entry) {
	if len(e.cells) != len(old.cells) || len(e.cells) == 0 || e.pages != old.pages {
		e.came, e.went = max(e.resident-old.resident, 0), max(old.resident-e.resident, 0)
		return
	}
	e.marks = make([]int, len(e.cells))
	for i, cell := range e.cells {
		more := cell.Resident - old.cells[i].Resident
		e.marks[i] = cmp.Compare(more, 0)
		e.came += max(more, 0)
		e.went += max(-more, 0)
	}
}

// draw fills the terminal: as many files as it has lines for, the fullest when
// there are more.
func (o *statOptions) draw(s *survey, c *console) error {
	width, height := c.outSize()
	shown := *s
	room := max(height-4-len(shown.notes(width)), 1)
	if len(shown.entries) > room {
		shown.entries = slices.Clone(shown.entries)
		slices.SortStableFunc(shown.entries, func(a, b entry) int { return cmp.Compare(b.resident, a.resident) })
		shown.entries = shown.entries[:room]
	}
	head := fmt.Sprintf("every %v, %s; %d of %s; interrupt to stop", o.watch, time.Now().Format(time.TimeOnly), len(shown.entries), count(s.files, "file"))
	lines := append([]string{c.paint(dim, clip(head, width))}, shown.table(c)...)
	lines = lines[:min(len(lines), height)]
	_, err := fmt.Fprint(c.out, "\x1b[H"+strings.Join(lines, "\x1b[K\n")+"\x1b[K\x1b[J")
	return err
}
