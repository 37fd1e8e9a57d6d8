// Sort sorts the lines of a file of any size within a limit of memory.
//
// It sorts runs, pieces of the file that fit, where they lie in memory; writes
// them to a temporary file; and merges them. Mapped pages count as memory of the
// process as long as they are mapped, so each is given back when it has been
// used.
package main

import (
	"bufio"
	"bytes"
	"container/heap"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-93fed273/mmap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// The limits of the limit: a run is indexed by uint32.
const (
	minMemory = 64 << 10
	maxMemory = 4 << 30
)

// run is the whole program, and returns its exit code.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("sort", flag.ContinueOnError)
	flags.SetOutput(stderr)
	memory := flags.Int64("m", 64<<20, "bytes of memory to use, beside the program itself")
	verbose := flags.Bool("v", false, "say how many runs there were, and the peak of resident memory")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 2 || *memory < minMemory || *memory > maxMemory {
		fmt.Fprintf(stderr, "usage: sort [-v] [-m BYTES] IN OUT   (BYTES from %d to %d)\n", minMemory, int64(maxMemory))
		return 2
	}
	runs, err := sortFile(ctx, flags.Arg(0), flags.Arg(1), *memory)
	switch {
	case errors.Is(err, context.Canceled):
		return 130
	case err != nil:
		fmt.Fprintln(stderr, "sort:", err)
		return 1
	}
	if *verbose {
		fmt.Fprintf(stderr, "%d runs, peak of resident memory: %s\n", runs, peak())
	}
	return 0
}

// peak returns the most memory that this process ever had, if the system tells.
func peak() string {
	b, _ := os.ReadFile("/proc/self/status") // Linux
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(text)
		}
	}
	return "not told"
}

// sortFile sorts in to out, which may be one file, and returns the number of
// runs. Out appears whole or not at all.
func sortFile(ctx context.Context, in, out string, memory int64) (runs int, err error) {
	temp, err := mmap.CreateTemp(filepath.Dir(out), filepath.Base(out)+".runs.*")
	if err != nil {
		return 0, err
	}
	defer func() {
		temp.Close()
		os.Remove(temp.Name())
	}()
	spans, err := makeRuns(ctx, in, temp, memory)
	if err != nil {
		return 0, err
	}
	return len(spans), writeWhole(out, func(w io.Writer) error { return merge(ctx, w, temp, spans, memory) })
}

// writeWhole makes the file name of what fn writes, or leaves it as it is.
func writeWhole(name string, fn func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	err = fn(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// line is where a line lies in a run, without its newline.
type line struct{ from, to uint32 }

// makeRuns writes sorted runs of the lines of the file in to temp, and returns
// where each lies. Half of the memory is for the lines, half for their index.
func makeRuns(ctx context.Context, in string, temp *mmap.Region, memory int64) (runs []mmap.Span, err error) {
	r, err := mmap.Open(in)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.Mapped(); err != nil { // a pipe, a file of /proc: no size to go by
		return nil, err
	}
	w := bufio.NewWriter(temp)
	index := make([]line, 0, memory/2/8)
	for off, at := int64(0), int64(0); off < r.Size(); {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		n := min(memory/2, r.Size()-off)
		readIn(r, off, n)
		var used, written int64
		err := r.View(off, n, func(b []byte) (err error) {
			index, used = split(b, index[:0], off+n == r.Size())
			if used == 0 {
				return fmt.Errorf("%s: the line at byte %d needs more memory than %d bytes", in, off, memory)
			}
			slices.SortFunc(index, func(x, y line) int { return bytes.Compare(b[x.from:x.to], b[y.from:y.to]) })
			written, err = writeLines(w, b, index)
			return err
		})
		if err != nil {
			return nil, err
		}
		giveBack(r, off, used)
		runs = append(runs, mmap.Span{Off: at, Len: written})
		off, at = off+used, at+written
	}
	return runs, w.Flush()
}

// readIn brings bytes into memory in one call. A hint: where it fails, or is not
// known, the pages come in as they are touched.
func readIn(r *mmap.Region, off, n int64) {
	if mmap.AdvicePopulateRead.Supported() && r.Advise(off, n, mmap.AdvicePopulateRead) == nil {
		return
	}
	_ = r.Prefetch(mmap.Span{Off: off, Len: n})
}

// giveBack takes pages that have been used out of the process: they stay in the
// page cache as long as nobody else needs the memory. A hint as well.
func giveBack(r *mmap.Region, off, n int64) {
	first := mmap.AlignDown(off) // its page was left when the bytes before were given back
	_ = r.Advise(first, off+n-first, mmap.AdviceDontNeed)
}

// split returns the lines of b, as many as index has room for, and how many
// bytes they are. What follows the last newline is a line at the end of the file
// alone.
func split(b []byte, index []line, atEnd bool) (_ []line, used int64) {
	for len(index) < cap(index) && used < int64(len(b)) {
		n := int64(bytes.IndexByte(b[used:], '\n'))
		switch {
		case n >= 0:
			index = append(index, line{uint32(used), uint32(used + n)})
			used += n + 1
		case atEnd:
			index = append(index, line{uint32(used), uint32(len(b))})
			used = int64(len(b))
		default:
			return index, used
		}
	}
	return index, used
}

// writeLines writes the lines of b in the order of the index, each with a
// newline, and returns how many bytes that is.
func writeLines(w *bufio.Writer, b []byte, index []line) (n int64, err error) {
	for _, l := range index {
		if _, err := w.Write(b[l.from:l.to]); err != nil {
			return n, err
		}
		if err := w.WriteByte('\n'); err != nil {
			return n, err
		}
		n += int64(l.to-l.from) + 1
	}
	return n, nil
}

// source is a run that is being merged.
type source struct {
	in   *bufio.Reader
	line []byte // the next line, with its newline
}

// next reads the next line, or returns io.EOF.
func (s *source) next() error {
	s.line = s.line[:0]
	for {
		part, err := s.in.ReadSlice('\n')
		s.line = append(s.line, part...)
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

// reader reads a span of a Region once, and gives back what was read.
type reader struct {
	r    *mmap.Region
	span mmap.Span
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.span.Len == 0 {
		return 0, io.EOF
	}
	n, err := r.r.ReadAt(p[:min(int64(len(p)), r.span.Len)], r.span.Off)
	giveBack(r.r, r.span.Off, int64(n))
	r.span.Off += int64(n)
	r.span.Len -= int64(n)
	if err == io.EOF && r.span.Len > 0 {
		err = io.ErrUnexpectedEOF // somebody cut the temporary file
	}
	return n, err
}

// sources is a heap: the run with the smallest line is first.
type sources []*source

func (s sources) Len() int           { return len(s) }
func (s sources) Less(i, j int) bool { return bytes.Compare(s[i].line, s[j].line) < 0 }
func (s sources) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sources) Push(x any)        { *s = append(*s, x.(*source)) }
func (s *sources) Pop() (x any) {
	last := len(*s) - 1
	x, *s = (*s)[last], (*s)[:last]
	return x
}

// merge writes the lines of all runs to w in order.
func merge(ctx context.Context, w io.Writer, temp *mmap.Region, runs []mmap.Span, memory int64) error {
	size := memory / 2 / int64(max(1, len(runs)))
	if size < 512 {
		return fmt.Errorf("%d runs are too many to merge in %d bytes of memory: give more with -m", len(runs), memory)
	}
	var all sources
	for _, span := range runs {
		s := &source{in: bufio.NewReaderSize(&reader{temp, span}, int(size))}
		if err := s.next(); err != nil {
			return err // a run has a line
		}
		all = append(all, s)
	}
	heap.Init(&all)
	out := bufio.NewWriter(w)
	for n := 0; len(all) > 0; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := out.Write(all[0].line); err != nil {
			return err
		}
		switch err := all[0].next(); err {
		case nil:
			heap.Fix(&all, 0)
		case io.EOF:
			heap.Pop(&all)
		default:
			return err
		}
	}
	return out.Flush()
}
