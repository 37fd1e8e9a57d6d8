//go:build linux && amd64

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/seed-93fed273/mmap"
)

// loadHands is how many goroutines work on each file.
const loadHands = 4 // each may be refused once before it is known, and ask once more to find out what was refused

// TestRefusedOnce: under each filter ordinary calls work, and the library asks for
// what the system refuses once, or once in each goroutine that asks at the same
// time; not once a call, and not once a file.
func TestRefusedOnce(t *testing.T) {
	for _, profile := range []string{"watch", "service", "new", "old"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			got := sandbox(t, "-profile", profile, "-trap", "-most", strconv.Itoa(2*loadHands), "-own", "getrandom,copy_file_range", "-maps", "200",
				"load", t.TempDir())
			if got.status != 0 {
				t.Errorf("status %d:\n%s%s", got.status, got.out, got.err[:min(len(got.err), 4000)])
			}
		})
	}
}

// loadMode is how a file of the load is opened.
type loadMode struct {
	flag   int
	opts   *mmap.Options
	writes bool
}

var loadModes = []loadMode{
	{os.O_RDONLY, nil, false},
	{os.O_RDWR, nil, true},
	{os.O_RDONLY, &mmap.Options{Populate: true}, false},
}

// roleLoad reads, writes and flushes files in a directory: many for a moment, and
// then a few for so long that what the library remembers of them ages.
func roleLoad(args []string) error {
	name := filepath.Join(args[0], "file")
	for range 20 {
		for _, mode := range loadModes {
			if err := loadFile(name, mode, 50, time.Minute); err != nil {
				return err
			}
		}
	}
	for _, mode := range loadModes {
		if err := loadFile(name, mode, 1<<30, 1200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// loadFile makes a file and works on it with several goroutines, each of which
// makes so many calls, or fewer if it takes too long.
func loadFile(name string, mode loadMode, calls int, most time.Duration) error {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	if err := os.WriteFile(name, data, 0o666); err != nil {
		return err
	}
	r, err := mmap.OpenFile(name, mode.flag, 0, mode.opts)
	if err != nil {
		return err
	}
	errs := make([]error, loadHands)
	until := time.Now().Add(most)
	var all sync.WaitGroup
	for i := range loadHands {
		all.Go(func() {
			h := hand{r: r, data: data, rng: rand.New(rand.NewPCG(uint64(i), 1)), buf: make([]byte, 128<<10)}
			for n := 0; n < calls && errs[i] == nil && time.Now().Before(until); n++ {
				errs[i] = h.call(mode.writes)
			}
		})
	}
	all.Wait()
	return errors.Join(append(errs, r.Close())...)
}

// hand is one goroutine of the load.
type hand struct {
	r    *mmap.Region
	data []byte // of the file, at all times
	rng  *rand.Rand
	buf  []byte
}

// call makes one call and checks it. A write puts the bytes that are there.
func (h *hand) call(writes bool) error {
	n := int64(1) << h.rng.IntN(18)
	off := h.rng.Int64N(int64(len(h.data)) - n)
	want := h.data[off : off+n]
	switch what := h.rng.IntN(100); {
	case what < 30 && writes:
		_, err := h.r.WriteAt(want, off)
		return err
	case what < 31 && writes:
		return h.r.Flush()
	case what < 92:
		m, err := h.r.ReadAt(h.buf[:n], off)
		return checkBytes("ReadAt", h.buf[:m], want, err)
	case what < 94:
		return h.r.Prefetch(mmap.Span{Off: off, Len: n})
	default:
		return h.r.View(off, n, func(b []byte) error { return checkBytes("View", b, want, nil) })
	}
}

// checkBytes returns an error unless a call gave the bytes that it was to give.
func checkBytes(call string, got, want []byte, err error) error {
	if err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%s of %d bytes: the bytes are right: %v, %w", call, len(want), bytes.Equal(got, want), errors.Join(err, errWrong))
	}
	return nil
}

// errWrong is wrapped by the error of a call that did not do what it should.
var errWrong = errors.New("wrong result")
