//go:build !linux

package sys

// EOFPageOf says that all is kept: POSIX leaves open what becomes of bytes stored
// to memory past the end of a file.
func EOFPageOf(uintptr) EOFPage { return EOFPage{KeepsStores: true} }

// IsPseudo is false: those files have no size of their own to read by.
func IsPseudo(uintptr) bool { return false }

// WriteBack does nothing: no file system here sweeps.
func WriteBack(uintptr, int64) error { return nil }
