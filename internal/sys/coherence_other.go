//go:build !linux && !darwin && !dragonfly && !freebsd

package sys

import "errors"

// CoherenceOf says that memory needs nothing: nobody tells.
func CoherenceOf(uintptr) Coherence { return Always }

// Reopened is unknown here, and nothing needs it.
func Reopened(uintptr, func(fd uintptr)) error { return errors.ErrUnsupported }
