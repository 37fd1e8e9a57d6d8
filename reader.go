package mmap

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// ReadAt reads len(p) bytes from offset off on, in bytes, as [os.File.ReadAt]
// does: fewer only with an error, [io.EOF] at the end. The cursor stays where
// it is. It never waits for another call; a page that was cut off, that fails
// or that a Close takes away is what the descriptor says it is.
//
// After an error, p past the returned count may hold anything.
func (r *Region) ReadAt(p []byte, off int64) (int, error) {
	if r == nil {
		return 0, os.ErrInvalid
	}
	m := r.m.Load()
	if m == nil {
		return r.readFallback(p, off, full)
	}
	limit := m.readLimit.Load()
	if uint64(off) > uint64(limit) || int64(len(p)) > limit-off || len(p) > maxCopy {
		return r.readProbed(m, p, off, full)
	}
	old := debug.SetPanicOnFault(true)
	ok := guardedCopy(dataPtr(p), m.addr(off), len(p))
	debug.SetPanicOnFault(old)
	runtime.KeepAlive(m)
	if !ok {
		return r.readMapped(m, p, off, full)
	}
	return len(p), nil
}

// reading says when a read is done.
type reading bool

const (
	full reading = true  // ReadAt: when all of it is read, or at an error
	once reading = false // Read: after one read(2) that returned something
)

// readProbed is ReadAt for what is large or above the limit: from memory if
// all of it is known to be resident. More than a piece the kernel copies as
// fast, without the faults of a first pass, and the collector need not wait.
func (r *Region) readProbed(m *mapping, p []byte, off int64, how reading) (int, error) {
	n := int64(len(p))
	switch {
	case !r.serves(m), !m.backs(off, n), r.effectiveProt()&sys.Read == 0:
		return r.readFallback(p, off, how)
	case r.serve == AccessMemory:
		return r.readPopulated(m, p, off, how)
	case n > maxCopy && !r.memoryOnly(), off+n > m.readLimit.Load() && !r.isResident(m, off, n):
		return r.readFallback(p, off, how)
	}
	return r.readMapped(m, p, off, how)
}

// maxPopulate is how much a read brings in at a time: what comes must not be
// pushed out by what follows before it is copied.
const maxPopulate = 1 << 20

// readPopulated is ReadAt from memory whose pages are brought in inside a
// system call. What cannot be brought in is the descriptor's.
func (r *Region) readPopulated(m *mapping, p []byte, off int64, how reading) (n int, err error) {
	if r.permittedPrefix(off, int64(len(p)), sys.Read) < int64(len(p)) || r.anyReleased(off, int64(len(p))) {
		return r.readFallback(p, off, how)
	}
	if len(p) > maxPopulate && m.overlaps(p, off) {
		return r.readApart(p, func(q []byte) (int, error) { return r.readPopulated(m, q, off, how) })
	}
	for n < len(p) {
		part, at := p[n:min(len(p), n+maxPopulate)], off+int64(n)
		if size := int64(len(part)); at+size > m.readLimit.Load() && !r.isResident(m, at, size) {
			if !r.bringIn(m, at, size) {
				break
			}
			r.markResident(m, at, size)
		}
		c := m.load(part, at, maxCopy)
		r.noteUse(m, at, int64(len(part)))
		n += c
		if c < len(part) {
			m.forget(at, int64(len(part)))
			n -= int(min(int64(n), pageSize)) // if the file was cut, it may end in the last page that came
			break
		}
	}
	runtime.KeepAlive(m)
	if n == len(p) {
		return n, nil
	}
	more, err := r.readFallback(p[n:], off+int64(n), how)
	return n + more, err
}

// readMapped is ReadAt from memory, in pieces, and for what faults there from the
// descriptor.
func (r *Region) readMapped(m *mapping, p []byte, off int64, how reading) (int, error) {
	n := m.load(p, off, maxCopy)
	r.noteUse(m, off, int64(len(p)))
	if n == len(p) {
		return n, nil
	}
	counters.served.Add(1)
	m.forget(off, int64(len(p)))
	// If the file was cut, it may end in the last page that came.
	n -= int(min(int64(n), pageSize))
	more, err := r.readFallback(p[n:], off+int64(n), how)
	return n + more, err
}

// readFallback is ReadAt for all that memory did not serve: what it returns is
// what the descriptor says.
func (r *Region) readFallback(p []byte, off int64, how reading) (int, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	if r.memoryOnly() {
		return r.readMemoryOnly(p, off)
	}
	if off < 0 || len(p) == 0 || r.isClosed() {
		return r.f.ReadAt(p, off)
	}
	if may := r.permittedPrefix(off, int64(len(p)), sys.Read); may < int64(len(p)) {
		n, err := 0, error(nil)
		if may > 0 {
			n, err = r.readFallback(p[:may], off, how)
		}
		return n, firstError(err, wrap("read", r.name, syscall.EACCES))
	}
	if m := r.m.Load(); m != nil && m.overlaps(p, off) {
		return r.readApart(p, func(q []byte) (int, error) { return r.readFallback(q, off, how) })
	}
	r.syncExposed(off, int64(len(p)))
	n, err := r.readWindow(p, off, how)
	size, end := r.size.Load(), off+int64(n)
	switch {
	case r.unsized:
	case end > size, err == io.EOF && end < size:
		r.tryRefreshSize()
	case err == nil:
		r.countFDCall()
		if m := r.m.Load(); m != nil && m.backs(off, int64(n)) {
			r.markResident(m, off, int64(n))
		}
	}
	return n, err
}

// readApart reads into memory apart from p, which may share bytes with what is read,
// and copies what came: a read in pieces would find what it has written.
func (r *Region) readApart(p []byte, read func(q []byte) (int, error)) (int, error) {
	q := make([]byte, len(p))
	n, err := read(q)
	if got := copyChunks(dataPtr(p), dataPtr(q), n, maxCopy); got < n {
		return got, wrap("read", r.name, sys.Fault) // as the kernel says of such a p
	}
	return n, err
}

// readWindow reads from the descriptor, and no further than the window.
func (r *Region) readWindow(p []byte, off int64, how reading) (int, error) {
	if r.window > 0 {
		if off >= r.window {
			return 0, r.eofOrClosed()
		}
		if room := r.window - off; int64(len(p)) > room {
			n, err := r.readFile(p[:room], r.base+off, how)
			if err == nil && int64(n) == room {
				err = io.EOF
			}
			return n, err
		}
	}
	if r.base+off < 0 {
		return 0, r.eofOrClosed()
	}
	return r.readFile(p, r.base+off, how)
}

// maxNowaitRead is up to how many bytes reading in two steps pays. From 64 KiB on
// it gains nothing.
const maxNowaitRead = 32 << 10

// readFile reads from the descriptor at an offset of the file. Once the Region is
// mapped, which says that it is read a lot, it does so in two steps: take what
// is cached and start reading the rest; let other goroutines run, who start
// theirs; and only then wait. That doubles the reads in flight.
func (r *Region) readFile(p []byte, off int64, how reading) (n int, err error) {
	if len(p) <= maxNowaitRead && !r.noNowait.Load() && r.m.Load() != nil {
		now, err := countRead(r.preadNowait(p, off))
		if errors.Is(err, errors.ErrUnsupported) {
			r.noNowait.Store(true)
		}
		n = now
		if err == nil && n == len(p) {
			return n, nil
		}
		r.noteMiss()
		runtime.Gosched()
	}
	var more int
	if how == once {
		more, err = r.readOnce(p[n:], off+int64(n))
	} else {
		more, err = countRead(r.f.ReadAt(p[n:], off+int64(n)))
	}
	return n + more, err
}

// readOnce is one read(2), with the result of [os.File.Read]: a file whose reads are
// short may have more, and may let wait for it.
func (r *Region) readOnce(p []byte, off int64) (int, error) {
	n, err := countRead(r.pread(p, off))
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, wrap("read", r.name, err)
}

// eofOrClosed is io.EOF as long as the Region is open.
func (r *Region) eofOrClosed() error {
	if r.isClosed() {
		return wrap("read", r.name, os.ErrClosed)
	}
	return io.EOF
}

// readMemoryOnly is readSlow for private and anonymous memory: its bytes live in
// memory alone, so the descriptor answers for the size and for errors only.
// Copying page by page finds the exact count.
func (r *Region) readMemoryOnly(p []byte, off int64) (int, error) {
	m := r.m.Load()
	size := r.size.Load()
	switch {
	case r.closing.Load():
		return 0, wrap("read", r.name, r.closedOr(nil))
	case off < 0:
		return 0, &fs.PathError{Op: "readat", Path: r.name, Err: errNegative}
	case len(p) == 0:
		return 0, nil
	case off >= size:
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), size-off)]
	if m.overlaps(want, off) {
		return r.readApart(p, func(q []byte) (int, error) { return r.readMemoryOnly(q, off) })
	}
	if r.f != nil {
		_ = r.bringIn(m, off, int64(len(want))) // what waits, waits there
	}
	n := r.retryAnonymous(len(want), func() int { return m.loadPages(want, off) })
	if r.f != nil && n == len(want) {
		r.markResident(m, off, int64(n))
	}
	switch {
	case n < len(want):
		err := r.diagnose(off+int64(n), sys.Read)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		return n, wrap("read", r.name, err)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// retryAnonymous makes a copy of n bytes, and returns how much of it was done.
// Anonymous memory that faults is tried once more, under mu: on Windows a
// Discard takes its pages away for a moment.
func (r *Region) retryAnonymous(n int, move func() int) int {
	done := move()
	if done < n && r.f == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.closed.Load() {
			done = move()
		}
	}
	return done
}

// loadPages is load in pieces that end where pages end.
func (m *mapping) loadPages(p []byte, off int64) int {
	first := int(min(pageSize-(m.lead+off)&(pageSize-1), int64(len(p))))
	n := m.load(p[:first], off, first)
	if n == first {
		n += m.load(p[first:], off+int64(first), int(pageSize))
	}
	return n
}

// Read reads up to len(p) bytes at the cursor and moves it, as [os.File.Read]
// does: at the end it returns 0, [io.EOF].
func (r *Region) Read(p []byte) (int, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	if len(p) == 0 && r.f != nil {
		return countRead(r.f.Read(p))
	}
	r.cursor.lockForReading()
	if r.cursor.inFD {
		r.cursor.Unlock()
		return r.readAtFDCursor(p)
	}
	var n int
	var err error
	if m, off := r.m.Load(), r.cursor.off; m != nil && int64(len(p)) <= m.readLimit.Load()-off && len(p) <= maxCopy {
		n, err = r.ReadAt(p, off) // from memory
	} else {
		n, err = r.readAtCursor(m, p, off)
	}
	if err != nil && r.moveCursorFor(err) {
		r.cursor.Unlock()
		return r.readAtFDCursor(p)
	}
	r.cursor.off += int64(n)
	r.cursor.Unlock()
	if n > 0 {
		err = nil // it will come again
	}
	return n, err
}

// readAtCursor is ReadAt with one read(2) at most.
func (r *Region) readAtCursor(m *mapping, p []byte, off int64) (int, error) {
	if m == nil {
		return r.readFallback(p, off, once)
	}
	return r.readProbed(m, p, off, once)
}

// readAtFDCursor is Read when the cursor is the descriptor's.
func (r *Region) readAtFDCursor(p []byte) (int, error) {
	if m := r.m.Load(); m != nil && m.contains(p) {
		return r.readApart(p, r.readAtFDCursor)
	}
	if !r.unsized {
		r.syncExposed(0, r.size.Load())
	}
	if r.unsized || r.unrestricted() {
		return countRead(r.f.Read(p))
	}
	r.cursor.Lock() // the place that is looked at must be the one that is read
	defer r.cursor.Unlock()
	at, err := r.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, wrap("read", r.name, underlyingError(err))
	}
	may := r.permittedPrefix(at, int64(len(p)), sys.Read)
	if may == 0 {
		return 0, wrap("read", r.name, syscall.EACCES)
	}
	return countRead(r.f.Read(p[:may]))
}

// ReadByte reads the byte at the cursor. At the end it returns [io.EOF].
func (r *Region) ReadByte() (byte, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	var b [1]byte
	p := b[:]
	r.cursor.lockForReading()
	if m := r.m.Load(); m != nil && !r.cursor.inFD && r.cursor.off < m.readLimit.Load() {
		if m.load(p, r.cursor.off, 1) == 1 {
			r.cursor.off++
			r.cursor.Unlock()
			return p[0], nil
		}
	}
	r.cursor.Unlock()
	return r.readByteSlow()
}

// readByteSlow is ReadByte through Read, whose buffer escapes to the heap.
func (r *Region) readByteSlow() (byte, error) {
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	if n, err := r.Read(buf[:1]); n == 0 {
		return 0, err
	}
	return buf[0], nil
}

// At returns the byte at index i, as an index into a slice does: out of range
// it panics as that would. If the byte cannot be had (cut off, closed, failing
// storage) it panics with a [*FaultError]. Growth of the file is not followed:
// the range is that of [Region.Len].
func (r *Region) At(i int) byte {
	if err := r.checkValid(); err != nil {
		panic(&FaultError{Op: "at", Off: int64(i), Err: err})
	}
	if m := r.m.Load(); m != nil && uint64(i) < uint64(m.readLimit.Load()) {
		var b [1]byte
		if m.load(b[:], int64(i), 1) == 1 {
			return b[0]
		}
	}
	return r.atSlow(i)
}

// atSlow is At for what memory did not serve.
func (r *Region) atSlow(i int) byte {
	if r.isClosed() {
		panic(&FaultError{Op: "at", Path: r.name, Off: int64(i), Err: os.ErrClosed})
	}
	_ = make([]struct{}, r.Len())[i] // panics as a slice does
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	if _, err := r.ReadAt(buf[:1], int64(i)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		panic(&FaultError{Op: "at", Path: r.name, Off: int64(i), Err: underlyingError(err)})
	}
	return buf[0]
}
