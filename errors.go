package mmap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	//   - EIO, ESTALE and others: what reading this byte by the descriptor says
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
