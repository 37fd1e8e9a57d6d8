package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/seed-93fed273/mmap"
)

// pageSize is the size of a page of memory.
var pageSize = mmap.PageSize()

// pagesOf returns how many pages size bytes take.
func pagesOf(size int64) int64 {
	n := size / pageSize
	if size%pageSize > 0 {
		n++
	}
	return n
}

// notTold is the count that the system does not tell.
const notTold = -1

// tally counts the pages of a stretch and those in the cache.
type tally struct{ Pages, Resident int64 }

// residency is what the system tells about the pages of a file.
type residency struct {
	size      int64   // bytes of the file
	pages     int64   // of the file
	resident  int64   // of these, in the cache
	dirty     int64   // of these, still to be written; or notTold
	writeback int64   // of these, being written; or notTold
	cells     []tally // the file in equal parts, where they were asked for
	why       error   // why even resident is not told; nil when it is
}

// errNotOwner is why Linux does not tell everybody.
var errNotOwner = errors.New("the kernel tells only who owns the file or may write it")

// errFiltered is why it does not tell in a sandbox.
var errFiltered = errors.New("permission denied: by a seccomp filter, or because the file is another's")

// errOwnMemory is why Windows does not tell: of a map it says what this process
// has in memory, which is nothing of a file that it has just mapped.
var errOwnMemory = errors.New("the system tells only what a process itself uses (windows)")

// inspect asks how much of f, which has size bytes, is in the cache. With cells
// above 0 it also asks for each of so many equal parts, or for each page where
// there are fewer.
func inspect(f *os.File, size int64, cells int) residency {
	r := residency{size: size, pages: pagesOf(size)}
	if r.pages == 0 {
		return r
	}
	cells = int(min(int64(cells), r.pages))
	if r.askCache(f, cells) {
		return r
	}
	r.askMap(f, cells)
	return r
}

// askCache asks cachestat(2) and reports whether that was the answer.
func (r *residency) askCache(f *os.File, cells int) bool {
	all, err := cachestat(f, 0, r.pages*pageSize)
	switch {
	case errors.Is(err, os.ErrPermission):
		r.why = errNotOwner
		return true
	case err != nil:
		r.dirty, r.writeback = notTold, notTold
		return false
	case all.resident == 0 && !trusted(f):
		r.dirty, r.writeback = notTold, notTold
		return false
	}
	r.resident, r.dirty, r.writeback = min(all.resident, r.pages), all.dirty, all.writeback
	for i := range cells {
		cell := r.cell(i, cells)
		switch r.resident {
		case 0:
		case r.pages:
			cell.Resident = cell.Pages
		default:
			from, _ := cellRange(i, cells, r.pages)
			part, err := cachestat(f, from*pageSize, cell.Pages*pageSize)
			if err != nil {
				r.cells = nil
				return true
			}
			cell.Resident = min(part.resident, cell.Pages)
		}
		r.cells = append(r.cells, cell)
	}
	return true
}

// askMap maps the file and asks mincore(2) or its like.
func (r *residency) askMap(f *os.File, cells int) {
	for i := range cells {
		r.cells = append(r.cells, r.cell(i, cells))
	}
	r.why = eachExtent(f, r.size, func(part extent) {
		if !part.resident {
			return
		}
		r.resident += part.n
		for at, end := part.first, part.first+part.n; cells > 0 && at < end; {
			i := cellOf(at, cells, r.pages)
			_, to := cellRange(i, cells, r.pages)
			r.cells[i].Resident += min(to, end) - at
			at = to
		}
	})
	if r.why != nil {
		r.resident, r.cells = 0, nil
	} else if r.resident == 0 && r.dirty == notTold && cachestatWorks() {
		r.dirty, r.writeback = 0, 0 // what is not there is not dirty
	}
}

// cell returns an empty cell of the file.
func (r *residency) cell(i, cells int) tally {
	from, to := cellRange(i, cells, r.pages)
	return tally{Pages: to - from}
}

// cellRange returns the pages from..to-1 that cell i of so many covers.
func cellRange(i, cells int, pages int64) (from, to int64) {
	n := int64(cells)
	whole, rest := pages/n, pages%n // the first rest cells have one page more
	at := func(i int64) int64 { return i*whole + min(i, rest) }
	return at(int64(i)), at(int64(i) + 1)
}

// cellOf returns the cell that covers a page.
func cellOf(page int64, cells int, pages int64) int {
	n := int64(cells)
	whole, rest := pages/n, pages%n
	if long := rest * (whole + 1); page >= long {
		return int(rest + (page-long)/whole)
	}
	return int(page / (whole + 1))
}

// window is how many bytes of a file are mapped and asked about at once.
const window = 256 * miB

// extent is a number of pages of a file of which all are in the cache, or none.
type extent struct {
	first, n int64
	resident bool
}

// eachExtent calls fn for the extents of a file's pages in their order; two that
// follow one another may be of the same kind. A file that became shorter
// meanwhile has nothing there. The file is mapped only where it is partly in the
// cache, or where nothing else tells.
func eachExtent(f *os.File, size int64, fn func(extent)) error {
	if runtime.GOOS == "windows" {
		return errOwnMemory
	}
	var r *mmap.Region
	defer func() {
		if r != nil {
			r.Close()
		}
	}()
	good, pages, step := trusted(f), pagesOf(size), window/pageSize
	for at, n := int64(0), int64(0); at < pages; at += n {
		n = min(step, pages-at)
		if all, ok := allOrNone(f, at, n, good); ok {
			fn(extent{at, n, all})
			step *= 2 // large holes in few steps
			continue
		}
		step = window / pageSize
		n = min(step, pages-at)
		var err error
		if r == nil {
			if r, err = mmap.Map(f, &mmap.Options{Prot: mmap.ProtRead}); err != nil {
				return mapReason(err)
			}
		}
		var in []bool
		if bytes := min(n*pageSize, r.Size()-at*pageSize); bytes > 0 {
			in, err = r.Resident(at*pageSize, bytes)
		}
		if err != nil {
			return mapReason(err)
		}
		eachAlike(at, in, fn)
	}
	return nil
}

// eachAlike calls fn for the extents of pages from first on.
func eachAlike(first int64, in []bool, fn func(extent)) {
	for from := 0; from < len(in); {
		to := from + 1
		for to < len(in) && in[to] == in[from] {
			to++
		}
		fn(extent{first + int64(from), int64(to - from), in[from]})
		from = to
	}
}

// allOrNone reports whether cachestat(2) counts all n pages from first on or
// none of them and is to be believed, and which it is.
func allOrNone(f *os.File, first, n int64, good bool) (all, ok bool) {
	st, err := cachestat(f, first*pageSize, n*pageSize)
	return st.resident > 0, err == nil && good && (st.resident == 0 || st.resident >= n)
}

// mapReason says why a map did not tell what is in the cache.
func mapReason(err error) error {
	var path *os.PathError
	switch {
	case runtime.GOOS == "linux" && errors.Is(err, os.ErrPermission) && !cachestatWorks():
		return errFiltered
	case runtime.GOOS == "linux" && errors.Is(err, os.ErrPermission):
		return errNotOwner
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("the system does not tell (%s)", runtime.GOOS)
	case errors.As(err, &path):
		return fmt.Errorf("%s: %w", path.Op, path.Err)
	}
	return err
}

// span is a range of a file's bytes.
type span struct{ off, n int64 }

// stretches returns the ranges of the file that are in the cache, or those that
// are not, each as long as can be.
func stretches(f *os.File, size int64, resident bool) (spans []span, err error) {
	err = eachExtent(f, size, func(part extent) {
		if part.resident != resident {
			return
		}
		off, n := part.first*pageSize, part.n*pageSize
		n = min(n, size-off)
		if last := len(spans) - 1; last >= 0 && spans[last].off+spans[last].n == off {
			spans[last].n += n
		} else {
			spans = append(spans, span{off, n})
		}
	})
	return spans, err
}

// within cuts the spans to what lies in the ranges; without ranges all of it
// does. Both are in order.
func within(spans, ranges []span) (out []span) {
	if ranges == nil {
		return spans
	}
	for _, r := range ranges {
		for _, s := range spans {
			from, to := max(s.off, r.off), min(s.off+s.n, r.off+r.n)
			if from < to {
				out = append(out, span{from, to - from})
			}
		}
	}
	return out
}

// total adds up the bytes of spans.
func total(spans []span) (n int64) {
	for _, s := range spans {
		n += s.n
	}
	return n
}

// reasons collects why things are not told, and how often each.
type reasons struct {
	order []string
	names map[string][]string
}

// add notes a reason.
func (r *reasons) add(name string, why error) {
	if r.names == nil {
		r.names = map[string][]string{}
	}
	text := why.Error()
	if r.names[text] == nil {
		r.order = append(r.order, text)
	}
	r.names[text] = append(r.names[text], name)
}

// lines says each reason in one line.
func (r *reasons) lines(what string) (lines []string) {
	for _, text := range r.order {
		names := r.names[text]
		of := oneLine(names[0])
		if len(names) > 1 {
			of = count(len(names), "file")
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s: %s", what, of, text)))
	}
	return lines
}
