package mmap

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"sync"
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
	m := r.m.Load()
	if m == nil {
		return r.readSlow(p, off)
	}
	limit := m.limit.Load()
	if uint64(off) > uint64(limit) || int64(len(p)) > limit-off || len(p) > piece {
		return r.readUnseen(m, p, off)
	}
	old := debug.SetPanicOnFault(true)
	ok := guarded(start(p), m.addr(off), len(p))
	debug.SetPanicOnFault(old)
	runtime.KeepAlive(m)
	if !ok {
		return r.readLost(m, p, off)
	}
	return len(p), nil
}

// readUnseen is ReadAt for what is large or above the limit: from memory if
// all of it is known to be resident.
func (r *Region) readUnseen(m *mapping, p []byte, off int64) (int, error) {
	n := int64(len(p))
	if !m.holds(off, n) || r.rights()&sys.Read == 0 || off+n > m.limit.Load() && !r.knowsResident(m, off, n) {
		return r.readSlow(p, off)
	}
	return r.readLost(m, p, off)
}

// readLost is ReadAt from memory, in pieces, and for what faults there from
// the descriptor.
func (r *Region) readLost(m *mapping, p []byte, off int64) (int, error) {
	n := m.load(p, off, piece)
	if n == len(p) {
		return n, nil
	}
	m.lose(off+int64(n), int64(len(p)-n))
	more, err := r.readSlow(p[n:], off+int64(n))
	return n + more, err
}

// readSlow is ReadAt for all that memory did not serve: what it returns is
// what the descriptor says.
func (r *Region) readSlow(p []byte, off int64) (int, error) {
	if r.fixed() {
		return r.readFixed(p, off)
	}
	if off < 0 || len(p) == 0 {
		return r.f.ReadAt(p, off)
	}
	if may := r.allowed(off, int64(len(p)), sys.Read); may < int64(len(p)) {
		n, err := 0, error(nil)
		if may > 0 {
			n, err = r.readSlow(p[:may], off)
		}
		return n, firstError(err, wrap("read", r.name, syscall.EACCES))
	}
	n, err := r.readFile(p, off)
	size, end := r.size.Load(), off+int64(n)
	switch {
	case r.stream:
	case end > size, err == io.EOF && end < size:
		r.notice()
	case err == nil:
		r.missed(n)
		if m := r.m.Load(); m != nil && m.holds(off, int64(n)) {
			r.saw(m, off, int64(n))
		}
	}
	return n, err
}

// readFile reads from the descriptor, and no further than the window.
func (r *Region) readFile(p []byte, off int64) (int, error) {
	if r.window > 0 {
		if off >= r.window {
			return 0, r.orEOF()
		}
		if room := r.window - off; int64(len(p)) > room {
			n, err := r.pread(p[:room], r.base+off)
			if err == nil {
				err = io.EOF
			}
			return n, err
		}
	}
	if r.base+off < 0 {
		return 0, r.orEOF()
	}
	return r.pread(p, r.base+off)
}

// nowaitMost is up to how many bytes reading in two steps pays. From 64 KiB on
// it gains nothing.
const nowaitMost = 32 << 10

// pread reads from the descriptor at an offset of the file. Once the Region is
// mapped, which says that it is read a lot, it does so in two steps: take what
// is cached and start reading the rest; let other goroutines run, who start
// theirs; and only then wait. That doubles the reads in flight.
func (r *Region) pread(p []byte, off int64) (n int, err error) {
	if len(p) <= nowaitMost && !r.waits.Load() && r.m.Load() != nil {
		now, err := r.call(fileArgs{kind: opNow, b: p, off: off})
		if errors.Is(err, errors.ErrUnsupported) {
			r.waits.Store(true)
		}
		n = int(now)
		if err == nil && n == len(p) {
			return n, nil
		}
		runtime.Gosched()
	}
	more, err := r.f.ReadAt(p[n:], off+int64(n))
	return n + more, err
}

// orEOF is io.EOF as long as the Region is open.
func (r *Region) orEOF() error {
	if r.closed.Load() {
		return wrap("read", r.name, os.ErrClosed)
	}
	return io.EOF
}

// readFixed is readSlow for private and anonymous memory: its bytes live in
// memory alone, so the descriptor answers for the size and for errors only.
// Copying page by page finds the exact count.
func (r *Region) readFixed(p []byte, off int64) (int, error) {
	m := r.m.Load()
	size := r.size.Load()
	switch {
	case r.closed.Load():
		return 0, wrap("read", r.name, os.ErrClosed)
	case off < 0:
		return 0, &fs.PathError{Op: "readat", Path: r.name, Err: errNegative}
	case len(p) == 0:
		return 0, nil
	case off >= size:
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), size-off)]
	n := m.loadPages(want, off)
	switch {
	case n < len(want):
		err := r.reason(off+int64(n), sys.Read)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		return n, wrap("read", r.name, err)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// errNegative is what os says of a negative offset.
var errNegative = errors.New("negative offset")

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
	if len(p) == 0 && r.f != nil {
		return r.f.Read(p)
	}
	r.cursor.Lock()
	if r.cursor.inFile {
		r.cursor.Unlock()
		return r.readCursor(p)
	}
	n, err := r.ReadAt(p, r.cursor.off)
	r.cursor.off += int64(n)
	r.cursor.Unlock()
	if n > 0 {
		err = nil // it will come again
	}
	return n, err
}

// readCursor is Read when the cursor is the descriptor's.
func (r *Region) readCursor(p []byte) (int, error) {
	if r.stream || r.unrestricted() {
		return r.f.Read(p)
	}
	at, err := r.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, wrap("read", r.name, bare(err))
	}
	may := r.allowed(at, int64(len(p)), sys.Read)
	if may == 0 {
		return 0, wrap("read", r.name, syscall.EACCES)
	}
	return r.f.Read(p[:may])
}

// ReadByte reads the byte at the cursor. At the end it returns [io.EOF].
func (r *Region) ReadByte() (byte, error) {
	var b [1]byte
	p := b[:]
	r.cursor.Lock()
	if m := r.m.Load(); m != nil && !r.cursor.inFile && r.cursor.off < m.limit.Load() {
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
	buf := bytesPool.Get().(*buffer)
	defer bytesPool.Put(buf)
	_, err := r.Read(buf[:1])
	return buf[0], err
}

// UnreadByte moves the cursor back by one byte, whatever the last call was. At
// the beginning it returns an error wrapping EINVAL.
func (r *Region) UnreadByte() error {
	_, err := r.Seek(-1, io.SeekCurrent)
	return err
}

// Seek sets the cursor, as [os.File.Seek] does with the same limits and
// errors. In a window or private memory offsets count from the Region's first
// byte, and [io.SeekEnd] from its end.
func (r *Region) Seek(offset int64, whence int) (int64, error) {
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if r.cursor.inFile {
		return r.f.Seek(offset, whence)
	}
	at, err := r.seek(offset, whence)
	if err != nil {
		return 0, wrap("seek", r.name, err)
	}
	r.cursor.off = at
	return at, nil
}

// seek finds where Seek leads. Inside the file that is arithmetic; about
// places beyond, the end, and other values of whence, the descriptor is asked.
func (r *Region) seek(offset int64, whence int) (int64, error) {
	if r.closed.Load() {
		return 0, os.ErrClosed
	}
	ours := r.alone && r.base == 0 && r.window == 0 && !r.fixed()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		sum := r.cursor.off + offset
		if offset > 0 && sum < 0 {
			sum = -1
		}
		offset = sum
	case io.SeekEnd:
		if ours {
			return r.f.Seek(offset, whence)
		}
		end, err := r.currentEnd()
		if err != nil {
			return 0, err
		}
		sum := end + offset
		if offset > 0 && sum < 0 {
			sum = -1
		}
		offset = sum
	default:
		if ours {
			return r.f.Seek(offset, whence)
		}
		return 0, syscall.EINVAL
	}
	if ours && uint64(offset) > uint64(r.size.Load()) {
		return r.f.Seek(offset, io.SeekStart)
	}
	if offset < 0 {
		return 0, syscall.EINVAL
	}
	return offset, nil
}

// currentEnd asks the descriptor where the Region ends.
func (r *Region) currentEnd() (int64, error) {
	if r.fixed() {
		return r.size.Load(), nil
	}
	info, err := r.stat()
	return r.visible(info.Size), err
}

// At returns the byte at index i, as an index into a slice does: out of range
// it panics as that would. If the byte cannot be had (cut off, closed, failing
// storage) it panics with a [*FaultError]. Growth of the file is not followed:
// the range is that of [Region.Len].
func (r *Region) At(i int) byte {
	if m := r.m.Load(); m != nil && uint64(i) < uint64(m.limit.Load()) {
		var b [1]byte
		if m.load(b[:], int64(i), 1) == 1 {
			return b[0]
		}
	}
	return r.atSlow(i)
}

// atSlow is At for what memory did not serve.
func (r *Region) atSlow(i int) byte {
	if r.closed.Load() {
		panic(&FaultError{Op: "at", Path: r.name, Off: int64(i), Err: os.ErrClosed})
	}
	_ = make([]struct{}, r.Len())[i] // panics as a slice does
	buf := bytesPool.Get().(*buffer)
	defer bytesPool.Put(buf)
	if _, err := r.readSlow(buf[:1], int64(i)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		panic(&FaultError{Op: "at", Path: r.name, Off: int64(i), Err: bare(err)})
	}
	return buf[0]
}

// bare takes the operation and the file off an error.
func bare(err error) error {
	var named *fs.PathError
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

// buffer is what copies to and from strangers go through: they may hand a
// slice to another goroutine, where no guard stands, or use it as scratch. It
// is as long as what io.Copy takes for an os.File.
type buffer [32 << 10]byte

var bytesPool = sync.Pool{New: func() any { return new(buffer) }}

// WriteTo writes the bytes from the cursor to the end to w and moves the
// cursor, as [os.File.WriteTo] does. Mapped memory itself goes only to those
// who hand it straight to the kernel: files, TCP and Unix connections.
// Regular files are given the descriptor, everyone else copies.
func (r *Region) WriteTo(w io.Writer) (int64, error) {
	inFile, err := r.whereCursor()
	if err != nil {
		return 0, wrap("read", r.name, err)
	}
	if inFile && (r.stream || r.unrestricted()) {
		return r.f.WriteTo(w)
	}
	switch f, ok := w.(*os.File); {
	case ok && regular(f) && r.handsOver():
		return r.handOver(f)
	case ok || socket(w):
		return r.send(w)
	}
	if rf, ok := w.(io.ReaderFrom); ok {
		return rf.ReadFrom(source{r})
	}
	buf := bytesPool.Get().(*buffer)
	defer bytesPool.Put(buf)
	return io.CopyBuffer(w, plainReader{r}, buf[:])
}

// whereCursor reports whether the cursor is the descriptor's.
func (r *Region) whereCursor() (inFile bool, err error) {
	if r.closed.Load() {
		return false, os.ErrClosed
	}
	r.cursor.Lock()
	defer r.cursor.Unlock()
	return r.cursor.inFile, nil
}

// source shows a Region without its WriteTo to a ReadFrom: what is left, its
// descriptor, is what net takes for sendfile.
type source struct{ r *Region }

func (s source) Read(p []byte) (int, error)            { return s.r.Read(p) }
func (s source) SyscallConn() (syscall.RawConn, error) { return s.r.SyscallConn() }

// plainReader shows nothing but Read.
type plainReader struct{ r *Region }

func (s plainReader) Read(p []byte) (int, error) { return s.r.Read(p) }

// regular reports whether f is a regular file.
func regular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// socket reports whether w is a connection of package net that gives what it
// is written straight to the kernel. Asking by name spares the library, and
// all its users, the import of net.
func socket(w io.Writer) bool {
	t := reflect.TypeOf(w)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().PkgPath() != "net" {
		return false
	}
	return t.Elem().Name() == "TCPConn" || t.Elem().Name() == "UnixConn"
}

// handsOver reports whether the descriptor stands for the Region's bytes and
// its offset is ours to move.
func (r *Region) handsOver() bool {
	return sys.Coherent && r.alone && !r.fixed() && r.window == 0 && r.base == 0 && r.unrestricted()
}

// handOver lets the kernel copy from descriptor to descriptor.
func (r *Region) handOver(w *os.File) (int64, error) {
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if r.cursor.inFile {
		return r.f.WriteTo(w)
	}
	if _, err := r.f.Seek(r.cursor.off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.Copy(w, r.f)
	if at, bad := r.f.Seek(0, io.SeekCurrent); bad == nil {
		r.cursor.off = at
	}
	return n, err
}

// sendPiece is how much memory a socket is given at once: more and less are
// both slower.
const sendPiece = 2 << 20

// send writes from memory itself. The kernel answers a page that is not there
// with a short count or EFAULT, never with a signal; what is left then goes
// the way of all readers, and ends with what the descriptor says.
func (r *Region) send(w io.Writer) (total int64, err error) {
	for {
		m, b := r.ahead(sendPiece)
		if len(b) == 0 {
			break
		}
		n, err := w.Write(b)
		runtime.KeepAlive(m)
		n = max(n, 0)
		r.skip(int64(n))
		total += int64(n)
		if errors.Is(err, sys.Fault) || r.closed.Load() {
			break
		}
		if err != nil {
			return total, err
		}
	}
	buf := bytesPool.Get().(*buffer)
	defer bytesPool.Put(buf)
	rest, err := io.CopyBuffer(plainWriter{w}, plainReader{r}, buf[:])
	return total + rest, err
}

// plainWriter shows nothing but Write.
type plainWriter struct{ io.Writer }

// ahead returns the mapped bytes from the cursor on, n at most, and what keeps
// them mapped.
func (r *Region) ahead(n int64) (*mapping, []byte) {
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if !r.cursor.inFile && n > r.size.Load()-r.cursor.off {
		n = r.size.Load() - r.cursor.off
	}
	m, err := r.mapped()
	if err != nil || r.cursor.inFile || n <= 0 {
		return nil, nil
	}
	if off, limit := r.cursor.off, m.extent.Load(); off < limit {
		return m, m.bytes(off, min(n, limit-off))
	}
	return nil, nil
}

// skip moves the cursor on by n bytes.
func (r *Region) skip(n int64) {
	r.cursor.Lock()
	r.cursor.off += n
	r.cursor.Unlock()
}

// SyscallConn returns the descriptor for system calls that package syscall and
// this package do not have; net uses it for sendfile. Its first use moves the
// cursor into the descriptor, for good: from then on Read, Write and Seek are
// the descriptor's. What a callback writes, or cuts off, is to this Region as
// if another process had done it. No lock is held while a callback runs.
//
// The error wraps [errors.ErrUnsupported] for private and anonymous memory,
// for a Region of a part of a file, and for one whose descriptor is a mere
// duplicate.
func (r *Region) SyscallConn() (syscall.RawConn, error) {
	err := r.orClosed(nil)
	if err == nil && (r.fixed() || r.window > 0 || r.base > 0 || !r.alone && !r.stream || !r.unrestricted()) {
		err = errors.ErrUnsupported
	}
	if err != nil {
		return nil, wrap("SyscallConn", r.name, err)
	}
	return rawConn{r}, nil
}

// rawConn is the descriptor's, and moves the cursor at its first use.
type rawConn struct{ r *Region }

// enter moves the cursor into the descriptor.
func (c rawConn) enter() error {
	r := c.r
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if r.closed.Load() {
		return wrap("SyscallConn", r.name, os.ErrClosed)
	}
	if r.cursor.inFile {
		return nil
	}
	if _, err := r.f.Seek(r.cursor.off, io.SeekStart); err != nil {
		return err
	}
	r.cursor.inFile = true
	return nil
}

// leave gives an error of the descriptor its name.
func (c rawConn) leave(err error) error {
	if err != nil {
		err = wrap("SyscallConn", c.r.name, c.r.orClosed(err))
	}
	return err
}

// Control implements [syscall.RawConn].
func (c rawConn) Control(f func(fd uintptr)) error {
	if err := c.enter(); err != nil {
		return err
	}
	return c.leave(c.r.conn.Control(f))
}

// Read implements [syscall.RawConn].
func (c rawConn) Read(f func(fd uintptr) (done bool)) error {
	if err := c.enter(); err != nil {
		return err
	}
	return c.leave(c.r.conn.Read(f))
}

// Write implements [syscall.RawConn].
func (c rawConn) Write(f func(fd uintptr) (done bool)) error {
	if err := c.enter(); err != nil {
		return err
	}
	return c.leave(c.r.conn.Write(f))
}
