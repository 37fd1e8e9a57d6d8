//go:build !linux

package sys

import "errors"

// PreadNowait is not to be had: reading waits.
func PreadNowait(uintptr, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }

// MajorFaults returns 0: nobody tells.
func MajorFaults() int64 { return 0 }
