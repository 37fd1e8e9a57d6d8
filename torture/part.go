//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// part is one attack.
type part struct {
	name  string
	about string
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
	fmt.Printf("\n=== %s: %s\n", l.part.name, l.part.about)
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
		fmt.Printf("--- %s: %s (%v)\n", l.part.name, verdict, l.took.Round(time.Second))
	}()
	l.err = l.part.run(ctx, l)
	if l.err == nil {
		l.err = ctx.Err()
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

// figure reports a result.
func (l *lab) figure(name, format string, args ...any) {
	f := figure{name, fmt.Sprintf(format, args...)}
	l.figures = append(l.figures, f)
	fmt.Printf("%s: %s\n", f.name, f.value)
}

// control reports what failed as it must.
func (l *lab) control(name, format string, args ...any) {
	f := figure{name, fmt.Sprintf(format, args...)}
	l.controls = append(l.controls, f)
	fmt.Printf("control %s: %s\n", f.name, f.value)
}

// skip reports that something was not checked: all of the part, or what is
// named.
func (l *lab) skip(what string, why error) {
	name := l.part.name
	if what != "" {
		name += ", " + what
	}
	l.skips = append(l.skips, figure{name, why.Error()})
	fmt.Printf("skipped: %s: %v\n", name, why)
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
