package mmap

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"runtime"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// WriteTo writes the bytes from the cursor to the end to w and moves the
// cursor, as [os.File.WriteTo] does. Mapped memory itself goes only to those
// who hand it straight to the kernel: files, TCP and Unix connections.
// Regular files are given the descriptor, everyone else copies.
func (r *Region) WriteTo(w io.Writer) (int64, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	inFile, err := r.cursorInFD()
	if err != nil {
		return 0, wrap("read", r.name, err)
	}
	if inFile && (r.unsized || r.unrestricted()) {
		return r.f.WriteTo(w)
	}
	switch f, ok := w.(*os.File); {
	case ok && isRegular(f) && r.canCopyFD():
		return r.copyFDTo(f)
	case ok || isNetConn(w):
		return r.writeMappedTo(w)
	}
	if rf, ok := w.(io.ReaderFrom); ok {
		return rf.ReadFrom(regionWithoutWriteTo{r})
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	return io.CopyBuffer(w, readerOnly{r}, buf[:])
}

// cursorInFD reports whether the cursor is the descriptor's.
func (r *Region) cursorInFD() (inFile bool, err error) {
	if r.isClosed() {
		return false, os.ErrClosed
	}
	r.cursor.Lock()
	defer r.cursor.Unlock()
	return r.cursor.inFD, nil
}

// regionWithoutWriteTo shows a Region without its WriteTo to a ReadFrom: what is left, its
// descriptor, is what net takes for sendfile.
type regionWithoutWriteTo struct{ r *Region }

func (s regionWithoutWriteTo) Read(p []byte) (int, error)            { return s.r.Read(p) }
func (s regionWithoutWriteTo) SyscallConn() (syscall.RawConn, error) { return s.r.SyscallConn() }

// readerOnly shows nothing but Read.
type readerOnly struct{ r *Region }

func (s readerOnly) Read(p []byte) (int, error) { return s.r.Read(p) }

// isRegular reports whether f is a regular file.
func isRegular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// isNetConn reports whether w is a connection of package net that gives what it
// is written straight to the kernel. Asking by name spares the library, and
// all its users, the import of net.
func isNetConn(w io.Writer) bool {
	t := reflect.TypeOf(w)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().PkgPath() != "net" {
		return false
	}
	return t.Elem().Name() == "TCPConn" || t.Elem().Name() == "UnixConn"
}

// canCopyFD reports whether the descriptor stands for the Region's bytes and
// its offset is ours to move.
func (r *Region) canCopyFD() bool {
	return sys.Coherent && r.ownOffset && !r.memoryOnly() && r.window == 0 && r.base == 0 && r.unrestricted()
}

// copyFDTo lets the kernel copy from descriptor to descriptor.
func (r *Region) copyFDTo(w *os.File) (int64, error) {
	r.cursor.lockForReading()
	defer r.cursor.Unlock()
	if r.cursor.inFD {
		return r.f.WriteTo(w)
	}
	if _, err := r.f.Seek(r.cursor.off, io.SeekStart); err != nil {
		return 0, wrap("read", r.name, underlyingError(err))
	}
	n, err := io.Copy(w, r.f)
	if at, bad := r.f.Seek(0, io.SeekCurrent); bad == nil {
		r.cursor.off = at
	}
	return n, err
}

// sendChunk is how much memory a socket is given at once. More gains nothing, and
// the cursor moves piece by piece.
const sendChunk = 2 << 20

// writeMappedTo writes from memory itself. The kernel answers a page that is not there
// with a short count or EFAULT, never with a signal; what is left then goes
// the way of all readers, and ends with what the descriptor says.
func (r *Region) writeMappedTo(w io.Writer) (total int64, err error) {
	total, err = r.writeMappedPieces(w)
	if err != nil {
		return total, err
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	rest, err := io.CopyBuffer(writerOnly{w}, readerOnly{r}, buf[:])
	return total + rest, err
}

// writeMappedPieces writes from memory as far as it can. Who else reads by the
// cursor waits meanwhile: the bytes are handed on once.
func (r *Region) writeMappedPieces(w io.Writer) (total int64, err error) {
	r.cursor.lend()
	defer r.cursor.takeBack()
	for {
		m, b := r.mappedAtCursor(sendChunk)
		if len(b) == 0 {
			return total, nil
		}
		n, err := w.Write(b)
		runtime.KeepAlive(m)
		n = max(n, 0)
		r.advance(int64(n))
		total += int64(n)
		if errors.Is(err, sys.Fault) || r.isClosed() {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// writerOnly shows nothing but Write.
type writerOnly struct{ io.Writer }

// mappedAtCursor returns the mapped bytes from the cursor on, n at most, and what keeps
// them mapped.
func (r *Region) mappedAtCursor(n int64) (*mapping, []byte) {
	r.cursor.Lock()
	defer r.cursor.Unlock()
	off := r.cursor.off
	if r.cursor.inFD || off >= r.size.Load() {
		return nil, nil
	}
	m, err := r.mapped()
	if err != nil {
		return nil, nil
	}
	n = r.permittedPrefix(off, max(min(n, m.backed.Load()-off), 0), sys.Read)
	if n == 0 {
		return nil, nil
	}
	return m, m.bytes(off, n)
}

// advance moves the cursor on by n bytes.
func (r *Region) advance(n int64) {
	r.cursor.Lock()
	r.cursor.off += n
	r.cursor.Unlock()
}

// ReadFrom writes what src gives until it ends, from the cursor on, and moves
// the cursor, as [os.File.ReadFrom] does. From a regular file the kernel
// copies, where it can; what others read goes through a buffer, because an
// [io.Reader] may use all of a slice as scratch.
func (r *Region) ReadFrom(src io.Reader) (int64, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	inFD, err := r.cursorInFD()
	if r.unsized && inFD || err != nil && r.f != nil && r.base == 0 && r.window == 0 && !r.memoryOnly() {
		return r.f.ReadFrom(src)
	}
	if r.canCopyFD() && !r.appendMode && isOSFile(src) {
		return r.copyFDFrom(src)
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	return io.CopyBuffer(regionWriterOnly{r}, src, buf[:])
}

// regionWriterOnly shows nothing but Write.
type regionWriterOnly struct{ r *Region }

func (w regionWriterOnly) Write(p []byte) (int, error) { return w.r.Write(p) }

// isOSFile reports whether src is a regular file, or the beginning of one, as
// io.Copy and io.CopyN pass it on: an *os.File, or what package os makes of one
// to hide its WriteTo.
func isOSFile(src io.Reader) bool {
	if part, ok := src.(*io.LimitedReader); ok {
		src = part.R
	}
	t := reflect.TypeOf(src)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	f, ok := src.(interface{ Stat() (fs.FileInfo, error) })
	if !ok || t.PkgPath() != "os" {
		return false // what wraps a file may do anything in its Read
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// copyFDFrom lets the kernel copy from descriptor to descriptor. The size is
// asked for afterwards, so the control lock need not be held meanwhile.
func (r *Region) copyFDFrom(src io.Reader) (int64, error) {
	if r.isClosed() {
		return r.f.ReadFrom(src)
	}
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if !r.cursor.inFD {
		if _, err := r.f.Seek(r.cursor.off, io.SeekStart); err != nil {
			return 0, wrap("write", r.name, underlyingError(err))
		}
	}
	r.mu.Lock()
	if r.prepareExtend(-1) {
		defer r.pendingExtends.Add(-1)
	}
	r.mu.Unlock()
	n, err := r.f.ReadFrom(src)
	if at, bad := r.f.Seek(0, io.SeekCurrent); bad == nil {
		r.cursor.off = at
	}
	r.refreshSize()
	return n, err
}
