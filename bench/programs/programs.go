// Package programs are things that real programs do with files, small enough to
// be read, and each written once: against [Source], which a file opened in any
// way can be. So the ways can be compared doing the same work.
//
// A function that makes a file is named Make, and is not measured. All of them
// are deterministic, and check what they read: a way of reading that returns
// something else is an error, not a fast one.
package programs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

// Source is a file open for reading.
type Source interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Viewer is a Source that can show its bytes where they lie. fn must not keep
// them.
type Viewer interface {
	View(off, n int64, fn func(b []byte) error) error
}

// Store is a Source that can be written too. Flush returns when all that was
// written is on stable storage.
type Store interface {
	Source
	io.WriterAt
	Flush() error
}

// errWrong says that a file held something else than was written to it.
var errWrong = errors.New("programs: read something else than was written")

// look calls fn with the bytes [off, off+n) of s: where they lie if s can show
// them, else read into buf, which has room for them.
func look(s Source, off, n int64, buf []byte, fn func(b []byte) error) error {
	if v, ok := s.(Viewer); ok {
		return v.View(off, n, fn)
	}
	b := buf[:n]
	if got, err := s.ReadAt(b, off); got < len(b) {
		return fmt.Errorf("programs: read %d bytes of %d at %d: %w", got, n, off, err)
	}
	return fn(b)
}

// newRand returns random numbers that are the same each time.
func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// workers runs fn in n goroutines, numbered from 0, and returns their errors.
func workers(n int, fn func(worker int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
