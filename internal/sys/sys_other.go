//go:build !unix && !windows

package sys

import (
	"errors"
	"os"
)

// This system maps no files: the descriptor does everything.
const (
	Mappable   = false
	PastEnd    = false
	HoldsSize  = false
	Coherent   = true // there is no memory to differ
	SyncsFile  = false
	Direct     = 0
	DataSync   = 0
	allAccess  = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
	unknownWay = allAccess // no way that a file can be opened
)

// PageSize returns the size of a page in bytes, as far as there are pages.
func PageSize() int { return os.Getpagesize() }

// Granularity is a page.
func Granularity() int { return os.Getpagesize() }

// MaxMaps is 0: none.
func MaxMaps() int { return 0 }

// AddressSpace is 0: none for mappings.
func AddressSpace() uint64 { return 0 }

// Reopen opens f's name, while it is the same file's: a descriptor cannot be
// duplicated here without sharing the offset, nor opened anew.
func Reopen(f *os.File) (own *os.File, flag int, alone bool, err error) {
	want, err := f.Stat()
	if err != nil {
		return nil, 0, false, bare(err)
	}
	flag = openFlags(f)
	if !want.Mode().IsRegular() || flag == unknownWay {
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

// bare takes operation and name off an error of os.
func bare(err error) error {
	var named *os.PathError
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

// access makes the flag of os.OpenFile of what can be done with f.
func access(f *os.File, read, write bool) int {
	flag := unknownWay
	switch {
	case read && write:
		flag = os.O_RDWR
	case write:
		flag = os.O_WRONLY
	case read:
		flag = os.O_RDONLY
	}
	// Nothing is written, and an appending file refuses even that.
	if _, err := f.WriteAt(nil, 0); err != nil && flag != unknownWay {
		flag |= os.O_APPEND
	}
	return flag
}

// The verbs of memory, none of which exists here.

func Map(uintptr, int64, int, Prot, Flag, uintptr) ([]byte, error) {
	return nil, errors.ErrUnsupported
}
func Revoke([]byte) error         { return errors.ErrUnsupported }
func Release([]byte) error        { return errors.ErrUnsupported }
func Unmap([]byte) error          { return errors.ErrUnsupported }
func Protect([]byte, Prot) error  { return errors.ErrUnsupported }
func Populate([]byte, bool) error { return errors.ErrUnsupported }
func Lock([]byte) error           { return errors.ErrUnsupported }
func Unlock([]byte) error         { return errors.ErrUnsupported }
func HugePages([]byte) error      { return errors.ErrUnsupported }
func Sync(uintptr, []byte) error  { return errors.ErrUnsupported }
func Advise([]byte, Advice) error { return errors.ErrUnsupported }
func Drop([]byte) error           { return errors.ErrUnsupported }

func Resident([]byte, []bool) error { return errors.ErrUnsupported }

// The verbs of files that do not exist here either.

func Knows(Advice) bool                                  { return false }
func StartSync(uintptr, int64, int64, []byte) error      { return errors.ErrUnsupported }
func Full(uintptr) bool                                  { return false }
func CacheStat(uintptr, int64, int64) (c Cache, e error) { return c, errors.ErrUnsupported }
func Allocate(uintptr, int64, int64) error               { return errors.ErrUnsupported }
func Punch(uintptr, int64, int64) error                  { return errors.ErrUnsupported }
func Memory(string, int64) (*os.File, error)             { return nil, errors.ErrUnsupported }
func Seal(uintptr, Seals) error                          { return errors.ErrUnsupported }
