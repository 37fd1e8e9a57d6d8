//go:build !linux

package sys

import "errors"

// Block is not asked for here: who is full says so by [Full].
func Block(uintptr, int64) error { return errors.ErrUnsupported }
