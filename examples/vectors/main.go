// Vectors finds the nearest of millions of vectors that lie in a file, and uses
// them where they are: as a []float32, without decoding or copying.
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
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-93fed273/mmap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

const usage = `usage: vectors build FILE         (a vector a line, numbers between spaces, from standard input)
       vectors [-k N] nearest FILE NUMBER...`

// errUsage is a call that the program does not know.
var errUsage = errors.New("wrong arguments")

// run is the whole program, and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("vectors", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage) }
	k := flags.Int("k", 3, "how many to find")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	args = flags.Args()
	err := errUsage
	switch {
	case len(args) == 2 && args[0] == "build":
		err = build(args[1], stdin)
	case len(args) > 2 && args[0] == "nearest" && *k > 0:
		err = nearest(ctx, args[1], args[2:], *k, stdout)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, usage)
		return 2
	case errors.Is(err, context.Canceled):
		return 130
	}
	fmt.Fprintln(stderr, "vectors:", err)
	return 1
}

// A file begins with two numbers of 4 bytes, magic and the dimension, and goes
// on with the vectors. All have the byte order of the processor, since they are
// used as they lie; magic is another number where that order is another.
const (
	magic      = 0x56454331
	headerSize = 8
	maxDim     = 1 << 16
)

// parse reads the numbers of a vector.
func parse(words []string) ([]float32, error) {
	v := make([]float32, len(words))
	for i, w := range words {
		f, err := strconv.ParseFloat(w, 32)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("no number: %.40q", w)
		}
		v[i] = float32(f)
	}
	return v, nil
}

// build makes a file of what in says. It appears whole or not at all.
func build(name string, in io.Reader) error {
	r, err := mmap.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(writeVectors(r, in), r.Close())
	if err == nil {
		err = os.Rename(r.Name(), name)
	}
	if err != nil {
		os.Remove(r.Name())
	}
	return err
}

// writeVectors writes the vectors that in says, and makes them durable.
func writeVectors(r *mmap.Region, in io.Reader) error {
	w, lines := bufio.NewWriter(r), bufio.NewScanner(in)
	lines.Buffer(nil, 64*maxDim)
	dim := 0
	for n := 1; lines.Scan(); n++ {
		v, err := parse(strings.Fields(lines.Text()))
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if n == 1 {
			dim = len(v)
			if dim < 1 || dim > maxDim {
				return fmt.Errorf("line 1: %d numbers, want 1 to %d", dim, maxDim)
			}
			if err := binary.Write(w, binary.NativeEndian, []uint32{magic, uint32(dim)}); err != nil {
				return err
			}
		}
		if len(v) != dim {
			return fmt.Errorf("line %d: %d numbers, and %d in the first", n, len(v), dim)
		}
		if err := binary.Write(w, binary.NativeEndian, v); err != nil {
			return err
		}
	}
	if dim == 0 {
		return cmp.Or(lines.Err(), errors.New("no vectors"))
	}
	if err := cmp.Or(lines.Err(), w.Flush()); err != nil {
		return err
	}
	return r.Flush()
}

// vectors is a file of them.
type vectors struct {
	r   *mmap.Region
	dim int
	len int // how many
}

// openVectors opens a file that build has made.
func openVectors(name string) (v vectors, err error) {
	r, err := mmap.Open(name)
	if err != nil {
		return v, err
	}
	err = mmap.ViewSlice(r, 0, 2, func(head []uint32) error {
		v = vectors{r: r, dim: int(head[1])}
		if head[0] != magic || v.dim < 1 || v.dim > maxDim || (r.Size()-headerSize)%int64(4*v.dim) != 0 {
			return fmt.Errorf("%s has no vectors, or those of another byte order", name)
		}
		v.len = int((r.Size() - headerSize) / int64(4*v.dim))
		return nil
	})
	if err != nil {
		r.Close()
	}
	return v, err
}

// hit is a vector and its squared distance.
type hit struct {
	index    int
	distance float64
}

// compare orders hits by distance, and equal ones by where they are.
func (h hit) compare(o hit) int {
	return cmp.Or(cmp.Compare(h.distance, o.distance), cmp.Compare(h.index, o.index))
}

// nearest prints the k vectors that are nearest to the given one.
func nearest(ctx context.Context, name string, words []string, k int, out io.Writer) error {
	want, err := parse(words)
	if err != nil {
		return err
	}
	v, err := openVectors(name)
	if err != nil {
		return err
	}
	defer v.r.Close()
	if len(want) != v.dim {
		return fmt.Errorf("%d numbers given; the vectors have %d", len(want), v.dim)
	}
	hits, err := v.search(ctx, want, k)
	if err != nil {
		return err
	}
	for _, h := range hits {
		if _, err := fmt.Fprintf(out, "%d %g\n", h.index, math.Sqrt(h.distance)); err != nil {
			return err
		}
	}
	return nil
}

// search returns the k nearest, on all cores: each goroutine takes block after
// block and keeps its own best. A block is at most 1 MiB, which ViewSlice brings
// into memory before it calls, so that a slow disk stalls nobody else.
func (v vectors) search(ctx context.Context, want []float32, k int) ([]hit, error) {
	block := max(1, (1<<20)/(4*v.dim))
	var next atomic.Int64
	workers := runtime.GOMAXPROCS(0)
	best, errs := make([][]hit, workers), make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for errs[w] == nil {
				from := int(next.Add(1)-1) * block
				if from >= v.len {
					return
				}
				best[w], errs[w] = v.searchBlock(best[w], from, min(block, v.len-from), want, k)
				errs[w] = cmp.Or(errs[w], ctx.Err())
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	hits := slices.Concat(best...)
	slices.SortFunc(hits, hit.compare)
	return hits[:min(k, len(hits))], nil
}

// searchBlock adds the n vectors from index from on to best, the nearest k so
// far, in order.
func (v vectors) searchBlock(best []hit, from, n int, want []float32, k int) ([]hit, error) {
	off := headerSize + int64(from)*int64(4*v.dim)
	err := mmap.ViewSlice(v.r, off, n*v.dim, func(s []float32) error {
		for i := range n {
			h := hit{from + i, distance(s[i*v.dim:(i+1)*v.dim], want)}
			if len(best) == k && h.compare(best[k-1]) >= 0 {
				continue
			}
			at, _ := slices.BinarySearchFunc(best, h, hit.compare)
			best = slices.Insert(best, at, h)
			best = best[:min(k, len(best))]
		}
		return nil
	})
	return best, err
}

// distance returns the squared distance of two vectors of one length.
func distance(a, b []float32) (sum float64) {
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += d * d
	}
	return sum
}
