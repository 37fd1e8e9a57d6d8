//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/seed-93fed273/mmap"
)

// The child of a power cut. It writes to all files at once, in every way that a
// Region has, until the file system gives errors or its standard input ends. A
// crash of it is a failure of the library.

// mostBytes is how long a file may become.
const mostBytes = 1 << 20

// childWriter is that child: of a directory, a mode and a seed.
func childWriter(args []string) error {
	dir, mode := args[0], args[1]
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	var over atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		over.Store(true)
	}()
	var all sync.WaitGroup
	for i := range cutFiles {
		all.Go(func() {
			w := scribe{file: i, mode: mode, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
			if err := w.write(filepath.Join(dir, fmt.Sprint("file", i)), &over); err != nil {
				say("e %d %v", i, err)
			}
		})
	}
	all.Wait()
	return nil
}

// say prints a line in one piece.
func say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }

// scribe writes to one file.
type scribe struct {
	file int
	mode string
	rng  *rand.Rand
	r    *mmap.Region
}

// write writes until there is an error or it is over.
func (w *scribe) write(name string, over *atomic.Bool) (err error) {
	if w.r, err = mmap.OpenFile(name, os.O_RDWR, 0, nil); err != nil {
		return err
	}
	defer w.r.Close()
	for !over.Load() && err == nil {
		switch w.rng.IntN(8) {
		case 0, 1:
			err = w.writeAt(w.rng.Int64N(w.r.Size() + 1))
		case 2:
			err = w.writeAt(w.r.Size())
		case 3:
			err = w.append()
		case 4, 5, 6:
			err = w.store()
		case 7:
			err = w.flush()
		}
	}
	return err
}

// tell says what is about to be written, and returns it.
func (w *scribe) tell(off, n int64) []byte {
	seed := w.rng.Uint64()
	say("w %d %d %d %d", w.file, off, n, seed)
	return fill(seed, int(n))
}

// length makes up how much to write.
func (w *scribe) length() int64 {
	switch w.rng.IntN(10) {
	case 0:
		return 1 + w.rng.Int64N(100_000)
	case 1, 2, 3:
		return 1 + w.rng.Int64N(10_000)
	}
	return 1 + w.rng.Int64N(200)
}

// writeAt writes inside the file, or makes it longer.
func (w *scribe) writeAt(off int64) error {
	n := min(w.length(), mostBytes-off)
	if n <= 0 {
		return nil
	}
	_, err := w.r.WriteAt(w.tell(off, n), off)
	return err
}

// append writes at the cursor.
func (w *scribe) append() error {
	end, err := w.r.Seek(0, io.SeekEnd)
	n := min(w.length(), mostBytes-end)
	if err != nil || n <= 0 {
		return err
	}
	_, err = w.r.Write(w.tell(end, n))
	return err
}

// store stores to memory.
func (w *scribe) store() error {
	size := w.r.Size()
	if size == 0 {
		return nil
	}
	off := w.rng.Int64N(size)
	n := min(w.length(), size-off)
	return w.r.View(off, n, func(b []byte) error {
		copy(b, w.tell(off, n))
		return nil
	})
}

// flush flushes all or a part, and says so when it succeeded.
func (w *scribe) flush() (err error) {
	off, n := int64(0), w.r.Size()
	if n > 0 && w.rng.IntN(2) == 0 {
		off = w.rng.Int64N(n)
		n = 1 + w.rng.Int64N(n-off)
	}
	whole := off == 0 && n == w.r.Size()
	switch {
	case w.mode == modeAsync:
		err = w.r.FlushAsync(off, n)
	case w.mode == modeFlush && whole:
		err = w.r.Flush()
	case w.mode == modeFlush:
		err = w.r.FlushRange(off, n)
	case w.mode != modeNone:
		err = errors.New("no such mode")
	}
	if err == nil {
		say("f %d %d %d %d", w.file, off, n, now())
	}
	return err
}
