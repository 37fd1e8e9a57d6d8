//go:build !unix

package sys

import "errors"

// HasPread is false: a file on a disk is never read in part here, so ReadAt of
// os does as well.
const HasPread = false

// Pread is unknown here.
func Pread(uintptr, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }
