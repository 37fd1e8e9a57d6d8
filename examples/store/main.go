// Store keeps short texts by number in a file, so that what it has acknowledged
// survives a kill and a power failure at any moment.
//
// A record has two slots. A new version goes into the slot that does not hold
// the current one, and is acknowledged when it has been flushed; whoever reads
// takes the newest slot whose checksum is right. So a write that is torn costs
// nothing but itself, and there is nothing to repair at the start.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/seed-93fed273/mmap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

const usage = `usage: store FILE get NUMBER
       store FILE set NUMBER TEXT
       store FILE load     (lines "NUMBER TEXT" from standard input;
                            each number is printed when it is durable)`

// errUsage is a call that the program does not know.
var errUsage = errors.New(usage)

// run is the whole program, and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("store", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage) }
	if err := flags.Parse(args); err != nil {
		return 2
	}
	err := command(ctx, flags.Args(), stdin, stdout)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, err)
		return 2
	case errors.Is(err, context.Canceled):
		return 130
	}
	fmt.Fprintln(stderr, "store:", err)
	return 1
}

// command does what the arguments say.
func command(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) (err error) {
	if len(args) < 2 {
		return errUsage
	}
	name, verb, args := args[0], args[1], args[2:]
	number := int64(0)
	if len(args) > 0 {
		if number, err = parseNumber(args[0]); err != nil {
			return err
		}
	}
	switch {
	case verb == "get" && len(args) == 1:
		return withStore(name, os.O_RDONLY, func(s store) error {
			text, err := s.get(number)
			if err == nil {
				_, err = fmt.Fprintln(stdout, text)
			}
			return err
		})
	case verb == "set" && len(args) == 2:
		return withStore(name, os.O_RDWR|os.O_CREATE, func(s store) error { return s.set(number, args[1]) })
	case verb == "load" && len(args) == 0:
		return withStore(name, os.O_RDWR|os.O_CREATE, func(s store) error { return s.load(ctx, stdin, stdout) })
	}
	return errUsage
}

// parseNumber reads the number of a record.
func parseNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxNumber {
		return 0, fmt.Errorf("no record number: %q", s)
	}
	return n, nil
}

// withStore calls fn with the store of that name.
func withStore(name string, flag int, fn func(store) error) error {
	r, err := mmap.OpenFile(name, flag, 0o666, nil)
	if err != nil {
		return err
	}
	return errors.Join(fn(store{r}), r.Close())
}

// A slot is a version (8 bytes), the length of the text (2), the text, and the
// checksum of all that (4). A slot of zeros is empty.
const (
	slotSize  = 128
	textAt    = 10
	sumAt     = slotSize - 4
	maxText   = sumAt - textAt
	maxNumber = 1<<30 - 1 // 256 GiB, most of it a hole
)

// store is a file of records of two slots. One process writes; others may read.
type store struct{ r *mmap.Region }

// slot is what a slot holds.
type slot struct {
	version uint64 // 0: nothing
	text    string
}

// errNone says that a record has never been set.
var errNone = errors.New("no such record")

// decode returns what b holds: nothing if it is empty or torn.
func decode(b []byte) slot {
	n := int(binary.LittleEndian.Uint16(b[8:]))
	if n > maxText || crc32.ChecksumIEEE(b[:sumAt]) != binary.LittleEndian.Uint32(b[sumAt:]) {
		return slot{}
	}
	return slot{binary.LittleEndian.Uint64(b), string(b[textAt : textAt+n])}
}

// encode is the reverse of decode.
func (s slot) encode() (b [slotSize]byte) {
	binary.LittleEndian.PutUint64(b[:], s.version)
	binary.LittleEndian.PutUint16(b[8:], uint16(len(s.text)))
	copy(b[textAt:], s.text)
	binary.LittleEndian.PutUint32(b[sumAt:], crc32.ChecksumIEEE(b[:sumAt]))
	return b
}

// newest returns the current version of a record, and where it is.
func (s store) newest(number int64) (now slot, which int64, err error) {
	var b [2 * slotSize]byte
	_, err = s.r.ReadAt(b[:], number*2*slotSize)
	if err != nil && err != io.EOF { // past the end there are zeros to come
		return slot{}, 0, err
	}
	first, second := decode(b[:slotSize]), decode(b[slotSize:])
	if first.version > second.version {
		return first, 0, nil
	}
	return second, 1, nil
}

// get returns the text of a record.
func (s store) get(number int64) (string, error) {
	now, _, err := s.newest(number)
	if err == nil && now.version == 0 {
		err = fmt.Errorf("%d: %w", number, errNone)
	}
	return now.text, err
}

// set gives a record a text. Once it returned nil, the text is durable; if it
// fails or is killed, the record has either the old text or the new one.
func (s store) set(number int64, text string) error {
	if len(text) > maxText {
		return fmt.Errorf("%d: a text of %d bytes; there is room for %d", number, len(text), maxText)
	}
	now, which, err := s.newest(number)
	if err != nil {
		return err
	}
	b := slot{now.version + 1, text}.encode()
	off := (number*2 + 1 - which) * slotSize
	if _, err := s.r.WriteAt(b[:], off); err != nil {
		return err
	}
	return s.r.FlushRange(off, slotSize)
}

// load sets what the lines of in say, and acknowledges each to out.
func (s store) load(ctx context.Context, in io.Reader, out io.Writer) error {
	lines, failed := readLines(ctx, in)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case line, ok := <-lines:
			if !ok {
				return <-failed
			}
			if err := s.loadLine(line, out); err != nil {
				return err
			}
		}
	}
}

// loadLine sets what one line says.
func (s store) loadLine(line string, out io.Writer) error {
	word, text, _ := strings.Cut(line, " ")
	number, err := parseNumber(word)
	if err != nil {
		return err
	}
	if err := s.set(number, text); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, number)
	return err
}

// readLines sends the lines of in until ctx is done, and at the end an error or
// nil. It is a goroutine of its own because a read cannot be interrupted.
func readLines(ctx context.Context, in io.Reader) (<-chan string, <-chan error) {
	lines, failed := make(chan string), make(chan error, 1)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
		failed <- scanner.Err()
	}()
	return lines, failed
}
