//go:build !linux

package sys

import "errors"

// AllocateBlock is not asked for here: who is full says so by [Full].
func AllocateBlock(uintptr, int64) error { return errors.ErrUnsupported }
