//go:build !linux && !darwin

package sys

import "errors"

// Reserve is unknown here: what there is moves the end of the file.
func Reserve(uintptr, int64, int64) error { return errors.ErrUnsupported }
