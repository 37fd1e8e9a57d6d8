// Tail prints the end of a log and follows it, also when the log is rotated:
// by renaming, or by copying and truncating it in place.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"time"

	"github.com/seed-93fed273/mmap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program, and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tail", flag.ContinueOnError)
	flags.SetOutput(stderr)
	lines := flags.Int("n", 10, "lines to begin with")
	follow := flags.Bool("f", false, "wait for more")
	interval := flags.Duration("interval", time.Second, "how often to look")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 1 || *lines < 0 || *interval <= 0 {
		fmt.Fprintln(stderr, "usage: tail [-n LINES] [-f] [-interval DURATION] FILE")
		return 2
	}
	l, err := openLog(flags.Arg(0), stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "tail:", err)
		return 1
	}
	defer func() { l.r.Close() }()
	err = l.last(*lines)
	if err == nil && *follow {
		err = l.follow(ctx, *interval)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return 130
	case err != nil:
		fmt.Fprintln(stderr, "tail:", err)
		return 1
	}
	return 0
}

// log is a log that is being followed.
type log struct {
	name   string
	r      *mmap.Region
	pos    int64  // printed up to here
	before []byte // the last bytes before pos, to notice that the file is another one
	out    io.Writer
	notes  io.Writer // where rotations are reported
}

// openLog opens the log of that name.
func openLog(name string, out, notes io.Writer) (*log, error) {
	r, err := mmap.Open(name)
	if err != nil {
		return nil, err
	}
	return &log{name: name, r: r, out: out, notes: notes}, nil
}

// last prints the last n lines.
func (l *log) last(n int) error {
	size, err := l.r.Refresh()
	if err != nil {
		return err
	}
	l.pos, err = lineStart(l.r, size, n)
	if err != nil {
		return err
	}
	return l.copyNew()
}

// lineStart returns where the last n lines of the first size bytes begin. It
// reads backwards, so that the size of the log does not matter.
func lineStart(r io.ReaderAt, size int64, n int) (int64, error) {
	var buf [64 << 10]byte
	end := size
	if end > 0 {
		end-- // the newline at the end ends the last line and begins none
	}
	if n == 0 {
		return size, nil
	}
	for end > 0 {
		off := max(0, end-int64(len(buf)))
		b := buf[:end-off]
		got, err := r.ReadAt(b, off)
		if err != nil && err != io.EOF { // at EOF the log was cut just now: what is left will do
			return 0, err
		}
		b = b[:got]
		for i := bytes.LastIndexByte(b, '\n'); i >= 0; i = bytes.LastIndexByte(b[:i], '\n') {
			if n--; n == 0 {
				return off + int64(i) + 1, nil
			}
		}
		end = off
	}
	return 0, nil
}

// follow prints what is added until ctx is done.
func (l *log) follow(ctx context.Context, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := l.look(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// look finds out what has happened to the log since the last time, and prints
// what is new.
func (l *log) look() error {
	size, err := l.r.Refresh()
	if err != nil {
		return err
	}
	same, err := l.unchanged()
	if err != nil {
		return err
	}
	if size < l.pos || !same {
		fmt.Fprintf(l.notes, "tail: %s: truncated\n", l.name)
		l.pos, l.before = 0, nil
	}
	if err := l.copyNew(); err != nil {
		return err
	}
	return l.reopen()
}

// unchanged reports whether the bytes before pos are those that were printed. A
// log that was truncated and has grown past pos again shows by nothing else.
func (l *log) unchanged() (bool, error) {
	b := make([]byte, len(l.before))
	_, err := l.r.ReadAt(b, l.pos-int64(len(b)))
	if err != nil && err != io.EOF {
		return false, err
	}
	return err == nil && bytes.Equal(b, l.before), nil
}

// copyNew prints what lies behind pos. ReadAt sees growth at once, and a cut in
// the middle is an early end.
func (l *log) copyNew() error {
	var buf [64 << 10]byte
	for {
		n, err := l.r.ReadAt(buf[:], l.pos)
		if n > 0 { // a pipe waits for a reader even for nothing
			if _, err := l.out.Write(buf[:n]); err != nil {
				return err
			}
		}
		l.pos += int64(n)
		l.before = append(l.before, buf[:n]...)
		l.before = l.before[max(0, len(l.before)-256):]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// reopen takes the file that has the name now, if that is another one. The old
// one has been printed to its end.
func (l *log) reopen() error {
	now, err := os.Stat(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // renamed, and the new one is not there yet
	}
	if err != nil {
		return err
	}
	was, err := l.r.Stat()
	if err != nil || os.SameFile(was, now) {
		return err
	}
	r, err := mmap.Open(l.name)
	if err != nil {
		return err
	}
	if err := l.copyNew(); err != nil { // what came while we looked
		r.Close()
		return err
	}
	fmt.Fprintf(l.notes, "tail: %s: replaced\n", l.name)
	l.r.Close()
	l.r, l.pos, l.before = r, 0, nil
	return l.copyNew()
}
