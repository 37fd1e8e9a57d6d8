package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
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
// maps what opts says; nil opts stands for the whole file. With O_SYNC or
// O_DSYNC writes go through the descriptor; with O_DIRECT and O_WRONLY everything
// does, because such a file cannot be mapped. A directory is an error wrapping
// EISDIR.
//
// What cannot be mapped is served through the descriptor alone, with the results of an
// os.File: pipes and terminals, devices without a size, files whose file system
// maps none. [Region.Mapped] says why. Block devices are mapped as files are;
// their size is the device's, and cannot change.
//
// Every combination of options, flags and kind of file either works or is an
// error that names the options. What options and flags show is refused before
// the file is opened or created: contradictions wrap EINVAL, or EACCES where a
// right is missing. What only the file can show is refused after opening it:
// memory where there is none wraps [ErrNotMapped], offsets in what has none wrap
// [errors.ErrUnsupported], and a window past the end that no write could fill
// wraps [io.ErrUnexpectedEOF].
func OpenFile(name string, flag int, perm fs.FileMode, opts *Options) (*Region, error) {
	o := opts.orDefault()
	if err := o.checkFile(flag); err != nil {
		return nil, wrap("open", name, err)
	}
	f, info, err := openFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	r, err := openRegion(f, flag, info, o)
	if err != nil {
		f.Close()
		return nil, wrap("open", name, err)
	}
	return r, nil
}

// openRegion makes the Region of a file that was just opened.
func openRegion(f *os.File, flag int, info sys.Info, o Options) (*Region, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := descriptor{f: f, conn: conn}
	k, err := d.kindOf(info, true, o)
	if err != nil {
		return nil, err
	}
	return newRegionOf(d, flag, k, o)
}

// CreateTemp creates a temporary file for reading and writing, as
// [os.CreateTemp] does: in the directory dir ("" stands for [os.TempDir]), with
// a name made of pattern and a random string. The caller removes it.
func CreateTemp(dir, pattern string) (*Region, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	r, err := newRegion(f, os.O_RDWR, true, Options{})
	if err != nil {
		f.Close()
		_ = os.Remove(f.Name())
		return nil, wrap("createtemp", f.Name(), err)
	}
	return r, nil
}

// Map makes a Region of an open file. The Region has its own descriptor and
// its cursor at 0: f may be closed, and its offset never moves. On Linux the
// file is opened anew through /proc, so that locks and error state are the
// Region's own too; where only a duplicate can be had (a pipe, a device, a file
// that this process may not open by itself), the cursor is the Region's own all
// the same, but [Region.SyscallConn] and appending return an error wrapping
// [errors.ErrUnsupported].
//
// f is opened for whatever it is opened for: a file open for writing only is
// served through the descriptor. The refusals are those of [OpenFile]; options that f
// cannot have are refused before the file is opened anew. (Closing any
// descriptor of a file drops the fcntl(2) record locks that the process holds on
// it. So does Close of the Region, and a Map that fails after it has opened the
// file.)
func Map(f *os.File, opts *Options) (*Region, error) {
	if f == nil {
		return nil, wrap("map", "", os.ErrInvalid)
	}
	o := opts.orDefault()
	if err := o.checkOpen(f); err != nil {
		return nil, wrap("map", f.Name(), err)
	}
	own, flag, alone, err := sys.Reopen(f)
	if err != nil {
		return nil, wrap("map", f.Name(), err)
	}
	r, err := newRegion(own, flag, alone, o)
	if err != nil {
		own.Close()
		return nil, wrap("map", f.Name(), err)
	}
	return r, nil
}

// checkOpen finds what of o cannot be had of f, without a new descriptor for
// it: closing that would drop the locks of the process.
func (o *Options) checkOpen(f *os.File) error {
	flag, err := sys.OpenFlags(f)
	if err != nil {
		return err
	}
	if err := o.checkFile(flag); err != nil {
		return err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	d := descriptor{f: f, conn: conn}
	info, err := d.fstat()
	if err != nil {
		return err
	}
	k, err := d.kindOf(info, false, *o)
	if err != nil {
		return err
	}
	return d.tryMapping(flag, k, *o)
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
	if err == nil && o.Access == AccessDescriptor && !o.Share {
		err = fmt.Errorf("option AccessDescriptor needs a file, or Share: %w", syscall.EINVAL)
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
	r := &Region{
		backing: backing{name: name, opened: true, serve: o.Access},
		access:  access{flags: sys.Anonymous, prot: sys.Read | sys.Write},
	}
	r.applyOptions(o)
	r.size.Store(size)
	if err := r.mapIfAsked(o); err != nil {
		return nil, wrap("map", name, err)
	}
	r.join()
	return r, nil
}

// newRegion makes a Region of f, which it then owns unless it fails. Alone
// says that nobody shares f's offset.
func newRegion(f *os.File, flag int, alone bool, o Options) (*Region, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := descriptor{f: f, conn: conn}
	info, err := d.fstat()
	if err != nil {
		return nil, err
	}
	k, err := d.kindOf(info, alone, o)
	if err != nil {
		return nil, err
	}
	return newRegionOf(d, flag, k, o)
}

// newRegionOf makes a Region of a file of kind k.
func newRegionOf(d descriptor, flag int, k fileKind, o Options) (*Region, error) {
	if err := d.suits(flag, k, o); err != nil {
		return nil, err
	}
	d.size = k.deviceSize
	r := &Region{
		backing: backing{
			descriptor: d, name: d.f.Name(), base: o.Offset, window: o.Length,
			opened: true, fdWritable: sys.Writable(flag), ownOffset: k.own, serve: o.Access,
			appendMode: flag&os.O_APPEND != 0 && !o.Private,
			syncWrites: flag&(os.O_SYNC|sys.DataSync) != 0,
			direct:     flag&sys.Direct != 0,
			incoherent: !d.coherent(),
			unsized:    !k.sized(), neverMapped: k.neverMapped(flag, o),
		},
		access: access{prot: o.memoryProt(flag)},
	}
	r.applyOptions(o)
	r.cursor.inFD = !k.seekable || (r.unsized || r.appendMode || flag&sys.Direct != 0) && r.mayMoveFD()
	r.size.Store(r.clampToWindow(k.info.Size))
	r.clock.changed.Store(k.info.Changed)
	if r.neverMapped == nil {
		if err := r.mapIfAsked(o); err != nil {
			return nil, err
		}
	}
	r.join()
	return r, nil
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
	m, err := r.remap(r.size.Load(), o.Addr)
	if err == errEmpty && r.flags&sys.SyncMap == 0 {
		return nil
	}
	if err == nil && o.Access == AccessMemory && r.viewOnly {
		r.m.Store(nil)
		err = firstError(r.revokeAll(), errViewOnly)
	}
	if err != nil && names != "" {
		return fmt.Errorf("%s: %w", names, notMapped(err))
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
	if err := r.checkValid(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return wrap("close", r.name, os.ErrClosed)
	}
	r.zeroPastEOFOnClose()
	r.closing.Store(true)
	r.m.Store(nil)
	err := r.revokeAll()
	if r.f != nil {
		err = firstError(sys.Close(r.f, r.conn), err)
	}
	r.closed.Store(true)
	r.leave()
	return wrap("close", r.name, err)
}

// testLogged reports whether go test keeps a log of the files that the process
// opens, to know when a cached result is out of date. Package os writes it.
var testLogged = sync.OnceValue(func() bool {
	return slices.ContainsFunc(os.Args, func(arg string) bool {
		return strings.HasPrefix(strings.TrimLeft(arg, "-"), "test.testlogfile=")
	})
})

// openFile opens a file. A regular one need not be known to the runtime's
// poller, which saves a third of what opening costs; package os opens it where
// somebody else relies on that.
func openFile(name string, flag int, perm fs.FileMode) (*os.File, sys.Info, error) {
	if !testLogged() {
		return sys.OpenFile(name, flag, perm)
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, sys.Info{}, err
	}
	conn, err := f.SyscallConn()
	var info sys.Info
	if err == nil {
		d := descriptor{f: f, conn: conn}
		info, err = d.fstat()
	}
	if err != nil {
		f.Close()
		return nil, sys.Info{}, wrap("open", name, err)
	}
	return f, info, nil
}

// anonymousFile is Anonymous with a descriptor.
func anonymousFile(name string, size int64, o Options) (*Region, error) {
	f, err := sys.NewMemFile(name, size)
	if err != nil {
		return nil, wrap("map", name, fmt.Errorf("option Share: %w", err))
	}
	r, err := newRegion(f, os.O_RDWR, true, o)
	if err != nil {
		f.Close()
		return nil, wrap("map", name, err)
	}
	return r, nil
}
