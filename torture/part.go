//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// part is one attack.
type part struct {
	name  string
	about string
	limit time.Duration // of the short form: a part that takes longer fails
	needs []need
	run   func(ctx context.Context, l *lab) error
}

// need is what a part cannot do without. It returns why it is not there.
type need func() error

// root is needed to mount.
func root() error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root")
	}
	return nil
}

// loop is needed to mount a file system of our own.
func loop() error {
	f, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// fuseDevice is needed for file systems that fail on order.
func fuseDevice() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// goTool is needed to build tests.
func goTool() error {
	_, err := exec.LookPath("go")
	return err
}

// figure is one line of the results.
type figure struct{ name, value string }

// lab is where one part works: it keeps its figures, and undoes at the end what
// the part did to the system.
type lab struct {
	part part
	full bool
	dir  string
	seed uint64

	say      io.Writer // standard output; of a fork, what it will say
	undo     []func()
	figures  []figure
	controls []figure
	skips    []figure
	err      error
	took     time.Duration
	ran      bool
}

// run runs the part, unless something that it needs is missing.
func (l *lab) run(ctx context.Context) {
	fmt.Fprintf(l.say, "\n=== %s: %s\n", l.part.name, l.part.about)
	for _, n := range l.part.needs {
		if err := n(); err != nil {
			l.skip("", err)
			return
		}
	}
	begin := time.Now()
	defer func() {
		l.cleanUp()
		if l.skipMissing("", l.err) {
			l.err = nil
			return
		}
		l.took = time.Since(begin)
		l.ran = true
		verdict := "passed"
		if l.err != nil {
			verdict = "failed: " + l.err.Error()
		}
		fmt.Fprintf(l.say, "--- %s: %s (%v)\n", l.part.name, verdict, l.took.Round(time.Second))
	}()
	if !l.full {
		var cancel context.CancelFunc
		late := fmt.Errorf("%s is out of time: it has %v", l.part.name, l.part.limit)
		ctx, cancel = context.WithTimeoutCause(ctx, l.part.limit, late)
		defer cancel()
	}
	l.err = l.part.run(ctx, l)
	if cause := context.Cause(ctx); cause != nil && l.err != nil {
		l.err = fmt.Errorf("%w\n%v", cause, l.err) // whatever that says is missing
	} else if cause != nil {
		l.err = cause
	}
}

// defers puts off what must be undone, last first, also after Ctrl-C.
func (l *lab) defers(undo func()) { l.undo = append(l.undo, undo) }

// cleanUp undoes it.
func (l *lab) cleanUp() {
	for i := len(l.undo) - 1; i >= 0; i-- {
		l.undo[i]()
	}
	l.undo = nil
}

// twoAtATime runs one attack for each name, two beside each other, each in a lab
// of its own. What they report comes in the order of the names.
func (l *lab) twoAtATime(ctx context.Context, names []string, run func(ctx context.Context, l *lab, name string) error) error {
	slots := make(chan struct{}, 2)
	done := make([]chan error, len(names))
	forks := make([]*lab, len(names))
	for i := range names {
		done[i] = make(chan error, 1)
		forks[i] = &lab{part: l.part, full: l.full, dir: l.dir, seed: l.seed, say: &bytes.Buffer{}}
	}
	go func() {
		for i, name := range names {
			slots <- struct{}{}
			go func() {
				err := ctx.Err()
				if err == nil {
					err = run(ctx, forks[i], name)
				}
				forks[i].cleanUp()
				<-slots
				done[i] <- err
			}()
		}
	}()
	var errs []error
	for i, name := range names {
		err := <-done[i]
		l.join(forks[i])
		if !l.skipMissing(name, err) && err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// join takes over what a fork has reported.
func (l *lab) join(fork *lab) {
	fmt.Fprint(l.say, fork.say)
	l.figures = append(l.figures, fork.figures...)
	l.controls = append(l.controls, fork.controls...)
	l.skips = append(l.skips, fork.skips...)
}

// figure reports a result.
func (l *lab) figure(name, format string, args ...any) {
	f := figure{name, fmt.Sprintf(format, args...)}
	l.figures = append(l.figures, f)
	fmt.Fprintf(l.say, "%s: %s\n", f.name, f.value)
}

// control reports what failed as it must.
func (l *lab) control(name, format string, args ...any) {
	f := figure{name, fmt.Sprintf(format, args...)}
	l.controls = append(l.controls, f)
	fmt.Fprintf(l.say, "control %s: %s\n", f.name, f.value)
}

// skip reports that something was not checked: all of the part, or what is
// named.
func (l *lab) skip(what string, why error) {
	name := l.part.name
	if what != "" {
		name += ", " + what
	}
	l.skips = append(l.skips, figure{name, why.Error()})
	fmt.Fprintf(l.say, "skipped: %s: %v\n", name, why)
}

// path returns a new name in the working directory.
func (l *lab) path(name string) string { return filepath.Join(l.dir, l.part.name+"-"+name) }

// pick returns the figure for the form that runs.
func pick[T any](l *lab, full, quick T) T {
	if l.full {
		return full
	}
	return quick
}
