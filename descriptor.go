package mmap

import (
	"os"
	"sync"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// fileOp is one system call on a Region's descriptor, its arguments and its
// result. RawConn takes a function, and a closure for each call would be
// allocated; ops are pooled with theirs.
type fileOp struct {
	fileArgs
	info  sys.Info
	cache sys.Cache
	err   error
	do    func(fd uintptr) // op.call, made once
}

// fileArgs are what a fileOp needs.
type fileArgs struct {
	kind   int
	m      *mapping // keeps b mapped
	b      []byte
	off, n int64
}

// What a fileOp does.
const (
	opStat   = iota // fstat; the size is left in n
	opSync          // sys.SyncFile
	opMsync         // sys.Sync of b
	opStart         // sys.StartWriteback of n bytes from off on
	opBack          // sys.WriteBack from off on
	opCache         // sys.CacheStat of n bytes from off on, left in cache
	opNow           // sys.PreadNowait of b at off; the count is left in n
	opPwrite        // sys.Pwrite of b at off; the count is left in n
)

var fileOps = sync.Pool{New: func() any {
	op := new(fileOp)
	op.do = op.call
	return op
}}

// call makes the system call.
func (op *fileOp) call(fd uintptr) {
	switch op.kind {
	case opStat:
		op.info, op.err = sys.Stat(fd)
		op.n = op.info.Size
	case opSync:
		op.err = sys.SyncFile(fd)
	case opMsync:
		op.err = sys.Sync(fd, op.b)
	case opStart:
		op.err = sys.StartWriteback(fd, op.off, op.n, op.b)
	case opBack:
		op.err = sys.WriteBack(fd, op.off)
	case opCache:
		op.cache, op.err = sys.CacheStat(fd, op.off, op.n)
	case opNow:
		var n int
		n, op.err = sys.PreadNowait(fd, op.b, op.off)
		op.n = int64(n)
	case opPwrite:
		var n int
		n, op.err = sys.Pwrite(fd, op.b, op.off)
		op.n = int64(n)
	}
}

// call makes a system call on the Region's descriptor, which stays open
// meanwhile, and returns what it left in n.
func (r *Region) call(args fileArgs) (int64, error) {
	op := fileOps.Get().(*fileOp)
	op.fileArgs = args
	err := r.run(op)
	n := op.n
	op.fileArgs = fileArgs{}
	fileOps.Put(op)
	return n, err
}

// run makes op's call on the Region's descriptor.
func (r *Region) run(op *fileOp) error {
	op.err = nil
	if err := sys.Control(r.f, r.conn, op.do); err != nil {
		return os.ErrClosed
	}
	return op.err
}

// withFD runs fn with the Region's descriptor, which stays open meanwhile.
// Anonymous memory has none and gets 0.
func (r *Region) withFD(fn func(fd uintptr)) error {
	if r.f == nil {
		fn(0)
		return nil
	}
	if err := sys.Control(r.f, r.conn, fn); err != nil {
		return os.ErrClosed
	}
	return nil
}

// stat asks the descriptor.
func (r *Region) stat() (sys.Info, error) {
	op := fileOps.Get().(*fileOp)
	op.kind = opStat
	err := r.run(op)
	info := op.info
	fileOps.Put(op)
	return info, err
}

// closedOr returns os.ErrClosed if the Region is closed, else err.
func (r *Region) closedOr(err error) error {
	if r.closed.Load() {
		return os.ErrClosed
	}
	return err
}

// cachestat asks the system what it has cached of [lo, end), in bytes of memory.
func (r *Region) cachestat(m *mapping, lo, end int64) (sys.Cache, error) {
	op := fileOps.Get().(*fileOp)
	op.fileArgs = fileArgs{kind: opCache, off: r.base - m.lead + lo, n: end - lo}
	err := r.run(op)
	c := op.cache
	op.fileArgs = fileArgs{}
	fileOps.Put(op)
	return c, err
}
