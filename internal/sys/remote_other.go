//go:build !windows

package sys

// RemoteDiffers is false: see IsRemote.
const RemoteDiffers = false

// IsRemote is false: on such files too, memory and descriptor are one here, or
// [Coherent] says that they never are.
func IsRemote(uintptr) bool { return false }
