package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// warmVerb is `mmap warm`.
var warmVerb = verb{
	name:  "warm",
	args:  "[flags] FILE|DIR... | -from LIST",
	short: "read into the cache what is missing of files",
	long: `Warm reads what is not yet in the page cache, and nothing else, and says in the end whether it is still there. It refuses to read more than memory has room for. With -from it brings back what a list made by mmap stat -list holds: a cache that survives a restart.
Examples:
  mmap warm -rate 200M -r /var/lib/db     at most 200 MiB a second
  mmap warm -range 0-64M -range 1G- big   two parts of a file
  mmap warm -from LIST                    what was in the cache then`,
	flags: func(fs *flag.FlagSet) action {
		var o warmOptions
		fs.BoolVar(&o.recurse, "r", false, "look into folders inside folders")
		fs.Func("rate", "read `SIZE` bytes a second at most (100M, 1G)", o.setRate)
		fs.Var(&o.ranges, "range", rangeUsage)
		fs.StringVar(&o.from, "from", "", "bring back what the list in the file `LIST` holds; - is standard input")
		return o.warm
	},
}

// warmOptions are what the flags of warm say.
type warmOptions struct {
	recurse bool
	rate    int64 // bytes a second; 0: no limit
	ranges  ranges
	from    string
}

// setRate is the flag -rate.
func (o *warmOptions) setRate(text string) (err error) {
	if o.rate, err = parseSize(text); err == nil && o.rate == 0 {
		err = errors.New("nothing would ever be read")
	}
	return err
}

// check finds what is wrong with the options.
func (o *warmOptions) check(args []string) error {
	switch {
	case o.from == "" && len(args) == 0:
		return usageError("give the name of a FILE or of a DIR, or -from LIST")
	case o.from != "" && (len(args) > 0 || o.ranges != nil || o.recurse):
		return usageError("-from says which files and which parts of them: no FILE, -range or -r beside it")
	}
	return nil
}

// rangeUsage describes -range.
const rangeUsage = "only the part `FROM-TO` of each file (0-64M, 1G-); may be given several times"

// ranges is the flag -range: parts of each file, in order and apart. Nil is
// all of it.
type ranges []span

// String shows nothing: the flag has no default.
func (r *ranges) String() string { return "" }

// Set adds a range.
func (r *ranges) Set(text string) error {
	first, second, ok := strings.Cut(text, "-")
	from, err := parseSize(first)
	to := int64(1<<63 - 1)
	if err == nil && second != "" {
		to, err = parseSize(second)
	}
	switch {
	case !ok:
		return errors.New("give FROM-TO, or FROM- for the rest")
	case err != nil:
		return err
	case from >= to:
		return errors.New("it ends before it begins")
	}
	*r = append(*r, span{from, to - from})
	slices.SortFunc(*r, func(a, b span) int { return cmp.Compare(a.off, b.off) })
	*r = slices.Clip(joined(*r))
	return nil
}

// joined joins spans that overlap; they are in order.
func joined(spans []span) (out []span) {
	for _, s := range spans {
		if last := len(out) - 1; last >= 0 && s.off <= out[last].off+out[last].n {
			out[last].n = max(out[last].n, s.off+s.n-out[last].off)
			continue
		}
		out = append(out, s)
	}
	return out
}

// of returns the parts that are inside a file.
func (r ranges) of(size int64) []span {
	return within([]span{{0, size}}, r)
}

// warm is the verb's action.
func (o *warmOptions) warm(ctx context.Context, args []string, c *console) error {
	if err := o.check(args); err != nil {
		return err
	}
	w := &warmer{ctx: ctx, c: c, rate: o.rate}
	if err := o.plan(args, w); err != nil {
		return err
	}
	if free := availableMemory(); w.need > free {
		return fmt.Errorf("%s would be read, and only %s of memory are available: the last would drive out the first", size(w.need), size(free))
	}
	w.readAll()
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err := w.report(); err != nil {
		return err
	}
	return c.result()
}

// plan finds out what is to be read.
func (o *warmOptions) plan(args []string, w *warmer) error {
	if o.from == "" {
		return newWalker(w.c, o.recurse).each(w.ctx, args, func(name string, info fs.FileInfo) error {
			return w.add(name, o.ranges)
		})
	}
	files, err := readList(o.from)
	if err != nil {
		return err
	}
	for _, l := range files {
		if err := w.add(l.name, joined(l.spans)); err != nil {
			return err
		}
	}
	return nil
}

// warmer reads files into the cache.
type warmer struct {
	ctx   context.Context
	c     *console
	rate  int64 // bytes a second; 0: no limit
	began time.Time

	jobs   []*job
	wanted int64 // bytes that were asked for
	need   int64 // of these, bytes to be read
	blind  int   // files of which nothing tells what is missing
	read   int64 // bytes handed out to be read so far
}

// job is what is to be done with one file.
type job struct {
	name    string
	wanted  []span // what was asked for
	missing []span // what is not in the cache
	blind   bool   // nothing tells what is missing

	mu  sync.Mutex
	err error // the first error of reading it
}

// failed notes an error of reading the file. A file that became shorter
// meanwhile has nothing there, which is none.
func (j *job) failed(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil && err != io.EOF && j.err == nil {
		j.err = err
	}
}

// add plans what to do with the parts of a file: nil is all of it.
func (w *warmer) add(name string, parts ranges) error {
	j := &job{name: name}
	if err := j.plan(parts); err != nil {
		w.c.fail(err)
		return w.ctx.Err()
	}
	if j.blind {
		w.blind++
	}
	w.wanted += total(j.wanted)
	w.need += total(j.missing)
	w.jobs = append(w.jobs, j)
	w.c.progress("%d files, %s to read", len(w.jobs), size(w.need))
	return w.ctx.Err()
}

// plan finds out what is missing. Where nothing tells, all is taken to be.
func (j *job) plan(parts ranges) error {
	f, info, err := openRegular(j.name)
	if err != nil {
		return err
	}
	defer f.Close()
	j.wanted = parts.of(info.Size())
	if total(j.wanted) == 0 || inMemory(f) != "" {
		return nil
	}
	missing, err := stretches(f, info.Size(), false)
	if err != nil {
		j.blind, missing = true, []span{{0, info.Size()}}
	}
	j.missing = within(missing, j.wanted)
	return nil
}

const (
	// pieceSize is how much is read at once.
	pieceSize = miB
	// readers is how many pieces are read at the same time, which fast disks
	// need to be fast.
	readers = 8
)

// piece is a part of a file that is to be read.
type piece struct {
	span
	f    *os.File
	job  *job
	done *sync.WaitGroup // all pieces of the file
}

// readAll reads what is missing of all files, several pieces at a time, and
// says what could not be read.
func (w *warmer) readAll() {
	w.began = time.Now()
	pieces := make(chan piece)
	var all sync.WaitGroup
	for range readers {
		all.Go(func() { read(pieces) })
	}
	for _, j := range w.jobs {
		if len(j.missing) > 0 && w.ctx.Err() == nil {
			j.failed(w.hand(j, pieces))
		}
	}
	close(pieces)
	all.Wait()
	for _, j := range w.jobs {
		if j.err != nil {
			w.c.fail(j.err)
		}
	}
}

// read reads pieces until there are no more.
func read(pieces <-chan piece) {
	b := make([]byte, pieceSize)
	for p := range pieces {
		_, err := p.f.ReadAt(b[:p.n], p.off)
		p.job.failed(err)
		p.done.Done()
	}
}

// hand hands out the pieces of a file, no faster than the rate allows. The file
// is closed when all are read.
func (w *warmer) hand(j *job, pieces chan<- piece) error {
	f, _, err := openRegular(j.name)
	if err != nil {
		return err
	}
	exactly(f)
	var done sync.WaitGroup
	defer func() {
		go func() {
			done.Wait()
			f.Close()
		}()
	}()
	most := int64(pieceSize)
	if w.rate > 0 {
		most = max(min(most, w.rate/20/pageSize*pageSize), pageSize)
	}
	for _, s := range j.missing {
		for s.n > 0 {
			p := piece{span{s.off, min(s.n, most)}, f, j, &done}
			if !w.pause(p.n) {
				return nil
			}
			done.Add(1)
			pieces <- p
			s.off, s.n = s.off+p.n, s.n-p.n
		}
	}
	return nil
}

// pause waits until n more bytes are allowed, and reports whether to go on.
func (w *warmer) pause(n int64) bool {
	done := w.read
	w.read += n
	w.c.progress("%s", w.state(done))
	if w.rate == 0 {
		return w.ctx.Err() == nil
	}
	due := w.began.Add(time.Duration(float64(done) / float64(w.rate) * float64(time.Second)))
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// state says how far the reading is.
func (w *warmer) state(done int64) string {
	took := time.Since(w.began).Seconds()
	text := fmt.Sprintf("%s of %s read, %s", size(done), size(w.need), percent(done, w.need))
	if took > 0.5 && done > 0 {
		speed := float64(done) / took
		rest := time.Duration(float64(w.need-done) / speed * float64(time.Second))
		text += fmt.Sprintf(", %s/s, %v left", size(int64(speed)), rest.Round(time.Second))
	}
	return text
}

// report says what was done, and whether it lasts.
func (w *warmer) report() error {
	took := time.Since(w.began)
	text := count(len(w.jobs), "file") + ": "
	if w.blind < len(w.jobs) {
		text += size(w.wanted-w.need) + " were in the cache, "
	}
	text += size(w.need) + " read"
	if w.need > 0 {
		text += fmt.Sprintf(" in %v (%s/s)", took.Round(time.Millisecond), size(int64(float64(w.need)/max(took.Seconds(), 1e-9))))
	}
	text += "\n"
	if w.blind > 0 {
		text += fmt.Sprintf("of %s the system does not tell what was missing: all of it was read\n", count(w.blind, "file"))
	}
	if gone := w.gone(); gone > 0 {
		text += fmt.Sprintf("%s of it are not in the cache now: memory has no more room for them\n", size(gone))
	}
	return w.c.write(text)
}

// gone returns how many bytes of what was read have left the cache again.
func (w *warmer) gone() (n int64) {
	for _, j := range w.jobs {
		if j.blind || j.err != nil || len(j.missing) == 0 {
			continue
		}
		f, info, err := openRegular(j.name)
		if err != nil {
			continue
		}
		if missing, err := stretches(f, info.Size(), false); err == nil {
			n += total(within(missing, j.wanted))
		}
		f.Close()
	}
	return n
}
