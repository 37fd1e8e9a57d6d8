//go:build linux

// Package linear checks that a Region behaves as an os.File does when several
// goroutines use it at once.
//
// A [Plan] is a small file and a few calls for each of two or three goroutines.
// [Play] makes the calls and records when each began, when it returned, and
// what it returned. [History.Check] then looks for an order of the calls in
// which one goroutine alone would have seen the same results, with the calls
// that did not overlap in time in the order in which they were made. If there
// is such an order the history is linearizable.
//
// The differences from os.File that the library documents are part of the
// model: see model.go for what a Region may not have noticed, and tear.go for
// reads and writes of the same bytes at the same time.
package linear

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/seed-93fed273/mmap"
)

// Kind is the kind of a call.
type Kind uint8

// The calls of the file under test, and those of somebody else who has the same
// file open. OtherRead reads the whole file; it is the last call of a history.
const (
	ReadAt Kind = iota
	WriteAt
	Read
	Write
	Seek
	Truncate
	Size
	Stat
	View
	Close
	OtherWrite
	OtherAppend
	OtherTruncate
	OtherRead
	kinds
)

var kindNames = [kinds]string{
	"ReadAt", "WriteAt", "Read", "Write", "Seek", "Truncate", "Size", "Stat", "View", "Close",
	"another descriptor's WriteAt", "another descriptor's append", "another descriptor's Truncate", "the whole file",
}

// String returns the name of the method.
func (k Kind) String() string { return kindNames[k] }

// writes reports whether such a call changes bytes or the size.
func (k Kind) writes() bool {
	switch k {
	case WriteAt, Write, Truncate, OtherWrite, OtherAppend, OtherTruncate:
		return true
	}
	return false
}

// byCursor reports whether such a call reads or writes at the cursor.
func (k Kind) byCursor() bool { return k == Read || k == Write }

// Call is one call. Offsets and lengths are in units, see [Plan].
type Call struct {
	Kind   Kind
	Off    int  // also the size of a Truncate
	N      int  // of what is read or written
	Whence int  // of a Seek
	Tag    byte // what a write writes; every write of a history has its own
}

// Op is a call that was made.
type Op struct {
	Call
	Goroutine  int
	Begin, End int64 // moments on a clock that all goroutines share
	Got        int64 // the count, the position or the size, in bytes
	Err        string
	Runs       []Run // what was read
}

// Run is so many equal bytes.
type Run struct {
	N   int64
	Tag byte
}

// runsOf returns the runs of b.
func runsOf(b []byte) (runs []Run) {
	for _, c := range b {
		if n := len(runs); n > 0 && runs[n-1].Tag == c {
			runs[n-1].N++
			continue
		}
		runs = append(runs, Run{1, c})
	}
	return runs
}

// String shows a call and what it returned.
func (o Op) String() string {
	text := fmt.Sprintf("%3d-%-3d goroutine %d: %v", o.Begin, o.End, o.Goroutine, o.Kind)
	switch o.Kind {
	case ReadAt, View:
		text += fmt.Sprintf("(%d units at %d)", o.N, o.Off)
	case WriteAt, OtherWrite:
		text += fmt.Sprintf("(%d units of %d at %d)", o.N, o.Tag, o.Off)
	case Read:
		text += fmt.Sprintf("(%d units)", o.N)
	case Write, OtherAppend:
		text += fmt.Sprintf("(%d units of %d)", o.N, o.Tag)
	case Seek:
		text += fmt.Sprintf("(%d, %d)", o.Off, o.Whence)
	case Truncate, OtherTruncate:
		text += fmt.Sprintf("(%d)", o.Off)
	}
	text += fmt.Sprintf(" = %d", o.Got)
	if o.Err != "" {
		text += ", " + o.Err
	}
	for _, r := range o.Runs {
		text += fmt.Sprintf(" %d×%d", r.N, r.Tag)
	}
	return text
}

// The errors of a call, as far as they are compared.
const (
	errEOF    = "EOF"
	errClosed = "closed"
	errCut    = "cut"
	errFault  = "fault"  // of a View: nothing tells why
	errDenied = "denied" // of a View: nothing tells why, so it is taken for that of a store
)

// classify returns what is compared of an error: for a View what it wraps, for
// other calls the operation too.
func classify(kind Kind, err error) string {
	named := new(fs.PathError)
	switch {
	case err == nil:
		return ""
	case err == io.EOF:
		return errEOF
	case kind == View && errors.Is(err, os.ErrClosed):
		return errClosed
	case kind == View && errors.Is(err, io.ErrUnexpectedEOF):
		return errCut
	case kind == View && errors.As(err, new(*mmap.FaultError)) && errors.Is(err, syscall.EFAULT):
		return errFault
	case kind == View && errors.As(err, new(*mmap.FaultError)) && errors.Is(err, syscall.EACCES):
		return errDenied
	case errors.As(err, &named) && named.Err == os.ErrClosed:
		return named.Op + " " + errClosed
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return fmt.Sprintf("%T %v", err, errno)
	}
	return fmt.Sprintf("%T %v", err, err)
}

// closedError is what a call returns after Close.
func closedError(kind Kind) string {
	switch kind {
	case View:
		return errClosed
	case ReadAt:
		return "read " + errClosed
	case WriteAt:
		return "write " + errClosed
	}
	return strings.ToLower(kind.String()) + " " + errClosed
}

// sortOps sorts calls by when they began.
func sortOps(ops []Op) {
	slices.SortFunc(ops, func(a, b Op) int { return cmp.Compare(a.Begin, b.Begin) })
}
