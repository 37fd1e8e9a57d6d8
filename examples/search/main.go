// Search finds a text in files of any size, on all cores, without reading them
// into memory of its own.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"

	"github.com/seed-93fed273/mmap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes, those of grep; interrupted is that of a shell.
const (
	found = iota
	notFound
	failed
	interrupted = 130
)

// run is the whole program, and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("search", flag.ContinueOnError)
	flags.SetOutput(stderr)
	workers := flags.Int("workers", runtime.GOMAXPROCS(0), "goroutines that search")
	block := flags.Int64("block", 16<<20, "bytes that one goroutine takes at a time")
	if err := flags.Parse(args); err != nil {
		return failed
	}
	if flags.NArg() < 2 || flags.Arg(0) == "" || *workers < 1 || *block < 1 {
		fmt.Fprintln(stderr, "usage: search [-workers N] [-block BYTES] TEXT FILE...")
		return failed
	}
	code := notFound
	for _, name := range flags.Args()[1:] {
		n, err := search(ctx, name, []byte(flags.Arg(0)), *workers, *block, func(off int64) error {
			_, err := fmt.Fprintf(stdout, "%s:%d\n", name, off)
			return err
		})
		switch {
		case errors.Is(err, context.Canceled):
			return interrupted
		case err != nil:
			fmt.Fprintln(stderr, "search:", err)
			code = failed
		case n > 0 && code == notFound:
			code = found
		}
	}
	return code
}

// part is what the search of one block found, or why it failed.
type part struct {
	offs []int64
	err  error
}

// search calls emit for every offset at which text begins, in order, and
// returns how many there are. Workers goroutines take a block each.
func search(ctx context.Context, name string, text []byte, workers int, block int64, emit func(off int64) error) (count int, err error) {
	r, err := mmap.Open(name)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if err := r.Mapped(); err != nil { // a pipe, a file of /proc: no size to go by
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := make(chan chan part, workers) // in the order of the file; its capacity bounds what is under way
	go func() {
		defer close(parts)
		for off := int64(0); off < r.Size(); off += block {
			one := make(chan part, 1)
			select {
			case parts <- one:
			case <-ctx.Done():
				return
			}
			go func() {
				offs, err := searchBlock(ctx, r, off, block, text)
				one <- part{offs, err}
			}()
		}
	}()
	for one := range parts {
		p := <-one
		if p.err != nil {
			return count, p.err
		}
		for _, off := range p.offs {
			if err := emit(off); err != nil {
				return count, err
			}
			count++
		}
	}
	return count, ctx.Err()
}

// searchBlock returns where text begins in the n bytes from off on. It looks
// len(text)-1 bytes past the block, so that nothing across its end is missed;
// ViewChunks does the same inside.
func searchBlock(ctx context.Context, r *mmap.Region, off, n int64, text []byte) (offs []int64, err error) {
	const piece = 1 << 20
	overlap := int64(len(text) - 1)
	n = min(n+overlap, r.Size()-off)
	err = r.ViewChunks(off, n, max(piece, 2*overlap), overlap, func(at int64, b []byte) error {
		for i := 0; ; i++ {
			j := bytes.Index(b[i:], text)
			if j < 0 {
				return ctx.Err()
			}
			i += j
			offs = append(offs, at+int64(i))
		}
	})
	return offs, err
}
