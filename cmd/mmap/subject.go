package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap"
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
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file: it cannot be mapped and read at any place", name)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty: reads at a place, sequential reads and View cannot be measured without bytes", name)
	}
	f, err := os.Open(name)
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

// handle is what is measured of *os.File and *mmap.Region alike.
type handle interface {
	io.ReadSeeker
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// side is one of the two that are compared.
type side int

// The sides.
const (
	osFile side = iota
	region
)

// open opens the file for one side.
func (s *subject) open(by side, flag int) (handle, error) {
	if by == osFile {
		return os.OpenFile(s.name, flag, 0)
	}
	return mmap.OpenFile(s.name, flag, 0, nil)
}

// pair is the file opened both ways.
type pair [2]handle

// openPair opens the file both ways.
func (s *subject) openPair(flag int) (p pair, err error) {
	for by := range p {
		if p[by], err = s.open(side(by), flag); err != nil {
			p.close()
			return pair{}, err
		}
	}
	return p, nil
}

// close closes what is open of the pair.
func (p pair) close() {
	for _, h := range p {
		if h != nil {
			h.Close()
		}
	}
}

// shorter says that a file ended before its time.
func (s *subject) shorter(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &os.PathError{Op: "read", Path: s.name, Err: fmt.Errorf("the file became shorter meanwhile: %w", syscall.EIO)}
	}
	return err
}
