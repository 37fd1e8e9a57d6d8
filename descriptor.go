package mmap

import (
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

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

// generated reports whether the file, which says that it has no byte at off,
// has one all the same: it is made up as it is read. Bytes that somebody
// appended meanwhile do not count.
func (d *descriptor) generated(off int64) bool {
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	if n, err := d.pread(buf[:1], off); n == 0 || err != nil {
		return false
	}
	info, err := d.fstat()
	return err == nil && info.Size <= off
}

// fdWrite is a pwrite(2) that tells how much arrived. Each Region has one, and
// the cursor's lock guards it: appending must not cost more than it costs an
// os.File.
type fdWrite struct {
	p     []byte
	off   int64
	n     int
	err   error
	fn    func(fd uintptr) // write, made once
	fd    uintptr          // the descriptor, which is ours while Close is held off
	known bool             // fd is
}

// call writes p at off of the file.
func (w *fdWrite) call(d *descriptor, p []byte, off int64) (int, error) {
	if w.fn == nil {
		w.fn = w.write
	}
	w.p, w.off, w.n = p, off, 0
	err := sys.Control(d.f, d.conn, w.fn)
	w.p = nil
	if err != nil {
		return 0, os.ErrClosed
	}
	return w.n, w.err
}

// write makes the system call.
func (w *fdWrite) write(fd uintptr) {
	w.fd, w.known = fd, true
	w.n, w.err = sys.Pwrite(fd, w.p, w.off)
}
