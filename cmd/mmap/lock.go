package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"

	"github.com/seed-93fed273/mmap"
)

// lockVerb is `mmap lock`.
var lockVerb = verb{
	name:  "lock",
	args:  "[flags] FILE|DIR...",
	short: "keep files in memory until interrupted",
	long:  `Lock brings files into memory and keeps them there until it is interrupted (Ctrl-C, SIGTERM): no read of them waits for the disk meanwhile. What is appended to a file later is not locked. Locked memory is memory that nobody else has: lock refuses what is larger than the memory that is available, and says which limit forbids it (ulimit -l, which root and CAP_IPC_LOCK are free of).`,
	flags: func(fs *flag.FlagSet) action {
		var o lockOptions
		fs.BoolVar(&o.recurse, "r", false, "look into folders inside folders")
		return o.lock
	},
}

// lockOptions are what the flags of lock say.
type lockOptions struct{ recurse bool }

// lock is the verb's action. The files are locked all or none.
func (o *lockOptions) lock(ctx context.Context, args []string, c *console) error {
	if len(args) == 0 {
		return usageError("give the name of a FILE or of a DIR")
	}
	var names []string
	var bytes int64
	err := newWalker(c, o.recurse).each(ctx, args, func(name string, info fs.FileInfo) error {
		if info.Size() > 0 {
			names = append(names, name)
			bytes += pagesOf(info.Size()) * pageSize
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.failed {
		return c.result()
	}
	if err := fits(bytes); err != nil {
		return err
	}
	l := &locker{c: c, all: bytes}
	defer l.close()
	for _, name := range names {
		if err := l.lock(ctx, name); err != nil {
			return err
		}
	}
	if err := c.write(fmt.Sprintf("locked %s of %s; interrupt to let go\n", size(l.locked), count(len(names), "file"))); err != nil {
		return err
	}
	<-ctx.Done()
	return errStopped
}

// fits returns an error when so many bytes should not be locked: memory and
// the limits have no room for them.
func fits(bytes int64) error {
	if limit := lockLimit(); bytes > limit {
		return fmt.Errorf("%s cannot be locked: the limit on locked memory is %s (ulimit -l; RLIMIT_MEMLOCK)", size(bytes), size(limit))
	}
	if free := availableMemory(); bytes > free {
		return fmt.Errorf("%s should not be locked: only %s of memory are available", size(bytes), size(free))
	}
	return nil
}

// noLimit is a limit that there is not.
const noLimit = int64(math.MaxInt64)

// locker holds the files that are locked.
type locker struct {
	c           *console
	regions     []*mmap.Region
	locked, all int64
}

// lockStep is how much is locked in one call, between two looks at whether to
// go on.
const lockStep = 64 * miB

// lock locks one file, step by step.
func (l *locker) lock(ctx context.Context, name string) error {
	r, err := mmap.Open(name)
	if err != nil {
		return err
	}
	l.regions = append(l.regions, r)
	end := r.Size()
	for off := int64(0); off < end; off += lockStep {
		if ctx.Err() != nil {
			return errInterrupted
		}
		l.c.progress("%s of %s locked", size(l.locked), size(l.all))
		n := min(lockStep, end-off)
		if err := r.Lock(off, n); err != nil {
			return l.reason(name, err)
		}
		l.locked += pagesOf(n) * pageSize
	}
	return nil
}

// reason says why a file could not be locked.
func (l *locker) reason(name string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%s: the system cannot lock it: %w", name, err)
	}
	return fmt.Errorf("%s: after %s locked: %w", name, size(l.locked), err)
}

// close lets go.
func (l *locker) close() {
	for _, r := range l.regions {
		r.Close()
	}
}
