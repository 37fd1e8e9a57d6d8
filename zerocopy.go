package mmap

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"reflect"
	"runtime"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// WriteTo writes the bytes from the cursor to the end to w and moves the
// cursor, as [os.File.WriteTo] does. Mapped memory itself goes only to those
// who hand it straight to the kernel: files, TCP and Unix connections.
// Regular files and other Regions are given the descriptor, so that the kernel
// copies, everyone else copies.
//
// If w fails the cursor is behind what w said to have taken, where the kernel
// copies or w is given memory; with any other w up to 32 KiB more may have been
// read, as with an [os.File].
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
	if dst, ok := w.(*Region); ok && dst != nil {
		return dst.copyRegion(r, math.MaxInt64)
	}
	if rf, ok := w.(io.ReaderFrom); ok {
		return rf.ReadFrom(regionWithoutWriteTo{r})
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	return io.CopyBuffer(w, readerOnly{r}, buf[:])
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

// isNetConn reports whether c is a stream of package net, or what net makes of one
// to hide its WriteTo: it gives what it is written straight to the kernel, and
// has a descriptor. Asking by name spares the library, and all its users, the
// import of net.
func isNetConn(c any) bool {
	t := reflect.TypeOf(c)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.PkgPath() != "net" {
		return false
	}
	switch t.Name() {
	case "TCPConn", "UnixConn", "tcpConnWithoutWriteTo":
		return true
	}
	return false
}

// canCopyFD reports whether the descriptor stands for the Region's bytes and
// its offset is ours to move.
func (r *Region) canCopyFD() bool {
	return !r.incoherent && r.ownOffset && !r.memoryOnly() && r.window == 0 && r.base == 0 && r.unrestricted()
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
		if err == nil && at != r.size.Load() {
			r.refreshSize() // it ended elsewhere than was known
		}
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
		n = min(max(n, 0), len(b))
		r.advance(int64(n))
		total += int64(n)
		if sys.IsFault(err) || r.isClosed() || err == nil && n < len(b) {
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
	if r.cursor.inFD || !r.upToDate() || off >= r.size.Load() {
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

// fileAtCursor returns where the cursor is, and how many bytes of the file follow,
// n at most.
func (r *Region) fileAtCursor(n int64) (off, there int64) {
	r.cursor.Lock()
	defer r.cursor.Unlock()
	if off = r.cursor.off; r.cursor.inFD {
		return off, 0
	}
	if off >= r.size.Load() {
		r.refreshSize()
	}
	return off, max(min(n, r.size.Load()-off), 0)
}

// advance moves the cursor on by n bytes.
func (r *Region) advance(n int64) {
	r.cursor.Lock()
	r.cursor.off += n
	r.cursor.Unlock()
}

// ReadFrom writes what src gives until it ends, from the cursor on, and moves
// the cursor, as [os.File.ReadFrom] does. From a regular file, another Region, and
// on Linux a TCP or Unix connection, the kernel copies where it can, also if src
// is an [io.LimitedReader] around one. What others read goes through a buffer,
// because an [io.Reader] may use all of a slice as scratch.
func (r *Region) ReadFrom(src io.Reader) (int64, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	inFD, err := r.cursorInFD()
	if r.unsized && inFD || err != nil && r.f != nil && r.base == 0 && r.window == 0 && !r.memoryOnly() {
		return r.f.ReadFrom(src)
	}
	from, limit := src, int64(math.MaxInt64)
	part, isPart := src.(*io.LimitedReader)
	if isPart {
		from, limit = part.R, part.N
	}
	n, err, done := r.readInKernel(from, limit)
	if isPart {
		part.N -= n
	}
	if done {
		return n, err
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	rest, err := io.CopyBuffer(regionWriterOnly{r}, src, buf[:])
	return n + rest, err
}

// readInKernel is ReadFrom, of limit bytes at most, for what the kernel can
// copy. Where that is not all, it is not done.
func (r *Region) readInKernel(from io.Reader, limit int64) (n int64, err error, done bool) {
	if limit <= 0 {
		return 0, nil, false
	}
	switch region, ok := from.(*Region); {
	case ok && region != nil:
		n, err = r.copyRegion(region, limit)
		return n, err, true
	case r.canCopyFD() && !r.appendMode && isOSFile(from):
		n, err = r.copyFDFrom(&io.LimitedReader{R: from, N: limit})
		return n, err, true
	case r.takesRanges() && isNetConn(from):
		n, err = r.spliceFrom(from, limit)
		return n, err, err != errors.ErrUnsupported
	}
	return 0, nil, false
}

// regionWriterOnly shows nothing but Write.
type regionWriterOnly struct{ r *Region }

func (w regionWriterOnly) Write(p []byte) (int, error) { return w.r.Write(p) }

// isOSFile reports whether src is a regular file as io.Copy and io.CopyN pass it
// on: an *os.File, or what package os makes of one to hide its WriteTo.
func isOSFile(src io.Reader) bool {
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
	if r.beginExtend(-1) {
		defer r.pendingExtends.Add(-1)
	}
	n, err := r.f.ReadFrom(src)
	if at, bad := r.f.Seek(0, io.SeekCurrent); bad == nil {
		r.cursor.off = at
	}
	r.refreshSize()
	return n, err
}

// beginExtend is prepareExtend for a caller that does not hold mu: the size is
// asked for when the kernel has copied.
func (r *Region) beginExtend(off int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.prepareExtend(off)
}

// givesRanges reports whether the file has the Region's bytes at their offsets,
// and may be read there by the kernel.
func (r *Region) givesRanges() bool {
	return !r.incoherent && !r.memoryOnly() && !r.unsized && r.unrestricted()
}

// takesRanges reports whether the kernel may write the Region's bytes to the
// file at the offsets of a cursor.
func (r *Region) takesRanges() bool {
	return r.givesRanges() && r.fdWritable && !r.appendMode && r.window == 0
}

// copyChunk is how much the kernel is asked to copy at once: meanwhile nobody else
// gets at the cursor of what is written to.
const copyChunk = 64 << 20

// copyRegion copies up to limit bytes from the cursor of src to that of r: inside
// the kernel as far as that works, and then through a buffer.
func (r *Region) copyRegion(src *Region, limit int64) (total int64, err error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	if r.isClosed() {
		return 0, wrap("write", r.name, os.ErrClosed) // before anything is taken from src
	}
	if err := src.checkValid(); err != nil {
		return 0, err
	}
	if r != src && r.takesRanges() && src.givesRanges() {
		total = r.copyRanges(src, limit)
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	rest, err := io.CopyBuffer(regionWriterOnly{r}, &io.LimitedReader{R: readerOnly{src}, N: limit - total}, buf[:])
	return total + rest, err
}

// copyRanges lets the kernel copy up to limit bytes from cursor to cursor, and
// returns how many arrived. Who else reads src by the cursor waits meanwhile.
func (r *Region) copyRanges(src *Region, limit int64) (total int64) {
	src.cursor.lend()
	defer src.cursor.takeBack()
	for total < limit {
		off, n := src.fileAtCursor(min(limit-total, copyChunk))
		if n == 0 {
			break
		}
		copied := r.copyAtCursor(src, off, n)
		src.advance(copied)
		total += copied
		if copied == 0 {
			break
		}
	}
	return total
}

// copyAtCursor lets the kernel copy n bytes at off of src to the cursor, and returns
// how many arrived: why no more did the next read or write will say.
func (r *Region) copyAtCursor(src *Region, off, n int64) (copied int64) {
	r.cursor.Lock()
	defer r.cursor.Unlock()
	at := r.cursor.off
	if r.cursor.inFD || n > math.MaxInt64-r.base-at {
		return 0
	}
	if at+n > r.size.Load() && r.beginExtend(at) {
		defer r.pendingExtends.Add(-1)
	}
	_ = r.withFD(func(to uintptr) {
		_ = src.withFD(func(from uintptr) { copied, _ = sys.CopyRange(to, r.base+at, from, src.base+off, n) })
	})
	r.cursor.off += copied
	if at+copied > r.size.Load() {
		r.refreshSize()
	}
	return copied
}

// spliceFrom lets the kernel move up to limit bytes from a connection to the
// file. The error is [errors.ErrUnsupported] itself where it does not, or no
// longer: the rest is to be read.
func (r *Region) spliceFrom(conn io.Reader, limit int64) (total int64, err error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, errors.ErrUnsupported
	}
	pipe, err := sys.NewPipe()
	if err != nil {
		return 0, errors.ErrUnsupported
	}
	defer pipe.Close()
	for total < limit {
		var n int64
		var bad error
		err := raw.Read(func(fd uintptr) (done bool) {
			n, done, bad = pipe.Fill(fd, limit-total)
			return done
		})
		if err != nil || bad != nil {
			return total, errors.ErrUnsupported
		}
		if n == 0 {
			break
		}
		n, err = r.drain(pipe, n)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// drain writes the n bytes that are in the pipe at the cursor.
func (r *Region) drain(pipe *sys.Pipe, n int64) (total int64, err error) {
	for total < n {
		moved := r.drainFD(pipe, n-total)
		total += moved
		if moved == 0 {
			break
		}
	}
	if total == n {
		return total, nil
	}
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	rest, err := io.CopyBuffer(regionWriterOnly{r}, &io.LimitedReader{R: pipe, N: n - total}, buf[:])
	return total + rest, err
}

// drainFD lets the kernel move up to n bytes of the pipe to the file.
func (r *Region) drainFD(pipe *sys.Pipe, n int64) (moved int64) {
	r.cursor.Lock()
	defer r.cursor.Unlock()
	at := r.cursor.off
	if r.cursor.inFD || n > math.MaxInt64-r.base-at {
		return 0
	}
	if at+n > r.size.Load() && r.beginExtend(at) {
		defer r.pendingExtends.Add(-1)
	}
	_ = r.withFD(func(fd uintptr) { moved, _ = pipe.Drain(fd, r.base+at, n) })
	r.cursor.off += moved
	if at+moved > r.size.Load() {
		r.refreshSize()
	}
	return moved
}
