// Table looks numbers up in a sorted file, from any number of goroutines at
// once and without a lock.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seed-93fed273/mmap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

const usage = `usage: table build FILE       (lines "KEY VALUE" from standard input)
       table get FILE KEY...
       table [-readers N] [-n LOOKUPS] bench FILE`

// errUsage is a call that the program does not know.
var errUsage = errors.New(usage)

// run is the whole program, and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage) }
	readers := flags.Int("readers", 64, "goroutines of bench")
	lookups := flags.Int("n", 10_000, "lookups of each")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	verb, name, args := flags.Arg(0), flags.Arg(1), flags.Args()
	err := errUsage
	switch {
	case verb == "build" && len(args) == 2:
		err = build(name, stdin)
	case verb == "get" && len(args) > 2:
		err = withTable(name, func(t table) error { return t.print(args[2:], stdout) })
	case verb == "bench" && len(args) == 2 && *readers > 0 && *lookups > 0:
		err = withTable(name, func(t table) error { return t.bench(ctx, *readers, *lookups, stdout) })
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
	fmt.Fprintln(stderr, "table:", err)
	return 1
}

// rowSize is that of a key and its value, 8 bytes each, in big-endian order.
const rowSize = 16

// row is one entry of a table.
type row struct{ key, value uint64 }

// build makes a table of what in says. The file appears whole or not at all.
func build(name string, in io.Reader) error {
	rows, err := readRows(in)
	if err != nil {
		return err
	}
	r, err := mmap.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(writeRows(r, rows), r.Close())
	if err == nil {
		err = os.Rename(r.Name(), name)
	}
	if err != nil {
		os.Remove(r.Name())
	}
	return err
}

// readRows reads and sorts the rows. A key that is there twice is an error.
func readRows(in io.Reader) (rows []row, err error) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var r row
		var rest string
		if n, _ := fmt.Sscan(lines.Text(), &r.key, &r.value, &rest); n != 2 {
			return nil, fmt.Errorf("line %d is not two numbers: %.80q", len(rows)+1, lines.Text())
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.key, b.key) })
	for i := 1; i < len(rows); i++ {
		if rows[i].key == rows[i-1].key {
			return nil, fmt.Errorf("key %d is there twice", rows[i].key)
		}
	}
	return rows, lines.Err()
}

// writeRows writes the rows and makes them durable.
func writeRows(r *mmap.Region, rows []row) error {
	w := bufio.NewWriter(r)
	for _, row := range rows {
		var b [rowSize]byte
		binary.BigEndian.PutUint64(b[:], row.key)
		binary.BigEndian.PutUint64(b[8:], row.value)
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return r.Flush()
}

// table is a sorted file. Its methods may be called by many goroutines at once:
// ReadAt takes no lock, and after the first few reads makes no system call.
type table struct{ r *mmap.Region }

// withTable calls fn with the table of that name.
func withTable(name string, fn func(table) error) error {
	r, err := mmap.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Size()%rowSize != 0 {
		return fmt.Errorf("%s is not a table: %d bytes", name, r.Size())
	}
	// A search jumps about: reading ahead would be for nothing. It is a hint,
	// and what has no memory needs none.
	if err := r.Advise(0, mmap.ToEnd, mmap.AdviceRandom); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return fn(table{r})
}

// len returns the number of rows.
func (t table) len() int64 { return t.r.Size() / rowSize }

// row reads row i.
func (t table) row(i int64) (row, error) {
	var b [rowSize]byte
	_, err := t.r.ReadAt(b[:], i*rowSize)
	return row{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}, err
}

// get returns the value of a key, by binary search.
func (t table) get(key uint64) (value uint64, ok bool, err error) {
	lo, hi := int64(0), t.len()
	for lo < hi {
		mid := lo + (hi-lo)/2
		r, err := t.row(mid)
		if err != nil {
			return 0, false, err
		}
		switch {
		case r.key == key:
			return r.value, true, nil
		case r.key < key:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, false, nil
}

// print prints the values of keys.
func (t table) print(keys []string, out io.Writer) error {
	for _, s := range keys {
		key, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return fmt.Errorf("no key: %q", s)
		}
		value, ok, err := t.get(key)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("no such key: %d", key)
		}
		if _, err := fmt.Fprintln(out, key, value); err != nil {
			return err
		}
	}
	return nil
}

// bench lets readers goroutines look keys of the table up, n each, and checks
// what they find.
func (t table) bench(ctx context.Context, readers, n int, out io.Writer) error {
	if t.len() == 0 {
		return errors.New("the table is empty")
	}
	errs := make([]error, readers)
	var all sync.WaitGroup
	start := time.Now()
	for i := range readers {
		all.Go(func() { errs[i] = t.lookUp(ctx, n) })
	}
	all.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i] // one is enough to know
	}
	took := time.Since(start)
	_, err := fmt.Fprintf(out, "%d readers, %d lookups each: %v, %.0f lookups a second\n",
		readers, n, took.Round(time.Millisecond), float64(readers)*float64(n)/took.Seconds())
	return err
}

// lookUp reads n rows at random places and looks each key up.
func (t table) lookUp(ctx context.Context, n int) error {
	for i := range n {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		want, err := t.row(rand.Int64N(t.len()))
		if err != nil {
			return err
		}
		value, ok, err := t.get(want.key)
		if err != nil {
			return err
		}
		if !ok || value != want.value {
			return fmt.Errorf("key %d: %d, %t, but the row says %d: the file is not sorted", want.key, value, ok, want.value)
		}
	}
	return nil
}
