package difftest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// target is what calls are played on: a Region, or its oracle.
type target interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.WriterAt
	io.ByteScanner
	io.ByteWriter
	io.StringWriter
	io.ReaderFrom
	io.WriterTo
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error
	Flush() error
	FlushRange(off, n int64) error
	FlushAsync(off, n int64) error
	View(off, n int64, fn func(b []byte) error) error
	Bytes() []byte
	At(i int) byte
}

var (
	_ target = (*mmap.Region)(nil)
	_ target = (*whole)(nil)
	_ target = (*part)(nil)
)

// like is an error of which the contract fixes what it wraps and its type, but
// not its words.
type like struct {
	target error
	fault  bool // a *mmap.FaultError; otherwise a *fs.PathError
}

// Error makes like an error.
func (l like) Error() string { return "an error like " + l.target.Error() }

// matches reports whether err is what l stands for.
func (l like) matches(err error) bool {
	if _, fault := err.(*mmap.FaultError); fault != l.fault {
		return false
	}
	if _, named := err.(*fs.PathError); named == l.fault {
		return false
	}
	return errors.Is(err, l.target)
}

// named returns an error as os makes it.
func (o *beside) named(op string, err error) error {
	return &fs.PathError{Op: op, Path: o.name, Err: err}
}

// beside is what a Region has beside an os.File, on top of one.
//
// A View is a read before its callback and a write after it. A flush of a file
// is a success: the oracle never loses anything.
type beside struct {
	name   string
	s      setup
	file   *os.File     // as it was opened
	other  *os.File     // a second descriptor, as of another process
	known  func() int64 // the size that the Region last saw
	size   int64        // of private memory
	closed bool
}

// base is the file's offset of byte 0.
func (o *beside) base() int64 {
	if o.s.opts == nil {
		return 0
	}
	return o.s.opts.Offset
}

// window is the fixed length, or 0.
func (o *beside) window() int64 {
	if o.s.opts == nil {
		return 0
	}
	return o.s.opts.Length
}

// readOnly reports that the file was opened for reading alone, forbidden that
// the protection alone stands against a store.
func (o *beside) readOnly() bool {
	return !sys.Writable(o.s.flag) && !o.s.private()
}
func (o *beside) forbidden() bool {
	return o.s.opts != nil && o.s.opts.Prot != 0 && o.s.opts.Prot&mmap.ProtWrite == 0
}

// visible returns how many bytes there are now.
func (o *beside) visible() int64 {
	if o.s.private() {
		return o.size
	}
	info, err := o.other.Stat()
	if err != nil {
		return 0
	}
	n := max(info.Size()-o.base(), 0)
	if w := o.window(); w > 0 {
		n = min(n, w)
	}
	return n
}

// span checks a range, as the contract has it.
func (o *beside) span(off, n int64) (int64, error) {
	if off < 0 || n < mmap.ToEnd || n > math.MaxInt64-off {
		return 0, like{target: syscall.EINVAL}
	}
	if n == 0 {
		return 0, nil
	}
	known := o.known()
	if n == mmap.ToEnd && off <= known {
		return known - off, nil
	}
	if n != mmap.ToEnd && off+n <= known {
		return n, nil
	}
	size := o.visible()
	if n == mmap.ToEnd && off <= size {
		return size - off, nil
	}
	if n == mmap.ToEnd || off+n > size {
		return 0, like{target: io.ErrUnexpectedEOF}
	}
	return n, nil
}

// View reads, calls, and writes back what the callback changed.
func (o *beside) View(off, n int64, fn func(b []byte) error) error {
	if o.closed {
		return like{target: os.ErrClosed}
	}
	if o.unmapped() && !o.readOnly() {
		return like{target: mmap.ErrNotMapped}
	}
	n, err := o.span(off, n)
	if err != nil {
		return err
	}
	if n == 0 {
		return fn([]byte{})
	}
	before := make([]byte, n)
	_, _ = o.other.ReadAt(before, o.base()+off)
	b := bytes.Clone(before)[:n:n]
	err = fn(b)
	switch {
	case bytes.Equal(b, before), o.unmapped():
		return err // or it was a copy
	case o.readOnly() || o.forbidden():
		return like{target: syscall.EACCES, fault: true}
	}
	_, _ = o.other.WriteAt(b, o.base()+off)
	return err
}

// Bytes returns a copy of as many bytes as the Region last saw.
func (o *beside) Bytes() []byte {
	if o.closed || o.known() == 0 || o.unmapped() {
		return nil
	}
	b := make([]byte, o.known())
	_, _ = o.other.ReadAt(b, o.base())
	return b
}

// At panics where a slice does.
func (o *beside) At(i int) byte {
	if o.closed {
		panic(like{target: os.ErrClosed, fault: true})
	}
	_ = make([]struct{}, o.known())[i]
	if o.s.flag&os.O_WRONLY != 0 {
		_, err := o.file.ReadAt(make([]byte, 1), 0)
		panic(like{target: errors.Unwrap(err), fault: true})
	}
	var b [1]byte
	if n, _ := o.other.ReadAt(b[:], o.base()+int64(i)); n == 0 {
		panic(like{target: io.ErrUnexpectedEOF, fault: true})
	}
	return b[0]
}

// flush is every flush: only private memory has nowhere to go.
func (o *beside) flush(off, n int64) error {
	if o.closed {
		return like{target: os.ErrClosed}
	}
	if o.s.private() {
		return like{target: errors.ErrUnsupported}
	}
	_, err := o.span(off, n)
	return err
}

// Flush, FlushRange and FlushAsync have the errors of flush.
func (o *beside) Flush() error                  { return o.flush(0, mmap.ToEnd) }
func (o *beside) FlushRange(off, n int64) error { return o.flush(off, n) }
func (o *beside) FlushAsync(off, n int64) error {
	err := o.flush(off, n)
	if err == (like{target: io.ErrUnexpectedEOF}) {
		return nil // what lies past the end is left out
	}
	return err
}

// whole is the oracle of a whole file: an os.File, and nothing else. Only where
// the protection is against it every write of at least a byte is EACCES.
type whole struct {
	*os.File
	beside
}

// Close closes the file.
func (o *whole) Close() error {
	o.closed = true
	return o.File.Close()
}

// refuses reports that the protection stands against a write of n bytes.
func (o *whole) refuses(n int) bool {
	return o.forbidden() && !o.readOnly() && n > 0 && !o.closed
}

// Write is the file's.
func (o *whole) Write(p []byte) (int, error) {
	if o.refuses(len(p)) {
		return 0, o.named("write", syscall.EACCES)
	}
	return o.File.Write(p)
}

// WriteAt is the file's.
func (o *whole) WriteAt(p []byte, off int64) (int, error) {
	if o.refuses(len(p)) && off >= 0 && o.s.flag&os.O_APPEND == 0 {
		return 0, o.named("write", syscall.EACCES)
	}
	return o.File.WriteAt(p, off)
}

// WriteString is Write.
func (o *whole) WriteString(s string) (int, error) { return o.Write([]byte(s)) }

// ReadFrom is the file's.
func (o *whole) ReadFrom(src io.Reader) (int64, error) {
	if o.forbidden() && !o.closed {
		return io.Copy(struct{ io.Writer }{o}, src)
	}
	return o.File.ReadFrom(src)
}

// ReadByte reads one byte by Read.
func (o *whole) ReadByte() (byte, error) { return readByte(o.File) }

// UnreadByte is a Seek by -1, with one error for a place before the beginning.
func (o *whole) UnreadByte() error {
	_, err := o.Seek(-1, io.SeekCurrent)
	var named *fs.PathError
	if errors.As(err, &named) && sys.BeforeStart(named.Err) {
		named.Err = syscall.EINVAL
	}
	return err
}

// WriteByte writes one byte by Write.
func (o *whole) WriteByte(c byte) error {
	_, err := o.Write([]byte{c})
	return err
}

// readByte is ReadByte by Read.
func readByte(r io.Reader) (byte, error) {
	var b [1]byte
	_, err := r.Read(b[:])
	return b[0], err
}

// part is the oracle of a part of a file and of private memory. The rules:
//
//   - Bytes are counted from the Offset on, and end where the window or the
//     file does. Reads there end with io.EOF.
//   - A write stores what fits and returns io.ErrShortWrite where it is cut at
//     the end of a window or of private memory; elsewhere the file grows.
//   - The errors are those of the file where it is asked, and have its form
//     where it is not. A file open for reading alone refuses every write.
//   - Seek takes every place from 0 on.
//   - The size of a window and of private memory cannot be changed.
type part struct {
	f *os.File
	beside
	cursor int64
}

// Name and Stat are the file's.
func (o *part) Name() string { return o.name }

// Stat describes the file, if there is one.
func (o *part) Stat() (fs.FileInfo, error) {
	if o.s.way == byAnonymous {
		return nil, like{target: o.orClosed(errors.ErrUnsupported)}
	}
	return o.f.Stat()
}

// orClosed returns os.ErrClosed after Close, else err.
func (o *part) orClosed(err error) error {
	if o.closed {
		return os.ErrClosed
	}
	return err
}

// Close closes the file.
func (o *part) Close() error {
	o.closed = true
	return o.f.Close()
}

// ReadAt reads from the part.
func (o *part) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case o.closed && o.s.private():
		return 0, o.named("read", os.ErrClosed)
	case off < 0 || len(p) == 0 || o.closed:
		return o.f.ReadAt(p, off)
	case o.window() == 0 && !o.s.private() && off <= math.MaxInt64-o.base():
		return o.f.ReadAt(p, o.base()+off)
	case o.s.flag&os.O_WRONLY != 0 && off < o.window():
		return o.f.ReadAt(p, 0)
	}
	end := o.visible()
	if o.s.direct() {
		end = o.window() // where the file ends it says itself: lengths must be whole blocks
	}
	if off >= end {
		return 0, io.EOF
	}
	n := min(int64(len(p)), end-off)
	got, err := o.f.ReadAt(p[:n], o.base()+off)
	if err == nil && got < len(p) {
		err = io.EOF
	}
	return got, err
}

// Read is ReadAt at the cursor.
func (o *part) Read(p []byte) (int, error) {
	if len(p) == 0 && !o.s.private() {
		return o.f.Read(p)
	}
	n, err := o.ReadAt(p, o.cursor)
	o.cursor += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// ReadByte reads one byte by Read.
func (o *part) ReadByte() (byte, error) { return readByte(o) }

// UnreadByte is a Seek by -1.
func (o *part) UnreadByte() error {
	_, err := o.Seek(-1, io.SeekCurrent)
	return err
}

// WriteTo is a copy by Read.
func (o *part) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{o})
}

// Seek is arithmetic.
func (o *part) Seek(offset int64, whence int) (int64, error) {
	from := int64(0)
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		from = o.cursor
	case io.SeekEnd:
		from = o.visible()
	default:
		from = -1
	}
	switch {
	case o.closed:
		return 0, o.named("seek", os.ErrClosed)
	case from < 0 || offset < -from || offset > math.MaxInt64-from:
		return 0, o.named("seek", syscall.EINVAL)
	}
	o.cursor = from + offset
	return o.cursor, nil
}

// WriteAt writes to the part.
func (o *part) WriteAt(p []byte, off int64) (int, error) {
	switch {
	case o.closed && o.s.private():
		return 0, o.named("write", os.ErrClosed)
	case off < 0 || len(p) == 0 || o.closed:
		return o.f.WriteAt(p, off)
	case o.readOnly():
		return o.f.WriteAt(p, 0)
	case o.forbidden() && (!o.s.private() || off < o.size):
		return 0, o.named("write", syscall.EACCES)
	case o.window() == 0 && !o.s.private():
		return o.f.WriteAt(p, o.base()+off) // harmless sees to it that the sum is one
	}
	end := o.window()
	if o.s.private() {
		end = o.size
	}
	if off >= end {
		return 0, io.ErrShortWrite
	}
	n := min(int64(len(p)), end-off)
	n2, err := o.f.WriteAt(p[:n], o.base()+off)
	if err == nil && n2 < len(p) {
		err = io.ErrShortWrite
	}
	return n2, err
}

// Write is WriteAt at the cursor.
func (o *part) Write(p []byte) (int, error) {
	if len(p) == 0 && !o.s.private() {
		return o.f.Write(p)
	}
	n, err := o.WriteAt(p, o.cursor)
	o.cursor += int64(n)
	return n, err
}

// WriteByte writes one byte by Write.
func (o *part) WriteByte(c byte) error {
	_, err := o.Write([]byte{c})
	return err
}

// WriteString is Write.
func (o *part) WriteString(s string) (int, error) { return o.Write([]byte(s)) }

// ReadFrom is a copy by Write.
func (o *part) ReadFrom(src io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{o}, src)
}

// Truncate is for parts that follow the end of the file.
func (o *part) Truncate(size int64) error {
	switch {
	case o.closed:
		return o.named("truncate", os.ErrClosed)
	case o.window() > 0 || o.s.private():
		return like{target: errors.ErrUnsupported}
	case size < 0 || size > math.MaxInt64-o.base():
		return o.named("truncate", syscall.EINVAL)
	}
	return o.f.Truncate(o.base() + size)
}

// Sync is the file's.
func (o *part) Sync() error {
	if o.s.private() {
		return like{target: o.orClosed(errors.ErrUnsupported)}
	}
	return o.f.Sync()
}
