//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// Dirty throttling: who makes more pages dirty than the disk can take is made to
// wait by the kernel, where it is: in write(2), or inside the fault of a store.
// The disk here is a slow one of our own, and may have little that is dirty. So
// nobody else is throttled.

const (
	throttledSize  = 32 << 20        // of the file that is written
	throttledHot   = 4 << 20         // of the part that stays in memory
	throttledDirty = 8 << 20         // how much of it may be dirty
	throttledSpeed = 8 << 20         // what the disk writes in a second
	throttledTime  = 2 * time.Second // how long the writes go on
	throttledLook  = 2 * time.Second // by then the library has noticed
)

// throttledStores is P22 again: writes all over a file, faster than the disk.
func throttledStores(ctx context.Context, l *lab) error {
	d, under, err := diskOnLog(ctx, l, "ext4", "slow", 128<<20)
	if err != nil {
		return err
	}
	if err := d.plug(); err != nil {
		return missing{err}
	}
	t := &throttled{d: d, name: filepath.Join(d.dir, "file")}
	if err := os.WriteFile(t.name, fill(1, throttledSize), 0o600); err != nil {
		return err
	}
	if err := syncFS(d.dir); err != nil {
		return err
	}
	end, err := throttle(d)
	if err != nil {
		return err
	}
	l.defers(end)
	l.defers(func() { _ = under.order("slow", 0) })
	if err := under.order("slow", throttledSpeed); err != nil {
		return err
	}
	// Somebody else keeps the disk busy, so that few pages are enough.
	other, err := start(ctx, "dirty", filepath.Join(d.dir, "other"))
	if err != nil {
		return err
	}
	l.defers(func() { _ = other.end() })
	if n, _ := other.out.Read(make([]byte, 1)); n == 0 {
		return fmt.Errorf("the disk is not busy: %w", other.end())
	}
	const name = "P22, stores faster than the disk, "
	cold := &rival{measure: func() (beside, error) { return t.write(ctx, false, throttledSize, 0) }}
	errs := []error{l.judgeStall(ctx, name+"WriteAt of pages not written before", mostStore, cold, func() (beside, error) {
		return t.write(ctx, true, throttledSize, 0)
	})}
	file := &rival{measure: func() (beside, error) { return t.write(ctx, false, throttledHot, throttledLook) }}
	errs = append(errs, l.judgeStall(ctx, name+"WriteAt of pages in memory", mostStore, file, func() (beside, error) {
		return t.write(ctx, true, throttledHot, throttledLook)
	}))
	if err := t.surprise(ctx, l, name+"WriteAt of pages in memory, in the first second"); err != nil {
		return errors.Join(append(errs, err)...)
	}
	control, err := t.store(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	l.control(name+"plain memory", "%v", control)
	if control.gc < 4*mostStore {
		errs = append(errs, errors.New("control: plain memory did not hold up the collector: the run shows nothing"))
	}
	return errors.Join(errs...)
}

// throttled is the file on the slow disk.
type throttled struct {
	d    *disk
	name string
}

// surprise writes pages that are in memory and were written before, when the
// disk begins to make them clean all the time. Until the library looks, which it
// does once a second, it stores to such pages, and a store waits: so this goes
// well by chance only. It is reported as what it is, and fails nothing, as the
// library does not promise more.
func (t *throttled) surprise(ctx context.Context, l *lab, name string) error {
	file := &rival{measure: func() (beside, error) { return t.write(ctx, false, throttledHot, time.Nanosecond) }}
	if err := file.again(); err != nil {
		return err
	}
	b, err := t.write(ctx, true, throttledHot, time.Nanosecond)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	report := l.figure
	if b.miss(mostStore, file.worst) != nil {
		report = l.miss
	}
	report(name, "%v (promised: %v; os.File: %v)", b, mostStore, file.worst)
	return nil
}

// eachPage calls fn with an offset in each page of the first so many bytes, again
// and again, and leaves before the time is over only with an error.
func eachPage(ctx context.Context, size int64, long time.Duration, fn func(off int64) error) error {
	for begin, off := time.Now(), int64(100); time.Since(begin) < long; off = (off + 4096) % size {
		if err := errors.Join(fn(off), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// write writes by a Region or by an os.File. Where there is a time to write
// before, the pages are first brought to where memory takes them.
func (t *throttled) write(ctx context.Context, region bool, size int64, before time.Duration) (b beside, err error) {
	w, err := openTarget(t.name, region)
	if err != nil {
		return b, err
	}
	defer w.Close()
	p := fill(2, 8)
	for off := int64(0); before > 0 && off < size; off += 4096 {
		for range 4 {
			if _, err := w.WriteAt(p, off); err != nil {
				return b, err
			}
		}
	}
	write := func(off int64) error {
		_, err := w.WriteAt(p, off)
		return err
	}
	if err := eachPage(ctx, size, before, write); err != nil {
		return b, err
	}
	return throughout(func() error { return eachPage(ctx, size, throttledTime, write) }, 50*time.Millisecond)
}

// store stores to plain memory.
func (t *throttled) store(ctx context.Context) (b beside, err error) {
	r, err := mmap.OpenFile(t.name, os.O_RDWR, 0, nil)
	if err != nil {
		return b, err
	}
	defer r.Close()
	plain := r.Bytes()
	return throughout(func() error {
		return eachPage(ctx, throttledSize, throttledTime, func(off int64) error { plain[off]++; return nil })
	}, 50*time.Millisecond)
}

// childDirty writes to a file, faster than the disk, until its standard input
// ends.
func childDirty(args []string) error {
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	b := fill(3, 64<<10)
	for n := int64(0); ; n += int64(len(b)) {
		if n == 2*throttledDirty {
			fmt.Print("+")
		}
		if _, err := f.WriteAt(b, n%throttledSize); err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		default:
		}
	}
}

// throttle lets only little of a disk be dirty. A process of its own undoes that,
// whatever becomes of this one.
func throttle(d *disk) (end func(), err error) {
	var st unix.Stat_t
	if err := unix.Stat(d.where, &st); err != nil {
		return nil, err
	}
	dir := fmt.Sprintf("/sys/class/bdi/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	p, err := start(context.Background(), "throttle", dir)
	if err != nil {
		return nil, err
	}
	if n, _ := p.out.Read(make([]byte, 1)); n == 0 {
		return nil, missing{fmt.Errorf("the kernel does not throttle one disk: %w", p.end())}
	}
	return func() { _ = p.end() }, nil
}

// childThrottle is that process. It ends with its standard input.
func childThrottle(args []string) (err error) {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0); err != nil {
		return err
	}
	set := func(name, value string) error { return os.WriteFile(filepath.Join(args[0], name), []byte(value), 0) }
	for _, s := range []struct{ name, value, keeps string }{
		{"strict_limit", "1", "strict_limit"},
		{"max_bytes", fmt.Sprint(throttledDirty), "max_ratio_fine"}, // the one sets the other
	} {
		old, err := os.ReadFile(filepath.Join(args[0], s.keeps))
		if err != nil {
			return err
		}
		defer set(s.keeps, strings.TrimSpace(string(old)))
		if err := set(s.name, s.value); err != nil {
			return err
		}
	}
	fmt.Print("+")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}
