package mmap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// FaultError is a touch of mapped memory that the system answered with a
// fault (SIGBUS or SIGSEGV on Unix, an in-page error on Windows). [Region.View]
// returns it and [Region.At] panics with it; every other method asks the
// descriptor instead and returns what that says.
type FaultError struct {
	Op   string // the method: "view" or "at"
	Path string // the name of the file
	Off  int64  // where in the Region, in bytes; exact to the page where the processor tells no more

	// Err says why:
	//   - io.ErrUnexpectedEOF: the file no longer has this byte
	//   - os.ErrClosed: the Region was closed meanwhile
	//   - EACCES: the protection forbids it
	//   - ENOSPC: the store needed a disk block, and there is none
	//   - EIO, ESTALE and others: what reading this byte through the descriptor says
	//   - EFAULT: nothing tells
	Err error
}

// Error describes the fault.
func (e *FaultError) Error() string {
	return fmt.Sprintf("%s %s: fault at byte %d: %v", e.Op, e.Path, e.Off, e.Err)
}

// Unwrap returns e.Err.
func (e *FaultError) Unwrap() error { return e.Err }

// wrap is the one place where an error gets its operation and its file, as
// os.File does it: nil, io.EOF and io.ErrShortWrite pass bare, and so does what
// has them already.
func wrap(op, path string, err error) error {
	if err == nil || err == io.EOF || err == io.ErrShortWrite {
		return err
	}
	var fault *FaultError
	var named *fs.PathError
	if errors.As(err, &fault) || errors.As(err, &named) {
		return err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// firstError returns the first of errs that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// underlyingError takes the operation and the file off an error.
func underlyingError(err error) error {
	var named *fs.PathError
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

// errNegative is what os says of a negative offset.
var errNegative = errors.New("negative offset")

// errAppends is what os says; a descriptor that Map got does not always know.
var errAppends = errors.New("os: invalid use of WriteAt on file opened with O_APPEND")

// ErrNotMapped says that there is no memory to show, or to promise something
// of: the file is served through its descriptor. It wraps [errors.ErrUnsupported].
// Errors that wrap it say the reason, and wrap the system's error if that is
// one.
var ErrNotMapped error = errNotMapped{}

// errNotMapped is the type of ErrNotMapped.
type errNotMapped struct{}

func (errNotMapped) Error() string { return "not mapped" }

func (errNotMapped) Unwrap() error { return errors.ErrUnsupported }

// notMappedError is ErrNotMapped with its reason.
type notMappedError struct{ why error }

func (e *notMappedError) Error() string { return "not mapped: " + e.why.Error() }

func (e *notMappedError) Unwrap() []error { return []error{ErrNotMapped, e.why} }

// notMapped returns err as the reason of an ErrNotMapped. What is no such
// reason, an empty file and a closed Region, stays what it is.
func notMapped(err error) error {
	if err == nil || err == errEmpty || err == os.ErrClosed || errors.Is(err, ErrNotMapped) {
		return err
	}
	return &notMappedError{err}
}

var (
	errEmpty    = fmt.Errorf("no bytes to map: %w", io.ErrUnexpectedEOF)
	errTooLarge = fmt.Errorf("larger than the address space: %w", errors.ErrUnsupported)
)

// errViewOnly is why AccessMemory cannot be had of a file that is mapped
// privately for want of better.
var errViewOnly = errors.New("the file system shares no mappings: memory may differ from what the descriptor reads")

// errGenerated is why a file without a size has no memory.
var errGenerated = errors.New("the file has no size: its bytes are made up as they are read")

// loss is what a cut by somebody else took.
type loss struct {
	size, end int64 // the file was cut to size, and bytes up to end may have been stored
	stored    bool  // there certainly were stores
}

// and returns what an earlier loss, if there was one, and a new one took together.
// What was certainly stored counts for more than what was handed out.
func (l *loss) and(next loss) *loss {
	switch {
	case l == nil || next.stored && !l.stored:
		return &next
	case l.stored && !next.stored:
		return l
	}
	return &loss{min(l.size, next.size), max(l.end, next.end), l.stored}
}

// error returns what Flush says of it.
func (l *loss) error() error {
	if l.stored {
		return fmt.Errorf("the file was cut to %d bytes, below byte %d stored to memory: %w", l.size, l.end-1, io.ErrUnexpectedEOF)
	}
	return warning{fmt.Errorf("the file was cut to %d bytes, below byte %d of memory that was handed out writable; what was stored there, if anything, is lost: %w",
		l.size, l.end-1, io.ErrUnexpectedEOF)}
}

// warning is an error that the next Flush does not repeat.
type warning struct{ error }

func (w warning) Unwrap() error { return w.error }
