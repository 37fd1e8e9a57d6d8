package mmap

import (
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// backing is the file behind a Region: what never changes after opening, and
// two things that are learned once. The descriptor is the truth, the memory its
// fast copy: whatever memory does not serve goes through here.
type backing struct {
	descriptor
	name        string
	base        int64  // the file's offset of the Region's byte 0
	window      int64  // its fixed length; 0: it follows the end of the file
	opened      bool   // made by a function of this package; the zero Region was not
	fdWritable  bool   // the descriptor allows writing
	appendMode  bool   // O_APPEND: the descriptor says where a Write goes
	syncWrites  bool   // O_SYNC, O_DSYNC: writes go through the descriptor
	unsized     bool   // not a file with a size: everything goes through the descriptor
	ownOffset   bool   // the descriptor's offset is ours to move
	serve       Access // who serves reads and writes, as the caller wants it
	incoherent  bool   // memory and descriptor may show different bytes
	neverMapped error  // why everything goes through the descriptor; nil: it may be mapped

	member  *membership     // how it counts in the gauges of Stats
	dropped runtime.Cleanup // of a Region that nobody closes

	noCachestat atomic.Bool // the system does not tell what is cached
	noNowait    atomic.Bool // the file cannot be read without waiting
}

// lead returns how many bytes of every mapping lie before the Region's byte 0.
func (b *backing) lead() int64 { return b.base & (granularity - 1) }

// descriptor is the open file of a Region and the system calls that are made
// on it. Each of them holds the file open while it runs, returns
// [os.ErrClosed] after Close, and allocates nothing. Offsets are the file's,
// not the Region's.
type descriptor struct {
	f    *os.File // nil for anonymous memory
	conn syscall.RawConn
	size int64 // of a device that fstat(2) says nothing of, asked at opening
}

// fstat asks for the size and the kind of the file.
func (d *descriptor) fstat() (sys.Info, error) {
	op := newFDOp(fdStat)
	err := d.do(op)
	info := op.info
	op.release()
	if d.size > 0 {
		info.Size = d.size
	}
	return info, err
}

// coherent reports whether memory and descriptor always show the same bytes.
func (d *descriptor) coherent() (is bool) {
	if !sys.RemoteDiffers {
		return sys.Coherent
	}
	return d.withFD(func(fd uintptr) { is = !sys.IsRemote(fd) }) == nil && is
}

// seekable reports whether the file has an offset.
func (d *descriptor) seekable() bool {
	op := newFDOp(fdSeekable)
	err := d.do(op)
	is := op.n == 1
	op.release()
	return is && err == nil
}

// fsync commits all that was written to the file, and its size: see
// sys.SyncFile.
func (d *descriptor) fsync() error {
	op := newFDOp(fdSync)
	err := d.do(op)
	op.release()
	return err
}

// msync commits what was stored to b, whole pages of mapped memory: see
// sys.Sync. The caller keeps b mapped.
func (d *descriptor) msync(b []byte) error {
	op := newFDOp(fdMsync)
	op.b = b
	err := d.do(op)
	op.release()
	return err
}

// startWriteback starts the writing of n bytes at off and does not wait for
// it. b is their memory, which the caller keeps mapped, or nil.
func (d *descriptor) startWriteback(off, n int64, b []byte) error {
	op := newFDOp(fdStartWriteback)
	op.off, op.n, op.b = off, n, b
	err := d.do(op)
	op.release()
	return err
}

// writeBackFrom writes all dirty pages starting at the one with byte off to the
// file system, and waits: see sys.WriteBack.
func (d *descriptor) writeBackFrom(off int64) error {
	op := newFDOp(fdWriteBack)
	op.off = off
	err := d.do(op)
	op.release()
	return err
}

// cachestatFile counts the pages of n bytes at off in the page cache.
func (d *descriptor) cachestatFile(off, n int64) (sys.Cache, error) {
	op := newFDOp(fdCachestat)
	op.off, op.n = off, n
	err := d.do(op)
	c := op.cache
	op.release()
	return c, err
}

// preadNowait reads what the page cache has of len(p) bytes at off: see
// sys.PreadNowait.
func (d *descriptor) preadNowait(p []byte, off int64) (int, error) {
	op := newFDOp(fdPreadNowait)
	op.b, op.off = p, off
	err := d.do(op)
	n := int(op.n)
	op.release()
	return n, err
}

// pread reads what there is of len(p) bytes at off, by one system call where the
// system has one: fewer bytes need not be the end. At the end it returns 0 and
// no error. The error has no name.
func (d *descriptor) pread(p []byte, off int64) (int, error) {
	if !sys.HasPread {
		n, err := d.f.ReadAt(p, off)
		if err == io.EOF {
			err = nil
		}
		return n, underlyingError(err)
	}
	op := newFDOp(fdPread)
	op.b, op.off = p, off
	err := d.do(op)
	n := int(op.n)
	op.release()
	return n, err
}

// withFD runs fn with the descriptor. Anonymous memory has none and gets 0.
func (d *descriptor) withFD(fn func(fd uintptr)) error {
	if d.f == nil {
		fn(0)
		return nil
	}
	if err := sys.Control(d.f, d.conn, fn); err != nil {
		return os.ErrClosed
	}
	return nil
}

// do makes op's call.
func (d *descriptor) do(op *fdOp) error {
	if err := sys.Control(d.f, d.conn, op.fn); err != nil {
		return os.ErrClosed
	}
	return op.err
}

// fdOp is one system call on a descriptor, its arguments and its result.
// RawConn takes a function, and a closure for each call would be allocated; so
// ops are pooled, each with its own.
type fdOp struct {
	kind   fdKind
	b      []byte
	off, n int64 // the reads leave their count in n, fdSeekable 1 for yes
	info   sys.Info
	cache  sys.Cache
	err    error
	fn     func(fd uintptr) // op.call, made once
}

// fdKind says what an fdOp does.
type fdKind uint8

// The calls, each a method of descriptor.
const (
	fdStat fdKind = iota
	fdSync
	fdMsync
	fdStartWriteback
	fdWriteBack
	fdCachestat
	fdPreadNowait
	fdPread
	fdSeekable
)

var fdOps = sync.Pool{New: func() any {
	op := new(fdOp)
	op.fn = op.call
	return op
}}

// newFDOp returns an op without arguments.
func newFDOp(kind fdKind) *fdOp {
	op := fdOps.Get().(*fdOp)
	op.kind = kind
	return op
}

// release puts the op back, with nothing in it that keeps memory alive.
func (op *fdOp) release() {
	*op = fdOp{fn: op.fn}
	fdOps.Put(op)
}

// call makes the system call.
func (op *fdOp) call(fd uintptr) {
	switch op.kind {
	case fdStat:
		op.info, op.err = sys.Stat(fd)
	case fdSync:
		op.err = sys.SyncFile(fd)
	case fdMsync:
		op.err = sys.Sync(fd, op.b)
	case fdStartWriteback:
		op.err = sys.StartWriteback(fd, op.off, op.n, op.b)
	case fdWriteBack:
		op.err = sys.WriteBack(fd, op.off)
	case fdCachestat:
		op.cache, op.err = sys.CacheStat(fd, op.off, op.n)
	case fdPreadNowait:
		var n int
		n, op.err = sys.PreadNowait(fd, op.b, op.off)
		op.n = int64(n)
	case fdPread:
		var n int
		n, op.err = sys.Pread(fd, op.b, op.off)
		op.n = int64(n)
	case fdSeekable:
		if sys.Seekable(fd) {
			op.n = 1
		}
	}
}

// cachestat asks the system what it has cached of [lo, end), in bytes of m's
// memory.
func (r *Region) cachestat(m *mapping, lo, end int64) (sys.Cache, error) {
	return r.cachestatFile(r.base-m.lead+lo, end-lo)
}

// closedOr returns err, or os.ErrClosed once a Close began: what the caller just
// did may be void. It waits for the Close to be done, because after any call
// returned os.ErrClosed no other may succeed. mu is not held.
func (r *Region) closedOr(err error) error {
	if !r.closing.Load() {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return os.ErrClosed
}

// isClosed reports whether the Region is closed. It waits for a Close in
// progress, as closedOr does. mu is not held; who holds it looks at closed.
func (r *Region) isClosed() bool { return r.closedOr(nil) != nil }

// checkValid refuses what no function of this package made, as os.File does.
func (r *Region) checkValid() error {
	if r == nil || !r.opened {
		return os.ErrInvalid
	}
	return nil
}
