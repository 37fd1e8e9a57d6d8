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
		return 0, wrap("read", r.name, bare(err))
	}
	n, err := io.Copy(w, r.f)
	if at, bad := r.f.Seek(0, io.SeekCurrent); bad == nil {
		r.cursor.off = at
	}
	return n, err
}

// sendPiece is how much memory a socket is given at once. More gains nothing, and
// the cursor moves piece by piece.
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
	off := r.cursor.off
	if r.cursor.inFile || off >= r.size.Load() {
		return nil, nil
	}
	m, err := r.mapped()
	if err != nil {
		return nil, nil
	}
	n = r.allowed(off, max(min(n, m.extent.Load()-off), 0), sys.Read)
	if n == 0 {
		return nil, nil
	}
	return m, m.bytes(off, n)
}

// skip moves the cursor on by n bytes.
func (r *Region) skip(n int64) {
	r.cursor.Lock()
	r.cursor.off += n
	r.cursor.Unlock()
}

// ReadFrom writes what src gives until it ends, from the cursor on, and moves
// the cursor, as [os.File.ReadFrom] does. From a regular file the kernel
// copies, where it can; what others read goes through a buffer, because an
// [io.Reader] may use all of a slice as scratch.
func (r *Region) ReadFrom(src io.Reader) (int64, error) {
	if r.stream {
		return r.f.ReadFrom(src)
	}
	if r.handsOver() && !r.appends && fromFile(src) {
		return r.takeOver(src)
	}
	buf := bytesPool.Get().(*buffer)
	defer bytesPool.Put(buf)
	return io.CopyBuffer(writerOnly{r}, src, buf[:])
}

// writerOnly shows nothing but Write.
type writerOnly struct{ r *Region }

func (w writerOnly) Write(p []byte) (int, error) { return w.r.Write(p) }

// fromFile reports whether src is a regular file, or the beginning of one, as
// io.Copy and io.CopyN pass it on: an *os.File, or what package os makes of one
// to hide its WriteTo.
func fromFile(src io.Reader) bool {
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

// takeOver lets the kernel copy from descriptor to descriptor. The size is
// asked for afterwards, so the control lock need not be held meanwhile.
func (r *Region) takeOver(src io.Reader) (int64, error) {
	if r.closed.Load() {
		return r.f.ReadFrom(src)
	}
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if !r.cursor.inFile {
		if _, err := r.f.Seek(r.cursor.off, io.SeekStart); err != nil {
			return 0, wrap("write", r.name, bare(err))
		}
	}
	r.mu.Lock()
	if r.readyTail() {
		defer r.growing.Add(-1)
	}
	r.mu.Unlock()
	n, err := r.f.ReadFrom(src)
	if at, bad := r.f.Seek(0, io.SeekCurrent); bad == nil {
		r.cursor.off = at
	}
	r.noticed()
	return n, err
}
