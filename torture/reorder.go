//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
)

// Power cuts below the file system: the disk loses a random part of what it
// was sent since its last flush. This finds a flush that did not reach the disk,
// which the file system's own shutdown does not, and works for btrfs.

// replays is how many disks come out of one power cut.
const replays = 3

// runReorder cuts the power of the disk under each file system.
func runReorder(ctx context.Context, l *lab) error {
	var errs []error
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		for _, mode := range []string{modeFlush, modeNone} {
			err := reorderOn(ctx, l, kind, mode)
			if !l.skipMissing(kind, err) && err != nil {
				errs = append(errs, fmt.Errorf("%s, %s: %w", kind, mode, err))
			}
			l.cleanUp()
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return errors.Join(errs...)
}

// reorderOn makes the cuts on one file system.
func reorderOn(ctx context.Context, l *lab, kind, mode string) error {
	size := max(least[kind], 64<<20)
	under, err := newLogDisk(ctx, l, kind+"-"+mode, size)
	if err != nil {
		return err
	}
	d := &disk{kind: kind, dir: l.path(kind + "-" + mode), image: under.image()}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return err
	}
	l.defers(d.close)
	if err := d.format(); err != nil {
		return err
	}
	cuts := pick(l, 3000, 20)
	if mode == modeNone {
		cuts = pick(l, 100, 3)
	}
	sum, err := reorderMany(ctx, d, under, mode, cuts, l.seed)
	switch {
	case err != nil:
		return err
	case mode == modeNone:
		l.control(kind+", none", "%v", sum)
		if sum.lost == 0 {
			return errors.New("the control lost nothing: the run shows nothing")
		}
		return nil
	}
	l.figure(kind+", writes reordered", "%v", sum)
	if sum.lost > 0 {
		return fmt.Errorf("lost bytes that Flush had covered: %s", sum.first)
	}
	if sum.covered == 0 {
		return errors.New("no Flush covered anything: the run shows nothing")
	}
	return nil
}

// reorderMany cuts again and again, and looks at several disks after each cut.
func reorderMany(ctx context.Context, d *disk, under *logDisk, mode string, cuts int, seed uint64) (sum toll, err error) {
	rng := rand.New(rand.NewPCG(seed, 5))
	for range cuts {
		if ctx.Err() != nil {
			return sum, ctx.Err()
		}
		if err := d.plug(); err != nil {
			return sum, err
		}
		files, err := freshFiles(d.dir, rng)
		if err != nil {
			return sum, err
		}
		if err := under.order("record", 0); err != nil {
			return sum, err
		}
		off := func() error { return under.order("off", 0) }
		if err := writeUntil(ctx, d.dir, mode, rng, files, off); err != nil {
			return sum, err
		}
		if err := d.unplug(); err != nil {
			return sum, err
		}
		for range replays {
			if err := under.order("replay", rng.Uint64()); err != nil {
				return sum, err
			}
			if err := d.plug(); err != nil {
				return sum, fmt.Errorf("after the power cut: %w", err)
			}
			sum.cuts++
			for _, f := range files {
				if err := f.check(&sum); err != nil {
					return sum, err
				}
			}
			if err := d.unplug(); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}

// plug attaches the disk and mounts it.
func (d *disk) plug() error {
	if err := d.attach(d.image); err != nil {
		return err
	}
	return d.mount()
}

// unplug unmounts and detaches.
func (d *disk) unplug() error {
	if err := d.unmount(); err != nil {
		return err
	}
	err := d.loop.Close()
	d.loop = nil
	return err
}
