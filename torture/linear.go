//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/seed-93fed273/mmap/torture/linear"
)

// linearKinds are the file systems on which histories are played.
var linearKinds = []string{"ext4", "tmpfs"}

// runLinear plays small histories of concurrent calls, and looks for an order of
// the calls that explains them.
func runLinear(ctx context.Context, l *lab) error {
	// More threads than processors: the system then interrupts calls anywhere.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 * runtime.NumCPU()))
	l.collectLess()
	l.useMemory(64 << 20)
	for _, kind := range linearKinds {
		d, err := newDisk(l, kind, 32<<20)
		if err == nil {
			err = linearOn(ctx, l, d)
		}
		if !l.skipMissing(kind, err) && err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// linearOn checks Regions, then that the model is that of an os.File, and that
// what is broken is found out.
func linearOn(ctx context.Context, l *lab, d *disk) error {
	n := pick(l, 500_000, 50_000)
	t, err := playLinear(ctx, l, d.dir, linear.OpenRegion, false, n)
	l.figure(d.kind+", Regions", "%v", t)
	if err = errors.Join(err, t.wrong()); err != nil {
		return err
	}
	t, err = playLinear(ctx, l, d.dir, linear.OpenOSFile, true, n/10)
	l.figure(d.kind+", os.File", "%v", t)
	if err = errors.Join(err, t.wrong()); err != nil {
		return fmt.Errorf("the model is wrong about os.File: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(linear.Broken)) {
		t, err := playLinear(ctx, l, d.dir, linear.Broken[name], true, n)
		if err != nil {
			return err
		}
		if t.bad == nil {
			return fmt.Errorf("control: %s was not found out in %d histories: the run shows nothing", name, t.histories)
		}
		l.control(d.kind+", "+name, "found out in history %d", t.histories)
	}
	return nil
}

// linearTally counts histories.
type linearTally struct {
	mu               sync.Mutex
	histories, calls int
	beside           int // calls that overlapped another one
	verdicts         map[linear.Verdict]int
	took             time.Duration
	bad              *linear.History // the first one that is not linearizable
}

// String is the figure.
func (t *linearTally) String() string {
	return fmt.Sprintf("%d histories of %d calls, of which %d overlapped another one, in %v: %d linearizable, %d more with torn bytes or beside Close, %d undecided, %d not linearizable",
		t.histories, t.calls, t.beside, t.took.Round(time.Second), t.verdicts[linear.Linearizable], t.verdicts[linear.Torn],
		t.verdicts[linear.Undecided], t.verdicts[linear.Illegal])
}

// wrong is the failure, if there is one. A few histories take too long to decide.
func (t *linearTally) wrong() error {
	switch {
	case t.bad != nil:
		return fmt.Errorf("not linearizable: %v", t.bad)
	case t.verdicts[linear.Undecided] > 1+t.histories/200:
		return fmt.Errorf("%d histories are undecided", t.verdicts[linear.Undecided])
	}
	return nil
}

// playLinear plays n histories, or until one is not linearizable. The calls of a
// history are made while two others are checked.
func playLinear(ctx context.Context, l *lab, dir string, open linear.Opener, exact bool, n int) (*linearTally, error) {
	t := &linearTally{verdicts: map[linear.Verdict]int{}}
	lab, err := linear.NewLab(dir, open, exact)
	if err != nil {
		return t, err
	}
	defer lab.Close()
	begin := time.Now()
	played, ended := make(chan linear.History, 16), make(chan struct{})
	var checkers sync.WaitGroup
	for range 2 {
		checkers.Go(func() {
			for h := range played {
				if !t.add(h) {
					return
				}
			}
		})
	}
	go func() { checkers.Wait(); close(ended) }()
	err = func() error {
		defer close(played)
		for i := range n {
			rng := rand.New(rand.NewPCG(l.seed, uint64(i)))
			h, err := lab.Play(linear.NewPlan(rng), rng)
			if err != nil {
				return err
			}
			select {
			case played <- h:
			case <-ended:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}()
	<-ended
	t.took = time.Since(begin)
	return t, err
}

// add checks a history and counts it. It reports whether all were linearizable.
func (t *linearTally) add(h linear.History) bool {
	v := h.Check()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.histories++
	t.calls += len(h.Ops) - 1 // the last one looks at what is left
	t.beside += h.Beside()
	t.verdicts[v]++
	if v == linear.Illegal {
		t.bad = &h
	}
	return t.bad == nil
}
