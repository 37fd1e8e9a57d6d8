//go:build !linux && !freebsd && !netbsd

package sys

import "errors"

// Evict is unknown here.
func Evict(uintptr, int64, int64) error { return errors.ErrUnsupported }
