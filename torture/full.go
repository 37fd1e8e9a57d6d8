//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// A full file system, and files with holes: every block that a write needs is
// one that is not there. A child does it, as it may die.

// holeSize is how long the files are, of which nothing is on the disk.
const holeSize = 1 << 20

// fullOn returns the attack on a full file system of that kind.
func fullOn(kind string) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		d, err := newDisk(l, kind, 8<<20)
		if err != nil {
			return err
		}
		return report(ctx, l, "full "+kind, "full", d.dir)
	}
}

// report runs a child that says what came of its cases, and makes that the
// figure.
func report(ctx context.Context, l *lab, what string, args ...string) error {
	p, err := start(ctx, args...)
	if err != nil {
		return err
	}
	var t tally
	name, over := t.listen(bufio.NewScanner(p.out))
	err = p.end()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !over {
		t.crashes = append(t.crashes, fmt.Sprintf("%s: %v", name, err))
	}
	l.figure(what, "%d cases, %d crashes, %d wrong results", t.cases, len(t.crashes), len(t.wrong))
	return t.err()
}

// fullCases are the operations on a hole.
var fullCases = []operation{
	{"WriteAt, small", 5000, true, writeAt(5000, 100)},
	{"WriteAt, pages", 8192, true, writeAt(8192, 20_000)},
	{"WriteAt, large", 0, true, writeAt(0, 300_000)},
	{"WriteAt, across the end", holeSize - 10_000, true, writeAt(holeSize-10_000, 20_000)},
	{"WriteAt, far behind the end", holeSize + 50_000, true, writeAt(holeSize+50_000, 20_000)},
	{"View, store", at, true, storeView},
}

// childFull runs them in a directory of a file system of its own.
func childFull(args []string) error {
	for _, st := range states[:3] { // new, mapped, read
		for _, op := range fullCases {
			say("begin %s: %s", st.name, op.name)
			if wrong, err := fullCase(args[0], st, op); err != nil {
				return err
			} else if wrong != "" {
				say("wrong: %s", wrong)
			} else {
				say("same")
			}
		}
	}
	say("end")
	return nil
}

// fullCase does an operation by an os.File and by a Region, while there is no
// room and again when there is.
func fullCase(dir string, st state, op operation) (wrong string, err error) {
	names := [2]string{filepath.Join(dir, "region"), filepath.Join(dir, "file")}
	for _, name := range names {
		if err := hole(name); err != nil {
			return "", err
		}
		defer os.Remove(name)
	}
	r, err := mmap.OpenFile(names[0], os.O_RDWR, 0, nil)
	if err != nil {
		return "", err
	}
	defer r.Close()
	f, err := os.OpenFile(names[1], os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := errors.Join(warmHole(st, r), warmHole(st, f)); err != nil {
		return "", err
	}
	filler := filepath.Join(dir, "filler")
	defer os.Remove(filler)
	var want outcome
	for range 10 { // until there is no block left for this either
		if err := fillUp(filler); err != nil {
			return "", err
		}
		if want = op.do(f); want.err != nil {
			break
		}
	}
	got := op.do(r)
	switch {
	case got.err == nil && want.err != nil || !alike(got.err, want.err):
		return fmt.Sprintf("%v; os.File %v", got, want), nil
	case op.name != "View, store":
		// os.File counts nothing of a system call that failed behind one
		// that wrote a part, so more may be there.
		if wrong = arrived(names[0], op.off, got.n, false); wrong != "" {
			return wrong, nil
		}
	}
	if err := os.Remove(filler); err != nil {
		return "", err
	}
	if err := syncFS(dir); err != nil { // btrfs gives blocks back with its next transaction
		return "", err
	}
	got, want = op.do(r), op.do(f)
	if !got.is(want) {
		return fmt.Sprintf("with room again: %v; os.File %v", got, want), nil
	}
	if err := r.Flush(); err != nil {
		return fmt.Sprintf("with room again: %v", err), nil
	}
	return arrived(names[0], op.off, got.n, true), nil
}

// syncFS writes all of the file system that a directory is on.
func syncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// hole makes a file of nothing.
func hole(name string) error {
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(name, holeSize)
}

// warmHole brings a side into the state, as far as that writes nothing.
func warmHole(st state, t target) error {
	if st.name == "new" {
		return nil
	}
	err := mapped(t)
	if st.name == "read" {
		for off := int64(0); off < holeSize; off += 4096 {
			_, e := t.ReadAt(make([]byte, 4096), off)
			err = errors.Join(err, e)
		}
	}
	return err
}

// fillUp takes every block there is.
func fillUp(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for n := 1 << 20; n >= 512; n /= 2 {
		for err == nil {
			_, err = f.Write(make([]byte, n))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		err = nil
	}
	if err := f.Sync(); !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return nil
}

// arrived reports what is wrong with a file of which n bytes were written at an
// offset: these must be there, and none behind if that is all.
func arrived(name string, off, n int64, all bool) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	b = b[min(off, int64(len(b))):]
	want := fill(7, int(n))
	if int64(len(b)) < n || !bytes.Equal(b[:n], want) {
		return fmt.Sprintf("the file has not the %d bytes that were written", n)
	}
	if all && len(bytes.Trim(b[n:], "\x00")) > 0 {
		return fmt.Sprintf("the file has more than the %d bytes that were written", n)
	}
	return ""
}
