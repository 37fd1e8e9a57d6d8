package mmap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Open opens the named file for reading, as [os.Open] does, and maps it when
// that begins to pay.
func Open(name string) (*Region, error) { return OpenFile(name, os.O_RDONLY, 0, nil) }

// Create creates or truncates the named file for reading and writing, as
// [os.Create] does.
func Create(name string) (*Region, error) {
	return OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666, nil)
}

// OpenFile opens the named file as [os.OpenFile] does with the same flags, and
// maps what opts says; nil opts stands for the whole file. Memory must be
// readable, so os.O_WRONLY is an error wrapping EACCES. With O_SYNC or O_DSYNC
// writes go by the descriptor, with O_DIRECT everything does. A directory is
// an error wrapping EISDIR. Options that contradict each other or the flags
// are errors wrapping EINVAL, found before the file is opened or created.
//
// What is not a regular file, and what cannot be mapped, is served by the
// descriptor alone: see [Region.View].
func OpenFile(name string, flag int, perm fs.FileMode, opts *Options) (*Region, error) {
	o := opts.orDefault()
	if err := o.check(flag); err != nil {
		return nil, wrap("open", name, err)
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	r, err := newRegion(f, flag, true, o)
	if err != nil {
		f.Close()
		return nil, wrap("open", name, err)
	}
	return r, nil
}

// Map makes a Region of an open file. The Region has its own descriptor and
// its cursor at 0: f may be closed, and its offset never moves. On Linux the
// file is opened anew through /proc, so that locks and error state are the
// Region's own too; where only a duplicate can be had, [Region.SyscallConn]
// and appending return an error wrapping [errors.ErrUnsupported]. f must be
// open for reading; otherwise the error wraps EACCES.
func Map(f *os.File, opts *Options) (*Region, error) {
	if f == nil {
		return nil, wrap("map", "", os.ErrInvalid)
	}
	own, flag, alone, err := sys.Reopen(f)
	if err != nil {
		return nil, wrap("map", f.Name(), err)
	}
	o := opts.orDefault()
	var r *Region
	if err = o.check(flag); err == nil {
		r, err = newRegion(own, flag, alone, o)
	}
	if err != nil {
		own.Close()
		return nil, wrap("map", f.Name(), err)
	}
	return r, nil
}

// Anonymous makes a Region of size zeroed bytes that belong to no file. Its
// size is fixed: writes past the end are [io.ErrShortWrite]; with Options.Share
// it is that of a file, and grows. Offset, Length, Private and MapSync have no
// meaning for it and must be zero.
func Anonymous(size int64, opts *Options) (*Region, error) {
	const name = "anonymous"
	o := opts.orDefault()
	err := o.check(os.O_RDWR)
	if err == nil && (o.Offset != 0 || o.Length != 0 || o.Private || o.MapSync) {
		err = fmt.Errorf("options Offset, Length, Private and MapSync need a file: %w", syscall.EINVAL)
	}
	if err == nil && size < 0 {
		err = fmt.Errorf("negative size %d: %w", size, syscall.EINVAL)
	}
	if err == nil && !sys.Mappable {
		err = fmt.Errorf("memory without a file: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return nil, wrap("map", name, err)
	}
	if o.Share {
		return anonymousFile(name, size, o)
	}
	r := &Region{name: name, flags: sys.Anonymous, prot: sys.Read | sys.Write}
	r.applyOptions(o)
	r.size.Store(size)
	if err := r.mapIfAsked(o); err != nil {
		return nil, wrap("map", name, err)
	}
	return r, nil
}

// newRegion makes a Region of f, which it then owns unless it fails. Alone
// says that nobody shares f's offset.
func newRegion(f *os.File, flag int, alone bool, o Options) (*Region, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	writable := flag&os.O_RDWR != 0
	r := &Region{
		f: f, conn: conn, name: f.Name(), ownOffset: alone,
		base: o.Offset, window: o.Length,
		prot: sys.Read, fdWritable: writable,
		appendMode: flag&os.O_APPEND != 0 && !o.Private,
		syncWrites: flag&(os.O_SYNC|sys.DataSync) != 0,
		directIO:   flag&sys.Direct != 0,
	}
	if writable || o.Private {
		r.prot |= sys.Write
	}
	if r.appendMode && sys.MappingPinsSize {
		r.prot &^= sys.Write // such a handle has no right to write anywhere else
	}
	r.applyOptions(o)
	info, err := r.stat()
	if err != nil {
		return nil, err
	}
	if info.Dir {
		return nil, syscall.EISDIR
	}
	r.clock.changed.Store(info.Changed)
	r.unsized = !info.Regular
	if info.Regular && info.Size == 0 && alone {
		// Some files of /proc are regular by name alone.
		_, err := f.Seek(0, io.SeekCurrent)
		cerr := r.withFD(func(fd uintptr) { r.unsized = sys.IsPseudo(fd) })
		r.unsized = r.unsized || err != nil || cerr != nil
	}
	r.cursor.inFD = r.unsized || r.appendMode || r.directIO
	return r, r.initSize(info, o)
}

// applyOptions takes over what o says about the memory.
func (r *Region) applyOptions(o Options) {
	if o.Prot != 0 {
		r.prot = sys.Prot(o.Prot &^ ProtNone)
		r.explicitProt = true
	}
	if o.Private {
		r.flags |= sys.Private
	}
	if o.NoReserve {
		r.flags |= sys.NoReserve
	}
	if o.MapSync {
		r.flags |= sys.SyncMap
	}
	if o.Lock || o.HugePages {
		a := pageAttr{locked: o.Lock}
		if o.HugePages && AdviceHugePage.Supported() {
			a.huge = AdviceHugePage
		}
		r.attrs.set(attrTable{{0, a}})
	}
}

// initSize sets the size and makes the mapping that o cannot wait for.
func (r *Region) initSize(info sys.Info, o Options) error {
	if r.unsized || r.directIO || !sys.Mappable {
		r.mapErr = fmt.Errorf("not mapped: %w", errors.ErrUnsupported)
		if names := o.mandatory(); names != "" || o.Length > 0 || o.Offset > 0 && r.unsized {
			return fmt.Errorf("cannot be mapped (%s): %w", strings.TrimSpace("Options "+names), errors.ErrUnsupported)
		}
		r.size.Store(r.clampToWindow(info.Size))
		return nil
	}
	if o.Length > 0 && o.Offset+o.Length > info.Size && (o.Private || r.prot&sys.Write == 0 || !r.fdWritable) {
		return fmt.Errorf("a window of %d bytes at %d ends past the file's %d bytes: %w",
			o.Length, o.Offset, info.Size, io.ErrUnexpectedEOF)
	}
	r.size.Store(r.clampToWindow(info.Size))
	return r.mapIfAsked(o)
}

// mapIfAsked maps at once where an option asks for it. A hint may fail, a
// guarantee not.
func (r *Region) mapIfAsked(o Options) error {
	names := o.mandatory()
	if names == "" && !o.Populate && o.Addr == 0 && r.f != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m, err := r.remap(o.Addr)
	if err == errEmpty && r.flags&sys.SyncMap == 0 {
		return nil
	}
	if err != nil && names != "" {
		return fmt.Errorf("%s: %w", names, err)
	}
	if err != nil && r.f == nil {
		return err
	}
	switch size := r.size.Load(); {
	case m == nil || !o.Populate:
	case r.f == nil:
		_ = sys.Populate(m.headPages(size), true)
	default: // a store would make every page dirty
		r.bringIn(m, 0, size)
	}
	return nil
}

// Close revokes the memory and closes the descriptor. Calls in progress on
// other goroutines end with [os.ErrClosed] or with what they had already
// done; a View in progress faults, and says so. Slices handed out are no
// longer valid: touching one faults, until its addresses are used again for
// something else, which the library puts off as long as it can.
//
// Close does not flush: what was written is in the system's cache, as after
// [os.File.Close]. An error means that the memory could not be revoked, or is
// that of close(2); the Region is closed all the same. A second Close returns
// [os.ErrClosed].
func (r *Region) Close() error {
	if r == nil {
		return os.ErrInvalid
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed.Load() {
		r.zeroPastEOFOnClose()
	}
	if r.closed.Swap(true) {
		return wrap("close", r.name, os.ErrClosed)
	}
	err := r.revokeAll(r.m.Swap(nil))
	if r.f != nil {
		err = firstError(r.f.Close(), err)
	}
	runtime.KeepAlive(r)
	return wrap("close", r.name, err)
}

// revokeAll revokes m, which was the current mapping, and all earlier ones. mu is
// held.
func (r *Region) revokeAll(m *mapping) (err error) {
	if m != nil {
		err = m.mem.revoke()
	}
	for _, w := range r.oldRanges {
		if mem := w.Value(); mem != nil {
			err = firstError(err, mem.revoke())
		}
	}
	r.oldRanges = nil
	return err
}
