//go:build !linux

package sys

import "errors"

// PreadNowait is not to be had: reading waits.
func PreadNowait(uintptr, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }

// LookForFilter does nothing: only Linux filters system calls in a way that
// ends the process.
func LookForFilter() {}
