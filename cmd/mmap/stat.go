package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// statVerb is `mmap stat`.
var statVerb = verb{
	name:  "stat",
	args:  "[flags] FILE|DIR...",
	short: "how much of each file is in the page cache, and where",
	long: `Stat shows for each file its size, how much of it is in the page cache ("resident"), how much of that is still to be written to the disk (dirty) or being written, and on a terminal a bar: each character stands for a part of the file, the darker the more of it is resident. Of a DIR it shows the files in it, with -r those below it too. A file with several names counts once.
Nothing is read and nothing is brought into the cache. Linux tells only those who own a file or may write it; what it does not tell is shown as "not told".
Examples:
  mmap stat -r -top 20 /var/lib       the files that fill the cache most
  mmap stat -watch 1s data.bin        what comes and goes
  mmap stat -list -r db >LIST         save it; later: mmap warm -from LIST`,
	flags: func(fs *flag.FlagSet) action {
		var o statOptions
		fs.BoolVar(&o.recurse, "r", false, "look into folders inside folders")
		fs.IntVar(&o.top, "top", 0, "show only the `N` files that have most in the cache; looks into all folders")
		fs.BoolVar(&o.json, "json", false, "print JSON, sizes in pages and bytes, null for what is not told")
		fs.BoolVar(&o.list, "list", false, "print which stretches of which file are resident, for mmap warm -from")
		fs.DurationVar(&o.watch, "watch", 0, "show it again every `TIME` (1s, 500ms), with what came and went, until interrupted")
		return o.stat
	},
}

// statOptions are what the flags of stat say.
type statOptions struct {
	recurse, json, list bool
	top                 int
	watch               time.Duration
}

// check finds what is wrong with the options.
func (o *statOptions) check(args []string) error {
	const least = 10 * time.Millisecond
	switch {
	case len(args) == 0:
		return usageError("give the name of a FILE or of a DIR")
	case o.top < 0:
		return usageError("-top must be 1 or more")
	case o.watch != 0 && o.watch < least:
		return usageError(fmt.Sprintf("-watch must be %v or more", least))
	case o.list && (o.json || o.top > 0 || o.watch > 0):
		return usageError("-list goes with no flag but -r")
	}
	return nil
}

// stat is the verb's action.
func (o *statOptions) stat(ctx context.Context, args []string, c *console) error {
	if err := o.check(args); err != nil {
		return err
	}
	switch {
	case o.list:
		return o.saveList(ctx, args, c)
	case o.watch > 0:
		return o.keepWatching(ctx, args, c)
	}
	s, err := o.look(ctx, args, c, barWidth(c.width()))
	if err != nil {
		return err
	}
	if err := s.print(c, o.json); err != nil {
		return err
	}
	return c.result()
}

// entry is what stat has to say of one file.
type entry struct {
	name string
	residency
	came, went int64 // pages since the look before, when watching
	marks      []int // for each cell, whether pages came (1) or went (-1) there
}

// survey is what stat found.
type survey struct {
	entries []entry // those to be shown
	all     entry   // the sums over all files, those not shown too
	files   int
	untold  int // of these, those of which nothing is told
	skipped int // folders that were not looked into
	watched bool
	said    fmt.Stringer // errors that are shown below the table; or nil
}

// look asks about all the files, and about so many equal parts of each.
func (o *statOptions) look(ctx context.Context, args []string, c *console, cells int) (*survey, error) {
	s := &survey{}
	s.said, _ = c.err.(fmt.Stringer)
	w := newWalker(c, o.recurse || o.top > 0)
	err := w.each(ctx, args, func(name string, info fs.FileInfo) error {
		if s.files++; s.files%64 == 0 {
			c.progress("%d files", s.files)
		}
		e, err := lookAt(name, info.Size(), cells)
		if err != nil {
			c.fail(err)
			s.files--
			return nil
		}
		s.add(e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if o.top > 0 {
		slices.SortStableFunc(s.entries, func(a, b entry) int { return cmp.Compare(b.resident, a.resident) })
		s.entries = s.entries[:min(o.top, len(s.entries))]
	}
	s.skipped = w.skipped
	if s.untold > 0 && s.untold == s.files {
		s.all.why = errors.New("of no file")
	}
	return s, nil
}

// lookAt asks about one file. Of an empty one nothing needs to be asked.
func lookAt(name string, size int64, cells int) (entry, error) {
	f, info, err := openRegular(name)
	switch {
	case errors.Is(err, os.ErrPermission) && size == 0:
		return entry{name: name}, nil
	case err != nil:
		return entry{}, err
	}
	defer f.Close()
	return entry{name: name, residency: inspect(f, info.Size(), cells)}, nil
}

// add adds a file to the survey.
func (s *survey) add(e entry) {
	s.entries = append(s.entries, e)
	s.all.size += e.size
	s.all.pages += e.pages
	if e.why != nil {
		s.untold++
		return
	}
	s.all.resident += e.resident
	s.all.dirty = sumTold(s.all.dirty, e.dirty)
	s.all.writeback = sumTold(s.all.writeback, e.writeback)
}

// sumTold adds what is told.
func sumTold(a, b int64) int64 {
	if a == notTold || b == notTold {
		return notTold
	}
	return a + b
}

// print writes the survey, as JSON or as a table.
func (s *survey) print(c *console, asJSON bool) error {
	if !asJSON {
		return c.write(strings.Join(s.table(c), "\n") + "\n")
	}
	text, err := json.Marshal(s.json())
	if err != nil {
		return err
	}
	return c.write(string(text) + "\n")
}

// statJSON is what -json prints of a file, and of all of them. Pointers are
// null where the system does not tell.
type statJSON struct {
	Name      string `json:"name,omitempty"`
	Files     int    `json:"files,omitempty"`
	Size      int64  `json:"size"`
	Pages     int64  `json:"pages"`
	Resident  *int64 `json:"resident_pages"`
	Bytes     *int64 `json:"resident_bytes"`
	Dirty     *int64 `json:"dirty_pages"`
	Writeback *int64 `json:"writeback_pages"`
	Came      *int64 `json:"came_pages,omitempty"`
	Went      *int64 `json:"went_pages,omitempty"`
	NotTold   string `json:"not_told,omitempty"`
	Untold    int    `json:"files_not_told,omitempty"`
}

// surveyJSON is what -json prints.
type surveyJSON struct {
	PageSize int64      `json:"page_size"`
	Files    []statJSON `json:"files"`
	Total    statJSON   `json:"total"`
}

// json returns the survey for -json.
func (s *survey) json() surveyJSON {
	out := surveyJSON{PageSize: pageSize, Files: []statJSON{}, Total: s.all.json(s.watched)}
	out.Total.Files, out.Total.Untold = s.files, s.untold
	for i := range s.entries {
		out.Files = append(out.Files, s.entries[i].json(s.watched))
	}
	return out
}

// json returns what -json prints of the file.
func (e *entry) json(watched bool) statJSON {
	told := func(n int64) *int64 {
		if n == notTold || e.why != nil {
			return nil
		}
		return &n
	}
	out := statJSON{Name: e.name, Size: e.size, Pages: e.pages, Resident: told(e.resident), Bytes: told(e.bytes()),
		Dirty: told(e.dirty), Writeback: told(e.writeback)}
	if watched {
		out.Came, out.Went = told(e.came), told(e.went)
	}
	if e.why != nil {
		out.NotTold = e.why.Error()
	}
	return out
}

// bytes returns how many bytes of memory the file's pages in the cache take.
func (e *residency) bytes() int64 { return e.resident * pageSize }

// barWidth returns how many columns of a terminal the bar gets: none where
// there is no terminal.
func barWidth(width int) int {
	if width == 0 {
		return 0
	}
	return max(10, min(width/5, 60))
}

// table returns the lines of the survey.
func (s *survey) table(c *console) []string {
	width := c.width()
	bar := barWidth(width)
	if s.watched && width < 100 {
		bar = min(bar, 10) // two columns more
	}
	head := []string{"FILE", "SIZE", "RESIDENT", "%", "DIRTY", "WRITING"}
	if s.watched {
		head = append(head, "CAME", "WENT")
	}
	rows := [][]string{head}
	for i := range s.entries {
		rows = append(rows, s.entries[i].row(s.watched))
	}
	if s.files != 1 {
		s.all.name = count(s.files, "file")
		rows = append(rows, s.all.row(s.watched))
	}
	lines := align(rows, width, bar)
	if bar > 0 {
		lines[0] += "  CACHE"
		for i := range s.entries {
			lines[i+1] += "  " + s.entries[i].bar(c, bar)
		}
	}
	lines[0] = c.paint(bold, lines[0])
	return append(lines, s.notes(width)...)
}

// row returns the file's cells of the table.
func (e *entry) row(watched bool) []string {
	row := []string{oneLine(e.name), short(e.size), "not told", "-", "-", "-"}
	if e.why == nil {
		row = []string{row[0], row[1], short(e.bytes()), percent(e.resident, e.pages), pagesCell(e.dirty), pagesCell(e.writeback)}
	}
	if watched {
		row = append(row, signed("+", e.came), signed("-", e.went))
	}
	return row
}

// pagesCell shows a number of pages in bytes.
func pagesCell(n int64) string {
	if n == notTold {
		return "-"
	}
	return short(n * pageSize)
}

// signed shows a number of pages that came or went.
func signed(sign string, n int64) string {
	if n == 0 {
		return "."
	}
	return sign + short(n*pageSize)
}

// align lays rows out in columns: the first to the left, the others to the
// right. On a terminal of width columns, of which rest are kept free at the
// end, the first column is shortened until all fits.
func align(rows [][]string, width, rest int) (lines []string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	if width > 0 {
		used := 0
		for _, w := range widths[1:] {
			used += w + 2
		}
		if rest > 0 {
			used += rest + 2
		}
		widths[0] = max(min(widths[0], width-used), 8)
	}
	for _, row := range rows {
		line := row[0]
		if width > 0 {
			line = clipName(line, widths[0])
		}
		line = left(line, widths[0])
		for i, cell := range row[1:] {
			line += "  " + right(cell, widths[i+1])
		}
		lines = append(lines, line)
	}
	return lines
}

// The characters of a bar, from none of a part in the cache to all of it.
var (
	blockShades = []string{"·", "░", "▒", "▓", "█"}
	asciiShades = []string{".", "-", "+", "*", "#"}
)

// bar draws which parts of the file are in the cache.
func (e *entry) bar(c *console, width int) string {
	if e.why != nil || len(e.cells) == 0 {
		return ""
	}
	shades := blockShades
	if c.ascii {
		shades = asciiShades
	}
	var b strings.Builder
	for i := range width {
		cell, mark := e.part(i, width)
		shade := shades[shadeOf(cell)]
		switch {
		case mark > 0:
			shade = c.paint(green, shade)
		case mark < 0:
			shade = c.paint(red, shade)
		}
		b.WriteString(shade)
	}
	return b.String()
}

// part adds up what one of width characters of the bar stands for.
func (e *entry) part(i, width int) (cell tally, mark int) {
	n := len(e.cells)
	from := i * n / width
	for at := from; at < max((i+1)*n/width, from+1); at++ {
		cell.Pages += e.cells[at].Pages
		cell.Resident += e.cells[at].Resident
		if e.marks != nil {
			mark += e.marks[at]
		}
	}
	return cell, mark
}

// shadeOf returns which of the five shades a part has. The first is for none
// and the last for all.
func shadeOf(cell tally) int {
	switch {
	case cell.Resident <= 0:
		return 0
	case cell.Resident >= cell.Pages:
		return 4
	}
	return 1 + int(min(cell.Resident*3/cell.Pages, 2))
}

// notes returns what has to be said below the table, wrapped.
func (s *survey) notes(width int) (lines []string) {
	if s.said != nil {
		lines = strings.Split(strings.TrimSpace(s.said.String()), "\n")
	}
	var untold, partly reasons
	for i := range s.entries {
		e := &s.entries[i]
		switch {
		case e.why != nil:
			untold.add(e.name, e.why)
		case e.dirty == notTold:
			partly.add(e.name, dirtyReason())
		}
	}
	texts := append(untold.lines("not told"), partly.lines("dirty and writing not told")...)
	if s.untold > 0 && s.untold < s.files {
		texts = append(texts, "The total of RESIDENT is of "+count(s.files-s.untold, "file")+".")
	}
	if s.skipped > 0 {
		texts = append(texts, count(s.skipped, "folder")+" not looked into: -r does.")
	}
	for _, text := range texts {
		if width == 0 {
			lines = append(lines, text)
			continue
		}
		lines = append(lines, wrap(text, width)...)
	}
	return lines
}

// dirtyReason returns why dirty pages are not counted where the resident ones
// are.
func dirtyReason() error {
	if cachestatWorks() {
		return errors.New("the file system keeps the pages elsewhere")
	}
	return errors.New(noCachestat())
}
