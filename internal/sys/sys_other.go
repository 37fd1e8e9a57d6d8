//go:build !unix && !windows

package sys

import (
	"errors"
	"os"
)

// This system maps no files: the descriptor does everything.
const (
	Mappable        = false
	MapsPastEOF     = false
	MappingPinsSize = false
	AppendWrites    = false
	PopulateStores  = true
	Coherent        = true // there is no memory to differ
	// SyncFileCoversMemory: fsync(2) writes out what was stored to mappings.
	SyncFileCoversMemory = true
	Direct               = 0
	DataSync             = 0
)

// PageSize returns the size of a page in bytes, as far as there are pages.
func PageSize() int { return os.Getpagesize() }

// Granularity is a page.
func Granularity() int { return os.Getpagesize() }

// MaxMaps is 0: none.
func MaxMaps() int { return 0 }

// AddressSpace is 0: none for mappings.
func AddressSpace() uint64 { return 0 }

// Reopen opens f's name while it is the same file's: there is no way from a
// descriptor to another one.
func Reopen(f *os.File) (own *os.File, flag int, alone bool, err error) {
	want, err := f.Stat()
	if err != nil {
		return nil, 0, false, bare(err)
	}
	flag, known := openFlags(f)
	if !want.Mode().IsRegular() || !known {
		return nil, 0, false, errors.ErrUnsupported
	}
	own, err = os.OpenFile(f.Name(), flag, 0)
	if err != nil {
		return nil, 0, false, errors.ErrUnsupported
	}
	got, err := own.Stat()
	if err != nil || !os.SameFile(want, got) {
		own.Close()
		return nil, 0, false, errors.ErrUnsupported
	}
	return own, flag, true, nil
}

// OpenFlags says how f was opened, as Reopen does, and opens nothing.
func OpenFlags(f *os.File) (flag int, err error) {
	if _, err := f.Stat(); err != nil {
		return 0, bare(err)
	}
	flag, known := openFlags(f)
	if !known {
		return 0, errors.ErrUnsupported
	}
	return flag, nil
}

// bare takes operation and name off an error of os.
func bare(err error) error {
	var named *os.PathError
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

// access makes the flag of os.OpenFile of what can be done with f. A write of
// nothing tells whether f appends: os refuses WriteAt then.
func access(f *os.File, read, write bool) (flag int, known bool) {
	switch {
	case read && write:
		flag = os.O_RDWR
	case write:
		flag = os.O_WRONLY
	case !read:
		return 0, false
	}
	if _, err := f.WriteAt(nil, 0); err != nil {
		flag |= os.O_APPEND
	}
	return flag, true
}

// Map is unknown here, and so is every verb of memory.
func Map(uintptr, int64, int, Prot, Flag, uintptr) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Revoke is unknown here.
func Revoke([]byte) error { return errors.ErrUnsupported }

// RevokePart is unknown here.
func RevokePart([]byte) error { return errors.ErrUnsupported }

// Unmap is unknown here.
func Unmap([]byte) error { return errors.ErrUnsupported }

// Protect is unknown here.
func Protect([]byte, Prot) error { return errors.ErrUnsupported }

// Populate is unknown here.
func Populate([]byte, bool) error { return errors.ErrUnsupported }

// Lock is unknown here.
func Lock([]byte) error { return errors.ErrUnsupported }

// Unlock is unknown here.
func Unlock([]byte) error { return errors.ErrUnsupported }

// Sync is unknown here; see SyncFile.
func Sync(uintptr, []byte) error { return errors.ErrUnsupported }

// SyncMemory is unknown here.
func SyncMemory([]byte) error { return errors.ErrUnsupported }

// StartWriteback does nothing, as it may: the system writes in its own time.
func StartWriteback(uintptr, int64, int64, []byte) error { return nil }

// DiskFull is false: the system does not tell.
func DiskFull(uintptr) bool { return false }

// HasAdvice is false: there is no memory to advise on.
func HasAdvice(Advice) bool { return false }

// Advise is unknown here.
func Advise([]byte, Advice) error { return errors.ErrUnsupported }

// Resident is unknown here.
func Resident([]byte, []bool) error { return errors.ErrUnsupported }

// CacheStat is unknown here.
func CacheStat(uintptr, int64, int64) (Cache, error) { return Cache{}, errors.ErrUnsupported }

// Allocate is unknown here.
func Allocate(uintptr, int64, int64) error { return errors.ErrUnsupported }

// PunchHole is unknown here.
func PunchHole(uintptr, int64, int64) error { return errors.ErrUnsupported }

// DiscardPages is unknown here.
func DiscardPages([]byte, Prot, bool) error { return errors.ErrUnsupported }

// NewMemFile is unknown here.
func NewMemFile(string, int64) (*os.File, error) { return nil, errors.ErrUnsupported }

// Seal is unknown here.
func Seal(uintptr, Seals) error { return errors.ErrUnsupported }
