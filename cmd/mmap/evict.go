package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// evictVerb is `mmap evict`.
var evictVerb = verb{
	name:  "evict",
	args:  "[flags] FILE|DIR...",
	short: "drop files from the cache, and say what stayed and why",
	long: `Evict writes what is dirty of each file to the disk and asks the system to drop the file from the page cache. The system keeps what a process has mapped and uses, what is locked, and what is being written: evict says how much stayed, why, and which processes use it. If something stayed, the exit status is 1.
Nothing is lost: what was evicted is read from the disk again when it is used next.`,
	flags: func(fs *flag.FlagSet) action {
		var o evictOptions
		fs.BoolVar(&o.recurse, "r", false, "look into folders inside folders")
		fs.Var(&o.ranges, "range", rangeUsage)
		return o.evict
	},
}

// evictOptions are what the flags of evict say.
type evictOptions struct {
	recurse bool
	ranges  ranges
}

// evicted is what came of evicting one file.
type evicted struct {
	name          string
	before, after tally     // of the parts asked for; notTold where nothing tells
	now           residency // of the whole file, afterwards
	memory        string    // the file system that has its files in memory, or ""
}

// evict is the verb's action.
func (o *evictOptions) evict(ctx context.Context, args []string, c *console) error {
	if len(args) == 0 {
		return usageError("give the name of a FILE or of a DIR")
	}
	if !canDrop {
		return drop(nil, 0, 0)
	}
	var done []evicted
	err := newWalker(c, o.recurse).each(ctx, args, func(name string, info fs.FileInfo) error {
		c.progress("evicting %s", oneLine(name))
		e, err := o.evictFile(ctx, name)
		if err != nil {
			c.fail(err)
			return ctx.Err()
		}
		done = append(done, e)
		return nil
	})
	if err != nil {
		return err
	}
	if err := sayEvicted(ctx, c, done); err != nil {
		return err
	}
	return c.result()
}

// tries is how often a file is asked to go: pages that are being written, and
// those that another processor has in hand, go at the second or third time.
const tries = 5

// evictFile evicts the parts of one file.
func (o *evictOptions) evictFile(ctx context.Context, name string) (evicted, error) {
	e := evicted{name: name}
	f, info, err := openRegular(name)
	if err != nil {
		return e, err
	}
	defer f.Close()
	e.memory = inMemory(f)
	parts := o.ranges.of(info.Size())
	e.before = cachedIn(f, info.Size(), parts)
	e.after = e.before
	for try := range tries {
		if e.before.Resident == 0 || e.memory != "" || ctx.Err() != nil {
			break
		}
		if try > 0 {
			time.Sleep(10 * time.Millisecond) // nothing tells when they are free
		}
		if err := dropParts(f, parts); err != nil {
			return e, err
		}
		if e.after = cachedIn(f, info.Size(), parts); e.after.Resident <= 0 {
			return e, ctx.Err()
		}
	}
	e.now = inspect(f, info.Size(), 0)
	return e, ctx.Err()
}

// dropParts writes out what is dirty, because dirty pages stay, and asks the
// system to drop the parts, whole pages of them.
func dropParts(f *os.File, parts []span) error {
	for _, p := range parts {
		from := p.off / pageSize * pageSize
		to := (p.off + p.n + pageSize - 1) / pageSize * pageSize
		err := clean(f, from, to-from)
		if err == nil {
			err = drop(f, from, to-from)
		}
		if err != nil {
			return &os.PathError{Op: "evict", Path: f.Name(), Err: err}
		}
	}
	return nil
}

// cachedIn counts the pages of the parts that are in the cache: notTold where
// the system does not tell.
func cachedIn(f *os.File, size int64, parts []span) tally {
	if len(parts) == 1 && parts[0] == (span{0, size}) {
		if r := inspect(f, size, 0); r.why == nil {
			return tally{r.pages, r.resident}
		}
		return tally{pagesOf(size), notTold}
	}
	in, err := stretches(f, size, true)
	t := tally{pagesOf(total(parts)), pagesOf(total(within(in, parts)))}
	if err != nil {
		t.Resident = notTold
	}
	return t
}

// sayEvicted says what went and what stayed.
func sayEvicted(ctx context.Context, c *console, done []evicted) error {
	var all evicted
	var out strings.Builder
	var stayed []evicted
	untold := 0
	for _, e := range done {
		if e.before.Resident == notTold || e.after.Resident == notTold {
			untold++
			continue
		}
		all.before.Resident += e.before.Resident
		all.after.Resident += e.after.Resident
		if e.after.Resident > 0 {
			stayed = append(stayed, e)
		}
	}
	if told := len(done) - untold; told > 0 || len(done) == 0 {
		went := max(all.before.Resident-all.after.Resident, 0) * pageSize
		fmt.Fprintf(&out, "%s: %s of %s went from the cache\n", count(told, "file"), size(went), size(all.before.Resident*pageSize))
	}
	if untold > 0 {
		fmt.Fprintf(&out, "%s: evicted as far as the system lets go; it does not tell what stayed\n", count(untold, "file"))
	}
	if err := c.write(out.String()); err != nil {
		return err
	}
	sayStayed(ctx, c, stayed)
	return nil
}

// sayMost is of how many files it is said what stayed.
const sayMost = 20

// sayStayed says what stayed and why.
func sayStayed(ctx context.Context, c *console, stayed []evicted) {
	var names []string
	for _, e := range stayed {
		names = append(names, e.name)
	}
	found, err := whoUses(ctx, c, names)
	slices.SortStableFunc(stayed, func(a, b evicted) int { return int(b.after.Resident - a.after.Resident) })
	for i, e := range stayed {
		if i == sayMost {
			c.fail(fmt.Errorf("%s more stayed", count(len(stayed)-i, "file")))
			break
		}
		var uses []use
		if err == nil {
			uses = found.uses[e.name]
		}
		c.fail(fmt.Errorf("%s: %s stayed: %s", e.name, size(e.after.Resident*pageSize), e.reason(uses)))
	}
}

// reason says why pages of the file stayed.
func (e *evicted) reason(uses []use) string {
	if e.memory != "" {
		return e.memory + " has its files in memory and nowhere else"
	}
	var texts []string
	if n := max(e.now.dirty, 0) + max(e.now.writeback, 0); n > 0 {
		texts = append(texts, size(n*pageSize)+" dirty, still being written")
	}
	for i, u := range uses {
		switch {
		case i == 3:
			texts = append(texts, fmt.Sprintf("and %d more", len(uses)-i))
		case i < 3 && u.Locked > 0:
			texts = append(texts, fmt.Sprintf("%s has locked %s", u.who(), size(u.Locked)))
		case i < 3 && u.Mapped > 0:
			texts = append(texts, fmt.Sprintf("%s has mapped it and uses %s", u.who(), size(u.RSS)))
		case i < 3:
			texts = append(texts, u.who()+" has it open")
		}
	}
	if len(texts) == 0 {
		texts = append(texts, "the kernel uses it, or somebody read it again meanwhile")
	}
	return strings.Join(texts, ", ")
}
