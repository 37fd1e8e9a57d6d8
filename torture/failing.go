//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// runFailing tries storage that fails in every way.
func runFailing(ctx context.Context, l *lab) error {
	attacks := map[string]func(context.Context, *lab) error{
		"FUSE":                          failingFUSE("FUSE", fusefs.Cached),
		"FUSE, direct":                  failingFUSE("FUSE, direct", fusefs.Direct),
		"FUSE, direct but for mappings": failingFUSE("FUSE, direct but for mappings", fusefs.Mapped),
		"full ext4":                     fullOn("ext4"),
		"full xfs":                      fullOn("xfs"),
		"full btrfs":                    fullOn("btrfs"),
		"full tmpfs":                    fullOn("tmpfs"),
		"cut disk":                      cutDisk,
	}
	names := []string{"FUSE", "FUSE, direct", "FUSE, direct but for mappings", "full ext4", "full xfs", "full btrfs", "full tmpfs", "cut disk"}
	return l.twoAtATime(ctx, names, func(ctx context.Context, l *lab, name string) error { return attacks[name](ctx, l) })
}

// tally counts the cases by what came of them.
type tally struct {
	cases, memory, sticky int
	crashes               []string
	wrong                 []string
}

// failingFUSE returns the attack on files of a mode.
func failingFUSE(name string, mode fusefs.Mode) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error { return failingMode(ctx, l, name, mode) }
}

// failingMode runs the cases of cases.go in child processes: after a crash the
// next child goes on behind the case that crashed.
func failingMode(ctx context.Context, l *lab, name string, mode fusefs.Mode) error {
	dir := l.path(string(mode))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	l.defers(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	wait := pick(l, 3*time.Second, 50*time.Millisecond)
	probe, err := fusefs.MountFiles(dir, mode, wait)
	if err != nil {
		return asMissing(err)
	}
	probe.Close()
	var t tally
	for over := false; !over; {
		p, err := start(ctx, "cases", dir, fmt.Sprint(t.cases), wait.String(), string(mode))
		if err != nil {
			return err
		}
		at := ""
		if at, over = t.listen(bufio.NewScanner(p.out)); over {
			if err := p.end(); err != nil {
				return err
			}
			break
		}
		err = p.end()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if at == "" {
			return fmt.Errorf("no cases: %w", err)
		}
		t.crashes = append(t.crashes, fmt.Sprintf("%s: %v", at, err))
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	}
	l.figure(name, "%d cases, %d crashes, %d wrong results; in %d memory still had what the storage did not, in %d a Flush failed and stayed failed",
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
