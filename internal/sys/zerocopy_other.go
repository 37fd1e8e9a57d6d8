//go:build !linux

package sys

import "errors"

// CopyRange is unknown here.
func CopyRange(uintptr, int64, uintptr, int64, int64) (int64, error) {
	return 0, errors.ErrUnsupported
}

// Pipe is unknown here.
type Pipe struct{}

// NewPipe is unknown here.
func NewPipe() (*Pipe, error) { return nil, errors.ErrUnsupported }

// Close is unknown here.
func (*Pipe) Close() {}

// Fill is unknown here.
func (*Pipe) Fill(uintptr, int64) (int64, bool, error) { return 0, true, errors.ErrUnsupported }

// Drain is unknown here.
func (*Pipe) Drain(uintptr, int64, int64) (int64, error) { return 0, errors.ErrUnsupported }

// Read is unknown here.
func (*Pipe) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }
