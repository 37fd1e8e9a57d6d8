//go:build !linux

package sys

// EOFPageOf knows nothing special.
func EOFPageOf(uintptr) EOFPage { return EOFPage{} }

// AwaitWrites does nothing: where it matters fstat(2) takes the lock of the
// vnode, and so waits itself.
func AwaitWrites(uintptr) {}

// IsPseudo is false: those files have no size of their own to read by.
func IsPseudo(uintptr) bool { return false }

// WriteBack does nothing: no file system here sweeps.
func WriteBack(uintptr, int64) error { return nil }
