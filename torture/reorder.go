//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// Power cuts below the file system: the disk loses a random part of what it
// was sent since its last flush. This finds a flush that did not reach the disk,
// which the file system's own shutdown does not, and works for btrfs.

// replays is how many disks come out of one power cut.
const replays = 3

// runReorder cuts the power of the disk under each file system.
func runReorder(ctx context.Context, l *lab) error {
	return l.twoAtATime(ctx, []string{"ext4", "xfs", "btrfs"}, func(ctx context.Context, l *lab, kind string) error {
		for _, mode := range []string{modeFlush, modeNone} {
			if err := reorderOn(ctx, l, kind, mode); err != nil {
				return fmt.Errorf("%s: %w", mode, err)
			}
		}
		return nil
	})
}

// reorderOn makes the cuts on one file system.
func reorderOn(ctx context.Context, l *lab, kind, mode string) error {
	size := max(least[kind], 64<<20)
	d, under, err := diskOnLog(l, kind, mode, size)
	if err != nil {
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

// diskOnLog makes a file system on a disk that can lose its power.
func diskOnLog(l *lab, kind, name string, size int64) (*disk, *fusefs.Disk, error) {
	dir := l.path("log-" + kind + "-" + name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, nil, err
	}
	under, err := fusefs.MountDisk(dir, size)
	if err != nil {
		return nil, nil, asMissing(err)
	}
	l.defers(under.Close)
	d := &disk{kind: kind, dir: l.path(kind + "-" + name), image: under.Image()}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return nil, nil, err
	}
	l.defers(d.close)
	return d, under, d.format()
}

// reorderMany cuts again and again, and looks at several disks after each cut.
func reorderMany(ctx context.Context, d *disk, under *fusefs.Disk, mode string, cuts int, seed uint64) (sum toll, err error) {
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
		if err := under.Record(); err != nil {
			return sum, err
		}
		if err := writeUntil(ctx, d.dir, mode, rng, files, under.PowerOff); err != nil {
			return sum, err
		}
		if err := d.unplug(); err != nil {
			return sum, err
		}
		for range replays {
			if err := under.Replay(rng.Uint64()); err != nil {
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
