package mmap

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// WriteAt writes len(p) bytes at offset off, in bytes, as [os.File.WriteAt]
// does: past the end it extends the file, and with O_APPEND it is an error. A
// write inside the file takes no lock of the Region; the first to a page since
// the last Flush is the kernel's, which may let it wait for another write to the
// file, as that of an [os.File]. In a window or private
// memory a write past the end stores what fits and returns [io.ErrShortWrite].
//
// The bytes are in the system's cache when it returns, as after a write by the
// descriptor: [Region.Flush] makes them durable.
func (r *Region) WriteAt(p []byte, off int64) (int, error) {
	if r == nil {
		return 0, os.ErrInvalid
	}
	m := r.m.Load()
	if m == nil {
		return r.writeSlow(p, off, false)
	}
	limit, end := m.writeLimit.Load(), off+int64(len(p))
	if uint64(off) > uint64(limit) || uint64(len(p))-1 >= uint64(limit-off) || len(p) > maxCopy {
		return r.writeSlow(p, off, false) // nothing to write goes there too
	}
	old := debug.SetPanicOnFault(true)
	ok := guardedCopy(m.addr(off), dataPtr(p), len(p))
	debug.SetPanicOnFault(old)
	if !ok {
		return r.writeSlow(p, off, false)
	}
	if end > m.dirtyEnd.Load() || m.idle.Load() {
		m.noteStore(end)
	}
	runtime.KeepAlive(m)
	return len(p), nil
}

// writeSlow is WriteAt for what the limit of the fast path does not cover:
//
//   - memory, if all of it is known to be writable
//   - memory alone, where there is nothing else
//   - the file: memory or the descriptor, see writeFile
//
// Counted, it counts what arrived before an error of the system, as
// [os.File.Write] does; [os.File.WriteAt] counts nothing then.
func (r *Region) writeSlow(p []byte, off int64, counted bool) (n int, err error) {
	if m := r.m.Load(); m != nil && r.serves(m) && m.isWritable(off, int64(len(p))) && r.storeMapped(m, p, off) {
		return len(p), nil
	}
	if err, refused := r.refuseWrite(p, off); refused {
		return 0, err
	}
	may := r.permittedPrefix(off, int64(len(p)), sys.Write)
	switch {
	case may == 0:
	case r.memoryOnly():
		n, err = r.writeMemoryOnly(p[:may], off)
	default:
		n, err = r.writeFile(p[:may], off, counted)
	}
	if err == nil && may < int64(len(p)) {
		err = wrap("write", r.name, syscall.EACCES)
	}
	return n, err
}

// refuseWrite decides about writes that write nothing, and says what is to be
// said of them. For a file that is what os says of the same call.
func (r *Region) refuseWrite(p []byte, off int64) (err error, refused bool) {
	if err := r.checkValid(); err != nil {
		return err, true
	}
	if !r.memoryOnly() {
		if r.appendMode {
			_, err = r.f.WriteAt(nil, 0) // os's own value, if it knows how the file was opened
			return firstError(err, errAppends), true
		}
		if off < 0 || len(p) == 0 || !r.fdWritable || r.isClosed() {
			_, err = r.f.WriteAt(p, off)
			return err, true
		}
		return nil, false
	}
	switch {
	case r.isClosed():
		return wrap("write", r.name, os.ErrClosed), true
	case off < 0:
		return &fs.PathError{Op: "writeat", Path: r.name, Err: errNegative}, true
	case len(p) == 0:
		return nil, true
	case off >= r.size.Load():
		return io.ErrShortWrite, true
	}
	return nil, false
}

// isWritable reports whether memory has all of [off, off+n), and is known to be
// writable there.
func (m *mapping) isWritable(off, n int64) bool {
	return m.backs(off, n) && (off+n <= m.writeLimit.Load() || m.residency.writable.Contains(m.pageRange(off, n)))
}

// storeMapped stores p, and reports whether all of it arrived.
func (r *Region) storeMapped(m *mapping, p []byte, off int64) bool {
	stored := m.store(p, off, maxCopy)
	r.noteUse(m, off, int64(len(p)))
	if stored < len(p) {
		counters.served.Add(1)
		m.forget(off, int64(len(p)))
		return false
	}
	if end := off + int64(len(p)); end > m.dirtyEnd.Load() || m.idle.Load() {
		m.noteStore(end)
	}
	if len(p) > maxEagerPopulate {
		m.residency.populateBudget.Add(int64(len(p)) / 6)
	}
	return true
}

// writeFile writes p chunk by chunk: to memory where that pays, else to the
// descriptor.
func (r *Region) writeFile(p []byte, off int64, counted bool) (n int, err error) {
	if r.window == 0 && off <= math.MaxInt64-r.base && off+r.base > math.MaxInt64-int64(len(p)) {
		return r.f.WriteAt(p, r.base+off) // whole: too far for any file
	}
	if m := r.m.Load(); m != nil && m.overlaps(p, off) {
		p = snapshot(p)
	}
	for stored := false; n < len(p); {
		part := p[n:min(len(p), n+writeChunk)]
		if r.tryStore(part, off+int64(n)) {
			n, stored = n+len(part), true
			continue
		}
		if stored { // if the file was cut, it may end in the last page stored
			n -= int(min(int64(n), pageSize))
			part = p[n:min(len(p), n+writeChunk)]
		}
		arrived, err := r.writeFD(part, off+int64(n), counted)
		n, stored = n+arrived, false
		if err == io.ErrShortWrite || err != nil && counted {
			return n, err
		}
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// writeChunk is how much of a large write goes one way: by memory or by the
// descriptor.
const writeChunk = 1 << 20

// tryStore writes p to memory, if that does not wait in a fault. A page's
// first write since the last Flush is not for memory: through the descriptor it
// costs what it costs an os.File, and a single small write makes no large
// folio dirty. At the second write the page is made writable inside a system
// call, and from then on it is stored to, unless the system is writing pages
// back. That costs more than one write saves, so not every one does it: see
// makeWritable.
func (r *Region) tryStore(p []byte, off int64) bool {
	m, n := r.m.Load(), int64(len(p))
	if m == nil || !r.serves(m) || !m.backs(off, n) || !r.writesUseMemory() || r.pendingExtends.Load() > 0 {
		return false
	}
	lo, hi := m.pageRange(off, n)
	switch {
	case m.residency.writable.Contains(lo, hi):
	case r.serve != AccessMemory && !m.residency.written.Contains(lo, hi):
		m.residency.written.Add(lo, hi)
		return false
	case r.serve != AccessMemory && m.residency.writebackActive.Load():
		return false
	case !r.makeWritable(m, off, n):
		return false
	}
	return r.storeMapped(m, p, off)
}

// writeFD writes to the descriptor, and no further than the window.
func (r *Region) writeFD(p []byte, off int64, counted bool) (n int, err error) {
	fits := p
	if r.window > 0 {
		if off >= r.window {
			return 0, io.ErrShortWrite
		}
		fits = p[:min(int64(len(p)), r.window-off)]
	}
	if r.base+off < 0 {
		return 0, wrap("write", r.name, sys.TooBig)
	}
	if r.incoherent { // or a dirty page of memory would be written over it later
		r.syncExposed(off, int64(len(fits)))
		defer r.syncExposed(off, int64(len(fits)))
	}
	if off+int64(len(fits)) > r.size.Load() && !r.unsized {
		n, err = r.extend(fits, off, counted)
	} else {
		n, err = r.pwrite(fits, off, counted)
		if off+int64(n) > r.size.Load() && !r.unsized {
			r.refreshSize() // a Truncate came between
		} else if err == nil {
			r.countFDCall()
		}
	}
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// onlyExtends reports whether all of p, at off, lies past the end of the file as
// far as that is known, and nothing but the descriptor need be asked.
func (r *Region) onlyExtends(p []byte, off int64) bool {
	if m := r.m.Load(); m != nil && m.contains(p) {
		return false // somebody may have made the file longer, so that p is what is written
	}
	return !r.incoherent && off >= r.size.Load() && r.fdWritable && !r.explicitProt && r.window == 0 && !r.unsized &&
		!r.memoryOnly() && off <= math.MaxInt64-r.base-int64(len(p)) && r.attrs.get() == nil
}

// writeMemoryOnly writes p to private or anonymous memory, as far as that goes.
func (r *Region) writeMemoryOnly(p []byte, off int64) (int, error) {
	m := r.m.Load()
	want := p[:min(int64(len(p)), max(r.size.Load()-off, 0))]
	n := len(want)
	switch {
	case n == 0:
		return 0, nil
	case m == nil: // Close took it away after refuseWrite had looked
		return 0, wrap("write", r.name, r.closedOr(sys.Fault))
	}
	if r.f != nil {
		if !r.isResident(m, off, int64(n)) {
			_ = r.bringIn(m, off, int64(n)) // what waits, waits there
		}
		_ = sys.Populate(m.pagesOf(off, int64(n)), true)
	}
	if !r.storeMapped(m, want, off) {
		n = r.retryAnonymous(n, func() int { return m.storePages(want, off) })
	} else if r.f != nil {
		r.markWritable(m, off, int64(n))
	}
	switch {
	case n < len(want):
		err := r.diagnose(off+int64(n), sys.Write)
		if err == io.ErrUnexpectedEOF {
			err = io.ErrShortWrite // the file, and with it the memory, ends here now
		}
		return n, wrap("write", r.name, err)
	case n < len(p):
		return n, io.ErrShortWrite
	}
	return n, nil
}

// storePages is store in pieces that end where pages end.
func (m *mapping) storePages(p []byte, off int64) int {
	first := int(min(pageSize-(m.lead+off)&(pageSize-1), int64(len(p))))
	n := m.store(p[:first], off, first)
	if n == first {
		n += m.store(p[first:], off+int64(first), int(pageSize))
	}
	return n
}

// Write writes len(p) bytes at the cursor and moves it, as [os.File.Write]
// does: past the end it extends the file, and with O_APPEND it writes at the
// end of the file wherever the cursor is.
func (r *Region) Write(p []byte) (int, error) {
	if err := r.checkValid(); err != nil {
		return 0, err
	}
	if len(p) == 0 && !r.memoryOnly() {
		return countWrite(r.f.Write(p))
	}
	r.cursor.Lock()
	if r.cursor.inFD || r.appendMode {
		r.cursor.Unlock()
		return r.writeAtFDCursor(p)
	}
	var n int
	var err error
	if off := r.cursor.off; r.onlyExtends(p, off) {
		n, err = r.extend(p, off, true)
	} else {
		n, err = r.writeSlow(p, off, true)
	}
	if err != nil && r.moveCursorFor(err) {
		r.cursor.Unlock()
		return r.writeAtFDCursor(p)
	}
	r.cursor.off += int64(n)
	r.cursor.Unlock()
	return n, err
}

// writeAtFDCursor is Write when the cursor is the descriptor's.
func (r *Region) writeAtFDCursor(p []byte) (int, error) {
	if r.unsized || !r.fdWritable {
		return countWrite(r.f.Write(p))
	}
	if r.appendMode && !r.ownOffset {
		return 0, wrap("write", r.name, errors.ErrUnsupported)
	}
	if r.incoherent {
		r.syncExposed(0, r.size.Load())
		defer func() { r.syncExposed(0, r.size.Load()) }()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkCursorWrite(len(p)); err != nil {
		return 0, wrap("write", r.name, err)
	}
	if m := r.m.Load(); m != nil && m.contains(p) {
		p = snapshot(p)
	}
	if r.prepareExtend(-1) {
		defer r.pendingExtends.Add(-1)
	}
	n, err := countWrite(r.f.Write(p))
	if r.closed.Load() {
		return n, err
	}
	r.sizeStale.Store(true)
	return n, err
}

// checkCursorWrite refuses n bytes at the descriptor's cursor if the caller
// protected the place.
func (r *Region) checkCursorWrite(n int) error {
	if r.closed.Load() || !r.fdWritable || r.unrestricted() {
		return nil // the descriptor says what is wrong, if anything is
	}
	var at int64
	var err error
	if r.appendMode {
		err = r.refreshSizeLocked()
		at = r.size.Load()
	} else {
		at, err = r.f.Seek(0, io.SeekCurrent)
	}
	if err == nil && r.permittedPrefix(at, int64(n), sys.Write) < int64(n) {
		err = syscall.EACCES
	}
	return underlyingError(err)
}

// WriteByte writes one byte at the cursor and moves it.
func (r *Region) WriteByte(c byte) error {
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	buf[0] = c
	_, err := r.Write(buf[:1])
	return err
}

// WriteString is Write of the bytes of s.
func (r *Region) WriteString(s string) (int, error) {
	return r.Write(stringBytes(s))
}
