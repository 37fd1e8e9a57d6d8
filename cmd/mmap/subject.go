package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/seed-93fed273/mmap"
	expmmap "golang.org/x/exp/mmap"
)

// subject is the file under measurement.
type subject struct {
	name string
	size int64 // of the file
	used int64 // its first bytes, which are all that is measured
	made bool  // by us: it may be written to, and is removed in the end
}

// findSubject looks at the user's file and uses limit bytes of it at most.
func findSubject(name string, limit int64) (*subject, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory: give the name of a file", name)
	}
	if err := refuse(name, info); err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%s is empty: there is nothing to read", name)
	}
	f, info, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	f.Close()
	return &subject{name: name, size: info.Size(), used: min(info.Size(), limit)}, nil
}

// makeSubject makes a file of size pseudo-random bytes in dir, on disk.
func makeSubject(ctx context.Context, dir string, size int64) (*subject, error) {
	f, err := os.CreateTemp(dir, "mmap-bench-")
	if err != nil {
		return nil, err
	}
	s := &subject{name: f.Name(), size: size, used: size, made: true}
	err = fill(ctx, f, size)
	if err == nil {
		err = f.Sync()
	}
	if bad := f.Close(); err == nil {
		err = bad
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// fill writes size pseudo-random bytes to w.
func fill(ctx context.Context, w io.Writer, size int64) error {
	p, random := make([]byte, miB), rand.NewChaCha8([32]byte{})
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		p = p[:min(size, miB)]
		random.Read(p)
		n, err := w.Write(p)
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// remove removes the file, if it was made here.
func (s *subject) remove() error {
	if !s.made {
		return nil
	}
	return os.Remove(s.name)
}

// shorter says that a file ended before its time.
func (s *subject) shorter(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &os.PathError{Op: "read", Path: s.name, Err: fmt.Errorf("the file became shorter meanwhile: %w", syscall.EIO)}
	}
	return err
}

// handle is what all sides can do.
type handle interface {
	io.ReaderAt
	io.Closer
}

// file is what *os.File and *mmap.Region can do besides.
type file interface {
	handle
	io.ReadSeeker
	io.WriterAt
}

// side is one of those that are compared.
type side int

// The sides. All can read at a place; the first two can do the rest.
const (
	osFile side = iota
	region
	expMmap
	allSides = 3
)

// String names the side, as the table does.
func (by side) String() string { return [...]string{"os.File", "Region", "x/exp/mmap"}[by] }

// open opens the file for one side.
func (s *subject) open(by side, flag int) (handle, error) {
	switch by {
	case osFile:
		return os.OpenFile(s.name, flag, 0)
	case region:
		return mmap.OpenFile(s.name, flag, 0, nil)
	}
	return expmmap.Open(s.name)
}

// handles is the file opened by several sides, in their order.
type handles []handle

// close closes them.
func (set handles) close() {
	for _, h := range set {
		h.Close()
	}
}

// unfaulted runs fn, in which x/exp/mmap reads, and makes an error of a fault:
// that is what a file that became shorter does to it.
func unfaulted(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch bad := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			err = io.ErrUnexpectedEOF
		default:
			panic(bad)
		}
	}()
	return fn()
}
