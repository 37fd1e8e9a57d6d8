package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// fileKind is what matters of the kind of a file: whether it has offsets,
// whether it has a size, and whether it can be mapped. The kind is learned by
// asking the file, and not from names or numbers of file systems.
type fileKind struct {
	info       sys.Info
	seekable   bool  // it has offsets: Seek, pread(2) and pwrite(2) work
	own        bool  // nobody shares the descriptor's offset
	deviceSize int64 // of a device of which fstat(2) tells none
}

// kindOf asks a file for its kind. Own says that nobody shares its offset: then
// a device that tells no size is asked where its end is, if o's offsets need that.
func (d *descriptor) kindOf(info sys.Info, own bool, o Options) (fileKind, error) {
	k := fileKind{info: info, own: own}
	if info.Dir {
		return k, syscall.EISDIR
	}
	k.seekable = info.Seekable || d.seekable()
	if own && k.seekable && !info.Regular && !info.Block && (o.Offset > 0 || o.Length > 0) {
		if end, err := d.f.Seek(0, io.SeekEnd); err == nil && end > 0 {
			k.deviceSize, k.info.Size = end, end
		}
		if _, err := d.f.Seek(0, io.SeekStart); err != nil {
			return k, underlyingError(err)
		}
	}
	return k, nil
}

// sized reports whether the file has a size at which its bytes end. Without
// one everything goes through the descriptor, and nothing is known beforehand.
func (k *fileKind) sized() bool {
	return k.seekable && (k.info.Regular || k.info.Block || k.deviceSize > 0)
}

// mappable reports whether a file of the kind can have memory.
func (k *fileKind) mappable() bool {
	return sys.Mappable && k.seekable && (k.info.Regular || k.info.Block)
}

// String names the kind for an error.
func (k *fileKind) String() string {
	switch {
	case !sys.Mappable:
		return "a system that maps no files"
	case !k.seekable:
		return "a file that cannot be sought"
	default:
		return "a device without a size"
	}
}

// neverMapped returns why a file of the kind, opened with flag, is never
// mapped, or nil.
func (k *fileKind) neverMapped(flag int, o Options) error {
	switch {
	case !k.mappable():
		return notMapped(errors.New(k.String()))
	case flag&os.O_WRONLY != 0:
		return notMapped(errors.New("the file is open for writing only"))
	case flag&sys.Direct != 0:
		return notMapped(errors.New("the file is open with O_DIRECT"))
	case o.Access == AccessDescriptor:
		return notMapped(errors.New("Options.Access is AccessDescriptor"))
	}
	return nil
}

// suits finds what of o a file of kind k, opened with flag, cannot have.
func (d *descriptor) suits(flag int, k fileKind, o Options) error {
	memory := o.mandatory()
	grows := sys.Writable(flag) && !o.Private && (o.Prot == 0 || o.Prot&ProtWrite != 0) && k.info.Regular
	switch {
	case (o.Offset > 0 || o.Length > 0) && !k.seekable:
		return fmt.Errorf("%s with %v: %w", o.offsets(), &k, errors.ErrUnsupported)
	case memory != "" && !k.mappable():
		return fmt.Errorf("%s with %v: %w", memory, &k, ErrNotMapped)
	case o.Access == AccessMemory && !d.coherent():
		return fmt.Errorf("option AccessMemory where memory does not show what is written: %w", ErrNotMapped)
	case memory != "" && k.info.Regular && k.info.Size == 0 && d.generated(o.Offset):
		return fmt.Errorf("%s with a file whose bytes are made up as they are read: %w", memory, ErrNotMapped)
	case o.Length > 0 && k.sized() && o.Offset+o.Length > k.info.Size && !grows:
		return fmt.Errorf("%s: a window of %d bytes at %d ends past the file's %d bytes, which %s cannot grow: %w",
			o.offsets(), o.Length, o.Offset, k.info.Size, o.fixes(flag), io.ErrUnexpectedEOF)
	case sys.MappingPinsSize && flag&os.O_APPEND != 0 && !o.Private && o.Prot&ProtWrite != 0:
		return fmt.Errorf("Prot with O_APPEND: memory cannot be written by a handle that only appends: %w", syscall.EACCES)
	}
	return nil
}

// offsets names the options of o that count bytes of the file.
func (o *Options) offsets() string {
	var names []string
	if o.Offset > 0 {
		names = append(names, "Offset")
	}
	if o.Length > 0 {
		names = append(names, "Length")
	}
	return strings.Join(names, ", ")
}

// tryMapping maps what o says of a file of kind k, by its own descriptor, and
// undoes that: whether the guarantees of o can be kept is then known without
// having opened the file anew. Where nothing is guaranteed nothing is tried.
func (d *descriptor) tryMapping(flag int, k fileKind, o Options) error {
	if err := d.suits(flag, k, o); err != nil || o.mandatory() == "" {
		return err
	}
	n := k.info.Size - o.Offset
	if o.Length > 0 && (sys.MapsPastEOF || o.Length < n) {
		n = o.Length
	}
	if n <= 0 && (o.Private || !sys.MapsPastEOF) {
		return nil // nothing is mapped before there is something
	}
	span, _, err := Span{o.Offset, max(n, 1)}.Align()
	if err != nil || span.Len > math.MaxInt {
		return fmt.Errorf("%s: %w", o.mandatory(), notMapped(firstError(err, errTooLarge)))
	}
	r := &Region{access: access{prot: o.memoryProt(flag)}}
	r.applyOptions(o)
	cerr := d.withFD(func(fd uintptr) {
		var b []byte
		if b, err = sys.Map(fd, span.Off, int(span.Len), r.prot, r.flags, 0); err != nil {
			return
		}
		if o.Lock {
			err = lockPages(b[:min(int64(len(b)), alignUp(max(k.info.Size-span.Off, 0)))])
		}
		err = firstError(err, sys.Unmap(b))
	})
	switch {
	case cerr != nil:
		return cerr
	case err == nil, sys.NoMemory(err) && !o.Lock, sys.RefusesShared(err) && d.privately(flag, o):
		return nil // or opening will do better: it collects what is left over, and knows another way
	}
	return fmt.Errorf("%s: %w", o.mandatory(), notMapped(err))
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
