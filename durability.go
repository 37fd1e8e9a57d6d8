package mmap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// shrunkError is the error of a Flush after somebody else cut the file.
func shrunkError(size, end int64) error {
	return fmt.Errorf("the file was cut to %d bytes, below byte %d stored to memory: %w", size, end-1, io.ErrUnexpectedEOF)
}

// failure wraps an error for an atomic.Value.
type failure struct{ err error }

// sticky returns the first failure to write.
func (r *Region) sticky() error {
	if f, ok := r.stickyErr.Load().(failure); ok {
		return f.err
	}
	return nil
}

// setSticky keeps err if it says that something written was lost.
func (r *Region) setSticky(err error) {
	switch {
	case err == nil, r.closed.Load(), errors.Is(err, os.ErrClosed), errors.Is(err, errors.ErrUnsupported),
		errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EINTR), sys.NoMemory(err):
		return
	}
	r.stickyErr.CompareAndSwap(nil, failure{err})
}

// checkNotShrunk returns an error if the file ends before end, up to where m was stored
// to, or before what was handed out of the bytes below limit. It holds the
// control lock: our own Truncate moves the ends too.
func (r *Region) checkNotShrunk(m *mapping, end, limit int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return os.ErrClosed
	}
	if m.dirtyEnd != r.dirtyEnd {
		end = min(end, r.size.Load()) // a Truncate of ours came between
	}
	end = max(end, min(r.escapedEnd.Load(), limit))
	info, err := r.fstat()
	if err != nil {
		return err
	}
	if size := r.clampToWindow(info.Size); size < end {
		return shrunkError(size, end)
	}
	return nil
}
