package mmap

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Prot is what the processor lets the program do with the mapped bytes. The
// values combine by or, but for ProtNone, which stands alone.
type Prot uint8

// The protections of mmap(2). On most processors writing implies reading.
const (
	ProtRead  = Prot(sys.Read)
	ProtWrite = Prot(sys.Write)
	ProtExec  = Prot(sys.Exec)
	ProtNone  = Prot(1 << 7) // no access at all
)

// Options says what part of a file to map, and how. A nil *Options and the
// zero value mean: the whole file, shared, as the file was opened.
//
// Private, Prot, Lock, MapSync and AccessMemory are guarantees: where the
// system cannot keep one, opening fails with an error that names it. Addr,
// Populate, HugePages and NoReserve are hints, and do nothing where there is no
// memory. Options that contradict each other, or the flags that the file is
// opened with, are refused before anything is opened; what a kind of file cannot
// have is refused as soon as the kind is known.
type Options struct {
	// Offset is the file's byte that is the Region's first. Any value from
	// 0 on: alignment is taken care of inside.
	Offset int64

	// Length is the number of bytes of a fixed window. 0 means to the end
	// of the file, following it as the file grows. A window past the end of
	// the file must be shared and writable: a write there extends the file.
	// A window cannot be had with O_APPEND, nor of what has no offsets
	// (pipes, terminals, sockets).
	Length int64

	// Prot is what the memory allows. 0 means what the descriptor allows:
	// reading, and writing if it was opened for writing or Private is set.
	// What Prot forbids, ReadAt and WriteAt refuse too.
	Prot Prot

	// Private makes the memory copy-on-write (MAP_PRIVATE): writes are seen
	// by this Region alone and never reach the file by any path. Whether
	// writes by others to the file are seen is not specified, until a page
	// was written here. The size is fixed at opening.
	Private bool

	// Addr is where to place the mapping, if that is free. 0 leaves it to
	// the system.
	Addr uintptr

	// Populate brings every page of the file into memory before returning.
	Populate bool

	// Lock pins the pages of the file in memory (mlock), those of later
	// growth too as far as the system's limit goes: a write does not fail
	// because its pages cannot be pinned.
	Lock bool

	// HugePages asks for transparent huge pages.
	HugePages bool

	// NoReserve asks the system not to set swap space aside (MAP_NORESERVE).
	NoReserve bool

	// MapSync asks for MAP_SYNC, which only persistent memory has.
	MapSync bool

	// Share gives memory made by [Anonymous] a descriptor (memfd_create(2)
	// on Linux, an unlinked file elsewhere), so that it can be handed to
	// another process ([Region.File]), grows, and can be sealed
	// ([Region.Seal]). A guarantee, and for [Anonymous] alone: with a file
	// it is refused.
	Share bool

	// Access says who serves reads and writes, memory or the descriptor.
	// The zero value leaves it to the library: memory where it pays.
	Access Access
}

// Access says who serves the reads and writes of a Region.
type Access uint8

const (
	// AccessAuto is memory where it pays: a file is mapped when it was read
	// or written several times, or when [Region.View] and its kin need it,
	// and memory serves the pages that were seen in the page cache.
	AccessAuto Access = iota

	// AccessMemory maps the file at opening, an empty one at its first
	// byte. Memory serves every read and every write that lies inside the
	// file; a page that is not there yet is brought in inside a system
	// call, so that no goroutine but the caller waits for it. Where the
	// file cannot be mapped, or memory would not show what the descriptor
	// does, opening fails with [ErrNotMapped]. What memory cannot serve
	// later (a page that fails, a file that has grown and can no longer be
	// mapped) the descriptor serves. It is refused for files that cannot be
	// read, with O_DIRECT, and for writing with O_SYNC or O_DSYNC.
	AccessMemory

	// AccessDescriptor never maps the file: every read and write is a
	// system call, as that of an [os.File]. Options that guarantee something
	// of memory are refused with it; hints do nothing.
	AccessDescriptor
)

// orDefault returns what a nil *Options stands for.
func (o *Options) orDefault() Options {
	if o == nil {
		return Options{}
	}
	return *o
}

// check finds what contradicts itself in o, or contradicts the flags that the
// file is opened with, without touching any file.
func (o *Options) check(flag int) error {
	bad := func(what string) error { return fmt.Errorf("%s: %w", what, syscall.EINVAL) }
	switch {
	case o.Offset < 0:
		return bad("negative Offset")
	case o.Length < 0:
		return bad("negative Length")
	case o.Offset > math.MaxInt64-o.Length:
		return bad("Offset+Length overflows")
	case o.Prot&^(ProtRead|ProtWrite|ProtExec) != 0 && o.Prot != ProtNone:
		return bad("unknown Prot")
	case o.Access > AccessDescriptor:
		return bad("unknown Access")
	case o.Private && o.MapSync:
		return bad("MapSync with Private")
	case flag&sys.PathOnly != 0:
		return bad("O_PATH: such a file can be neither read nor mapped")
	case flag&os.O_WRONLY != 0 && flag&os.O_RDWR != 0:
		return bad("O_WRONLY with O_RDWR")
	}
	return o.checkFlags(flag)
}

// checkFlags finds what in o cannot be had of a file opened with flag.
func (o *Options) checkFlags(flag int) error {
	memory, writable := o.mandatory(), flag&(os.O_RDWR|os.O_WRONLY) != 0
	grows := writable && !o.Private && (o.Prot == 0 || o.Prot&ProtWrite != 0)
	switch {
	case o.Prot&ProtWrite != 0 && !writable && !o.Private:
		return fmt.Errorf("option Prot: ProtWrite with O_RDONLY: %w", syscall.EACCES)
	case memory != "" && flag&os.O_WRONLY != 0:
		return fmt.Errorf("%s with O_WRONLY: memory must be readable: %w", memory, syscall.EACCES)
	case memory != "" && flag&sys.Direct != 0:
		return fmt.Errorf("%s with O_DIRECT, which the descriptor serves: %w", memory, syscall.EINVAL)
	case memory != "" && o.Access == AccessDescriptor:
		return fmt.Errorf("%s with AccessDescriptor: %w", memory, syscall.EINVAL)
	case o.Access == AccessMemory && writable && !o.Private && flag&(os.O_SYNC|sys.DataSync) != 0:
		return fmt.Errorf("option AccessMemory with O_SYNC or O_DSYNC, whose writes the descriptor serves: %w", syscall.EINVAL)
	case o.Length > 0 && flag&os.O_TRUNC != 0 && !grows:
		return fmt.Errorf("option Length with O_TRUNC: a window in a file cut to nothing, which %s cannot grow: %w",
			o.fixes(flag), io.ErrUnexpectedEOF)
	case flag&os.O_APPEND != 0 && o.Length > 0:
		return fmt.Errorf("option Length with O_APPEND: %w", syscall.EINVAL)
	case flag&os.O_APPEND != 0 && o.Offset > 0:
		return fmt.Errorf("option Offset with O_APPEND: %w", syscall.EINVAL)
	}
	return nil
}

// checkFile is check for a Region of a file: some options are for memory
// without one.
func (o *Options) checkFile(flag int) error {
	if o.Share {
		return fmt.Errorf("option Share with a file: %w", syscall.EINVAL)
	}
	return o.check(flag)
}

// mandatory names the options of o that need memory and must not fail silently.
func (o *Options) mandatory() string {
	var names []string
	for _, g := range []struct {
		name string
		set  bool
	}{
		{"Private", o.Private}, {"Prot", o.Prot != 0}, {"Lock", o.Lock},
		{"MapSync", o.MapSync}, {"AccessMemory", o.Access == AccessMemory},
	} {
		if g.set {
			names = append(names, g.name)
		}
	}
	return strings.Join(names, ", ")
}

// Advice tells the system how a range will be used: the advice of madvise(2)
// and posix_madvise(3).
type Advice uint8

// The advice there is. A system that has not one returns an error wrapping
// [errors.ErrUnsupported] for it; [Advice.Supported] tells beforehand. Ranges
// are widened to whole pages, except where it says "whole pages only": then a
// page that lies partly outside the range is left alone.
const (
	AdviceNormal        = Advice(sys.Normal)        // no special treatment: the default
	AdviceSequential    = Advice(sys.Sequential)    // read ahead far, drop behind early
	AdviceRandom        = Advice(sys.Random)        // do not read ahead
	AdviceWillNeed      = Advice(sys.WillNeed)      // start reading now; PrefetchVirtualMemory on Windows
	AdviceDontNeed      = Advice(sys.DontNeed)      // unmap the pages, whole pages only; what was stored to a file stays. On anonymous memory of Linux the bytes become zero, elsewhere they stay; on private memory of a file it is refused, see [Region.Discard]
	AdviceFree          = Advice(sys.Free)          // anonymous memory, whole pages only: the bytes may become zero at any time until the page is written again
	AdviceCold          = Advice(sys.Cold)          // evict these first, whole pages only
	AdvicePageOut       = Advice(sys.PageOut)       // evict now, whole pages only: clean pages that this process alone has mapped. What lies in the page cache without being mapped stays, and so does what is dirty or mapped by others: see [Region.Evict]
	AdviceHugePage      = Advice(sys.HugePage)      // use huge pages
	AdviceNoHugePage    = Advice(sys.NoHugePage)    // use small pages
	AdviceCollapse      = Advice(sys.Collapse)      // make huge pages of what is there, now
	AdvicePopulateRead  = Advice(sys.PopulateRead)  // bring the pages in, for reading; waits
	AdvicePopulateWrite = Advice(sys.PopulateWrite) // bring the pages in, for writing; waits, and makes a file's pages dirty
	AdviceDontFork      = Advice(sys.DontFork)      // not in a child
	AdviceDoFork        = Advice(sys.DoFork)        // in a child again
	AdviceDontDump      = Advice(sys.DontDump)      // not in a core dump
	AdviceDoDump        = Advice(sys.DoDump)        // in a core dump again
	AdviceMergeable     = Advice(sys.Mergeable)     // merge equal private pages
	AdviceUnmergeable   = Advice(sys.Unmergeable)   // and no longer
)

var adviceNames = [...]string{"Normal", "Sequential", "Random", "WillNeed", "DontNeed", "Free", "Cold",
	"PageOut", "HugePage", "NoHugePage", "Collapse", "PopulateRead", "PopulateWrite", "DontFork", "DoFork",
	"DontDump", "DoDump", "Mergeable", "Unmergeable"}

// String returns the name of the constant.
func (a Advice) String() string {
	if int(a) < len(adviceNames) {
		return adviceNames[a]
	}
	return fmt.Sprintf("Advice(%d)", uint8(a))
}

// Supported reports whether this system has the advice. The kernel in use may
// be older than the advice: then Advise returns an error all the same.
func (a Advice) Supported() bool { return int(a) < len(adviceNames) && sys.HasAdvice(sys.Advice(a)) }

// wholePagesOnly reports whether the advice must not touch a page in part.
func (a Advice) wholePagesOnly() bool {
	return a == AdviceDontNeed || a == AdviceFree || a == AdviceCold || a == AdvicePageOut
}

// Seals are what can no longer be done to shared memory, by any process. They
// combine by or.
type Seals uint8

// The seals of memfd_create(2).
const (
	SealShrink = Seals(sys.SealShrink) // it cannot be made shorter: no peer can take bytes away
	SealGrow   = Seals(sys.SealGrow)   // it cannot be made longer
	SealWrite  = Seals(sys.SealWrite)  // its bytes cannot change
)

// memoryProt returns what memory of a file opened with flag allows, unless Prot
// says so.
func (o *Options) memoryProt(flag int) (p sys.Prot) {
	if flag&os.O_WRONLY == 0 {
		p |= sys.Read
	}
	appends := sys.MappingPinsSize && flag&os.O_APPEND != 0 // such a handle has no right to write anywhere else
	if sys.Writable(flag) && !appends || o.Private {
		p |= sys.Write
	}
	return p
}

// fixes names what in o and flag keeps a write from making the file grow.
func (o *Options) fixes(flag int) string {
	switch {
	case o.Private:
		return "with Private"
	case !sys.Writable(flag):
		return "with O_RDONLY"
	case o.Prot != 0 && o.Prot&ProtWrite == 0:
		return "with Prot"
	}
	return "as a device"
}
