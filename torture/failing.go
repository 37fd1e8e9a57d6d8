//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// runFailing tries storage that fails in every way.
func runFailing(ctx context.Context, l *lab) error {
	var errs []error
	for _, attack := range []struct {
		name string
		run  func(context.Context, *lab) error
	}{
		{"FUSE", failingFUSE},
		{"full ext4", fullOn("ext4")},
		{"full xfs", fullOn("xfs")},
		{"full btrfs", fullOn("btrfs")},
		{"full tmpfs", fullOn("tmpfs")},
		{"cut disk", cutDisk},
	} {
		err := attack.run(ctx, l)
		if !l.skipMissing(attack.name, err) && err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", attack.name, err))
		}
		l.cleanUp()
	}
	return errors.Join(errs...)
}

// tally counts the cases by what came of them.
type tally struct {
	cases, memory, sticky int
	crashes               []string
	wrong                 []string
}

// failingFUSE runs the cases of cases.go in child processes: after a crash the
// next child goes on behind the case that crashed.
func failingFUSE(ctx context.Context, l *lab) error {
	dir := l.path("fuse")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	l.defers(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	wait := pick(l, 3*time.Second, 50*time.Millisecond)
	var t tally
	for over := false; !over; {
		p, err := start(ctx, "cases", dir, fmt.Sprint(t.cases), wait.String())
		if err != nil {
			return err
		}
		name := ""
		if name, over = t.listen(bufio.NewScanner(p.out)); over {
			if err := p.end(); err != nil {
				return err
			}
			break
		}
		err = p.end()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if name == "" {
			return fmt.Errorf("no cases: %w", err)
		}
		t.crashes = append(t.crashes, fmt.Sprintf("%s: %v", name, err))
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	}
	l.figure("FUSE", "%d cases, %d crashes, %d wrong results; in %d memory still had what the storage did not, in %d a Flush failed and stayed failed",
		t.cases, len(t.crashes), len(t.wrong), t.memory, t.sticky)
	return t.err()
}

// listen takes down what a child says. It returns the case that did not come to
// its end, and whether there are no more.
func (t *tally) listen(lines *bufio.Scanner) (name string, over bool) {
	for lines.Scan() {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "begin":
			t.cases++
			name = rest
			continue
		case "memory":
			t.memory++
		case "sticky":
			t.sticky++
		case "wrong:":
			t.wrong = append(t.wrong, name+": "+rest)
		case "end":
			return "", true
		}
		name = ""
	}
	return name, false
}

// err is the failure, if there is one.
func (t *tally) err() error {
	const most = 30
	all := append(append([]string(nil), t.crashes...), t.wrong...)
	if len(all) == 0 {
		return nil
	}
	text := strings.Join(all[:min(len(all), most)], "\n")
	if len(all) > most {
		text += fmt.Sprintf("\nand %d more", len(all)-most)
	}
	return fmt.Errorf("%d crashes, %d wrong results:\n%s", len(t.crashes), len(t.wrong), text)
}
