// Ring passes lines from one process to another through a ring buffer in a file
// that both have mapped, without a system call for a line.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-93fed273/mmap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

const usage = `usage: ring make FILE
       ring receive FILE    (lines to standard output until the sender ends)
       ring send FILE       (lines from standard input)`

// errUsage is a call that the program does not know.
var errUsage = errors.New(usage)

// run is the whole program, and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ring", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage) }
	if err := flags.Parse(args); err != nil {
		return 2
	}
	err := errUsage
	if flags.NArg() == 2 {
		switch name := flags.Arg(1); flags.Arg(0) {
		case "make":
			err = makeRing(name)
		case "send":
			err = withRing(name, func(r ring) error { return r.sendLines(ctx, stdin) })
		case "receive":
			err = withRing(name, func(r ring) error { return r.receiveLines(ctx, stdout) })
		}
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, err)
		return 2
	case errors.Is(err, context.Canceled):
		return 130
	}
	fmt.Fprintln(stderr, "ring:", err)
	return 1
}

// head is the beginning of the file. Each counter has a cache line of its own,
// because each is written by one side alone.
type head struct {
	put   atomic.Uint64 // messages ever put in, by the sender
	_     [56]byte
	taken atomic.Uint64 // messages ever taken out, by the receiver
	_     [56]byte
	ended atomic.Uint64 // 1 when the sender has put in its last
	_     [56]byte
}

// message is a line, or a part of one: what does not fit goes on in the next.
type message struct {
	n    uint32 // bytes of text that count
	more uint32 // 1 if the line goes on
	text [248]byte
}

const (
	slots    = 64
	slotsAt  = 4096 // the messages begin here
	fileSize = slotsAt + slots*256
)

// ring is the ring buffer in a file, with one sender and one receiver.
type ring struct {
	head  *head
	slots []message
}

// makeRing makes an empty ring. The zeros of a new file are one.
func makeRing(name string) error {
	r, err := mmap.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(r.Truncate(fileSize), r.Close())
}

// withRing calls fn with the ring of that name. What Pointer and Slice return is
// valid until Close: fn leaves no goroutine behind that uses it.
func withRing(name string, fn func(ring) error) error {
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Size() != fileSize {
		return fmt.Errorf("%s is not a ring", name)
	}
	h, err := mmap.Pointer[head](r, 0)
	if err != nil {
		return err
	}
	s, err := mmap.Slice[message](r, slotsAt, slots)
	if err != nil {
		return err
	}
	return fn(ring{h, s})
}

// wait returns when ready does. It looks again at once for a while, because the
// other side is most often about to come, and then once a millisecond.
func wait(ctx context.Context, ready func() bool) error {
	for tries := 0; !ready(); tries++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if tries < 1000 {
			runtime.Gosched()
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// send puts a message in. The store to put publishes what was written to the
// slot before it.
func (r ring) send(ctx context.Context, text []byte, more bool) error {
	n := r.head.put.Load()
	if err := wait(ctx, func() bool { return n-r.head.taken.Load() < slots }); err != nil {
		return err
	}
	m := &r.slots[n%slots]
	m.n, m.more = uint32(copy(m.text[:], text)), 0
	if more {
		m.more = 1
	}
	r.head.put.Store(n + 1)
	return nil
}

// receive takes a message out and returns a copy of it, or io.EOF after the last.
func (r ring) receive(ctx context.Context) (m message, err error) {
	n := r.head.taken.Load()
	err = wait(ctx, func() bool { return r.head.put.Load() != n || r.head.ended.Load() == 1 })
	if err != nil {
		return message{}, err
	}
	if r.head.put.Load() == n { // ended is stored after the last put
		return message{}, io.EOF
	}
	m = r.slots[n%slots]
	r.head.taken.Store(n + 1)
	if int(m.n) > len(m.text) { // the file is anybody's: believe nothing
		return message{}, fmt.Errorf("message %d is broken: %d bytes", n, m.n)
	}
	return m, nil
}

// sendLines sends the lines of in, and then that this was all.
func (r ring) sendLines(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Bytes()
		for {
			part := line[:min(len(line), len(message{}.text))]
			line = line[len(part):]
			if err := r.send(ctx, part, len(line) > 0); err != nil {
				return err
			}
			if len(line) == 0 {
				break
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	r.head.ended.Store(1)
	return nil
}

// receiveLines prints lines until the sender has ended.
func (r ring) receiveLines(ctx context.Context, out io.Writer) error {
	w := bufio.NewWriter(out)
	for {
		if r.head.put.Load() == r.head.taken.Load() { // nobody likes to wait for lines that are here
			if err := w.Flush(); err != nil {
				return err
			}
		}
		m, err := r.receive(ctx)
		if err == io.EOF {
			return w.Flush()
		}
		if err != nil {
			return errors.Join(w.Flush(), err)
		}
		w.Write(m.text[:m.n]) // Flush says what went wrong
		if m.more == 0 {
			w.WriteByte('\n')
		}
	}
}
