//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap/internal/difftest"
	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// playCalls is the length of one play: a file is mapped, grown, cut, closed and
// opened again in it.
const playCalls = 200

// modelKinds are the file systems of the model test, the slowest first, and how
// many calls are made on them in the short form.
var modelKinds = []modelKind{
	{"btrfs", million}, {"ext4", million}, {"xfs", million}, {"tmpfs", million},
	{"ext3", 100_000}, {"overlay on ext4", 100_000}, {"overlay on tmpfs", 100_000},
	{fuseOn + string(fusefs.Cached), 30_000}, {fuseOn + string(fusefs.Direct), 30_000}, {fuseOn + string(fusefs.Mapped), 30_000},
	{fuseOn + string(fusefs.Short), 30_000}, {fuseOn + string(fusefs.NoFallocate), 30_000}, {fuseOn + string(fusefs.NonSeekable), 30_000},
}

const million = 1_000_000

// modelKind is a file system of the model test.
type modelKind struct {
	kind  string
	calls int64
}

// modelDisk is how large the file systems of the model test are.
const modelDisk = 512 << 20

// runModel plays the library's model test on each file system, and then several
// mappings in two processes on one file. In the short form the images are in
// memory, where nothing waits for a disk: what is tested lies above it.
func runModel(ctx context.Context, l *lab) error {
	l.collectLess()
	if !l.full {
		l.useMemory(int64(len(modelKinds)) * modelDisk)
	}
	var names []string
	for _, k := range modelKinds {
		names = append(names, k.kind)
	}
	return l.twoAtATime(ctx, names, modelOn)
}

// collectLess lets garbage lie for longer: each look at a file makes some, and
// collecting it at once takes half of the time.
func (l *lab) collectLess() {
	old := debug.SetGCPercent(800)
	l.defers(func() { debug.SetGCPercent(old) })
}

// skipMissing reports what cannot be checked here, and whether that was it.
func (l *lab) skipMissing(what string, err error) bool {
	var m missing
	if !errors.As(err, &m) {
		return false
	}
	l.skip(what, m)
	return true
}

// modelOn plays on one file system: random calls first, then processes.
func modelOn(ctx context.Context, l *lab, kind string) error {
	at := slices.IndexFunc(modelKinds, func(k modelKind) bool { return k.kind == kind })
	d, err := newDisk(l, kind, modelDisk)
	if err != nil {
		return err
	}
	calls := modelKinds[at].calls
	if err := playOn(ctx, l, d, pick(l, 10*calls, calls)); err != nil || calls < million {
		return err
	}
	return peersOn(ctx, l, d)
}

// fuse returns the mode of a FUSE file system.
func (d *disk) fuse() (mode fusefs.Mode, is bool) {
	name, is := strings.CutPrefix(d.kind, fuseOn)
	return fusefs.Mode(name), is
}

// playOn plays random calls by two workers, until there were enough, while a
// third takes the pages away.
func playOn(ctx context.Context, l *lab, d *disk, want int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	var calls, plays atomic.Int64
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			errs[w] = playMany(ctx, d, func() (uint64, bool) {
				n := plays.Add(1)
				return l.seed + uint64(n), calls.Add(playCalls) <= want
			})
			if errs[w] != nil {
				cancel()
			}
		})
	}
	stop := make(chan struct{})
	var chilled atomic.Int64
	var chiller sync.WaitGroup
	if _, fuse := d.fuse(); !fuse { // see TestHazardGrowthOnFUSE
		chiller.Go(func() { chilled.Store(chill(d.dir, stop)) })
	}
	wg.Wait()
	close(stop)
	chiller.Wait()
	made := min(calls.Load(), want)
	took := time.Since(begin)
	l.figure(d.kind+", random calls", "%d of %d in %v, seeds from %d, %d times made cold; mismatches: %d",
		made, want, took.Round(time.Second), l.seed+1, chilled.Load(), count(errs))
	if made < want {
		errs = append(errs, ctx.Err())
	}
	return errors.Join(errs...)
}

// count counts the errors.
func count(errs []error) (n int) {
	for _, err := range errs {
		if err != nil {
			n++
		}
	}
	return n
}

// playMany plays what next says until it says no more.
func playMany(ctx context.Context, d *disk, next func() (seed uint64, more bool)) error {
	lab, err := difftest.NewLab(d.dir)
	if err != nil {
		return err
	}
	defer lab.Close()
	for ctx.Err() == nil {
		seed, more := next()
		if !more {
			break
		}
		if err := playOne(lab, d, seed); err != nil {
			return err
		}
	}
	return nil
}

// playOne plays one seed. A mismatch becomes an error with the shortest
// sequence that shows it.
func playOne(lab *difftest.Lab, disk *disk, seed uint64) error {
	c := difftest.Random(seed, playCalls).Limited(disk.limit())
	d, err := lab.Play(c)
	if d == nil || err != nil {
		return err
	}
	short := lab.Shrink(c)
	if again, err := lab.Play(short); again != nil && err == nil {
		d = again
	}
	return fmt.Errorf("mismatch: seed %d, %s\nregion %+v\noracle %+v\n%s\ncase %v",
		seed, d.Call, d.Got, d.Want, lab.Explain(d.Case), d.Case)
}

// limit returns what the files of the disk lack.
func (d *disk) limit() difftest.Limit {
	mode, _ := d.fuse()
	switch mode {
	case fusefs.Direct:
		return difftest.NoHoles | difftest.NoMemory
	case fusefs.Short:
		return difftest.NoHoles | difftest.NoMemory | difftest.ShortReads
	case fusefs.NonSeekable:
		return difftest.NoHoles | difftest.NoOffsets
	}
	return difftest.NoHoles
}

// chill takes pages of the mapped files below dir away again and again, as a
// lack of memory would, and returns how often it did.
func chill(dir string, stop chan struct{}) (times int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return times
		case <-tick.C:
		}
		times += chillMaps(dir)
		names, _ := filepath.Glob(dir + "/*/*.region")
		for _, name := range names {
			times += chillFile(name)
		}
	}
}

// chillMaps pages out what is mapped. The addresses may be somebody else's by
// the time of the call: paging out harms nobody.
func chillMaps(dir string) (times int64) {
	maps, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if !strings.Contains(line, dir) || !strings.Contains(line, ".region") {
			continue
		}
		if n, _ := fmt.Sscanf(line, "%x-%x", &from, &to); n != 2 {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_PAGEOUT); errno == 0 {
			times++
		}
	}
	return times
}

// chillFile drops what is cached and not mapped.
func chillFile(name string) (times int64) {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	if unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) != nil {
		return 0
	}
	return 1
}
