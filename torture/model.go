//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
)

// playCalls is the length of one play: a file is mapped, grown, cut, closed and
// opened again in it.
const playCalls = 200

// kinds are the file systems of the model test, the slowest first.
var kinds = []string{"btrfs", "ext4", "xfs", "tmpfs"}

// modelDisk is how large the file systems of the model test are.
const modelDisk = 512 << 20

// runModel plays the library's model test on each file system, and then several
// mappings in two processes on one file. In the short form the images are in
// memory, where nothing waits for a disk: what is tested lies above it.
func runModel(ctx context.Context, l *lab) error {
	l.collectLess()
	if !l.full {
		l.useMemory(int64(len(kinds)) * modelDisk)
	}
	return l.twoAtATime(ctx, append(kinds, slices.Sorted(maps.Keys(fuseKinds))...), modelOn)
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
	if fuseKinds[kind] != "" {
		d, err := newLoopback(l, kind)
		if err != nil {
			return err
		}
		return playOn(ctx, l, d, pick(l, int64(1_000_000), 30_000))
	}
	d, err := newDisk(l, kind, modelDisk)
	if err != nil {
		return err
	}
	if err := playOn(ctx, l, d, pick(l, int64(10_000_000), 1_000_000)); err != nil {
		return err
	}
	return peersOn(ctx, l, d)
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
	if !d.fuse() { // see withoutAppending
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
	c := withoutHoles(difftest.Random(seed, playCalls))
	if disk.fuse() {
		c = withoutAppending(c)
	}
	if fuseKinds[disk.kind] == kindDirect {
		c = withoutMemory(c)
	}
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

// withoutHoles changes the calls of Seek that ask where holes are: that depends
// on what the file system has written so far, and differs between two equal
// files.
func withoutHoles(c difftest.Case) difftest.Case {
	const record, detail, fill = 8, 6, 7
	for i := record; i+record <= len(c); i += record {
		if c[i+detail]%16 == 15 && c[i+fill] < 2 { // whence 3 and 4
			c[i+fill] += 2
		}
	}
	return c
}

// withoutMemory makes a ReadAt of each Bytes and View, and opens without options
// that are about memory: a file that cannot be mapped has none, and says so. (A
// Case has no names for its calls. If the numbers are no longer these, the Views
// that are left fail.)
func withoutMemory(c difftest.Case) difftest.Case {
	if c[0]%32 == 30 { // Prot
		c[0] = 0
	}
	c[3] |= 1 // no Populate
	const record, all, bytes, at, readAt = 8, 988, 838, 933, 110
	for i := record; i+record <= len(c); i += record {
		if kind := (int(c[i]) | int(c[i+1]&0x0f)<<8) % all; kind >= bytes && kind < at {
			c[i], c[i+1] = readAt, c[i+1]&0xf0
		}
	}
	return c
}

// withoutAppending opens files without O_APPEND. A FUSE server, GlusterFS too,
// writes the pages of any mapping by the descriptor that the file was opened
// with, and so, with O_APPEND, behind the end of the file. Nor are pages taken away there: the
// kernel then loses what is written past the end, see growths.
func withoutAppending(c difftest.Case) difftest.Case {
	switch c[0] % 32 {
	case 12, 13, 20:
		c[0] = 0
	}
	return c
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
