//go:build !linux

package sys

import "errors"

// Present is unknown here.
func Present([]byte, []bool) error { return errors.ErrUnsupported }
