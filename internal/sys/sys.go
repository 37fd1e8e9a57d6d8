// Package sys holds the kernel's verbs for mapped memory and the files behind
// it: one contract, written here, and one implementation a system. It alone
// imports golang.org/x/sys.
//
// The contract, for every system:
//
//   - Input is aligned already. A file offset is a multiple of [Granularity],
//     the length of a mapping is a positive multiple of [PageSize], and every
//     slice of memory begins at a page and ends at one. Nothing here rounds.
//   - Memory is passed as the slice that covers it. Only the slice that [Map]
//     returned may go to [Revoke] and [Unmap]; parts of it may go to the rest.
//   - Errors are the system's own (syscall.Errno), without file or operation,
//     and wrap [errors.ErrUnsupported] where the system has no such power. A
//     verb that promises something never pretends; one that is called a hint
//     may do nothing.
//   - A descriptor is valid while the call runs: the caller sees to that.
package sys

import "os"

// Prot says what the processor lets a program do with a page.
type Prot uint8

// The protections; no bit set is memory that cannot be touched.
const (
	Read Prot = 1 << iota
	Write
	Exec
)

// Flag says what kind of mapping is wanted.
type Flag uint8

// The kinds; no flag at all is a shared mapping of a file.
const (
	Private   Flag = 1 << iota // copy-on-write: stores never reach the file
	Anonymous                  // zeroed memory, no file: descriptor and offset are ignored
	NoReserve                  // a hint: set no swap space aside
	SyncMap                    // MAP_SYNC: stores need no msync to survive, or an error
)

// Info is what the library asks of a descriptor.
type Info struct {
	Size    int64 // bytes
	Regular bool  // a regular file
	Dir     bool  // a directory
	Block   bool  // a block device whose size is known
	Changed int64 // another number after each change of the file, made of its times; 0 where nobody tells

	// Seekable is set by OpenFile alone, which asks while nobody else has the
	// descriptor: see the verb of this name.
	Seekable bool
}

// Advice is a use of memory that the caller announces.
type Advice uint8

// The advices, in the order of the library's own constants.
const (
	Normal Advice = iota
	Sequential
	Random
	WillNeed
	DontNeed
	Free
	Cold
	PageOut
	HugePage
	NoHugePage
	Collapse
	PopulateRead
	PopulateWrite
	DontFork
	DoFork
	DontDump
	DoDump
	Mergeable
	Unmergeable
)

// Cache counts the pages of a range of a file, as cachestat(2) does.
type Cache struct {
	Cached, Dirty, Writeback, Evicted, RecentlyEvicted uint64
}

// EOFPage is what a file system does with what follows the end of a file in its
// last page.
type EOFPage struct {
	NoWriteback       bool // the pages are all there is: they are never dirty, and never written back
	GrowsFile         bool // a mapping that is longer than the file makes the file longer
	ZeroedByWriteback bool // writing the page clears it, and with it what a write past the end, under way, has put there already
}

// Coherence says what it takes to make memory show what a read through the descriptor
// does, after somebody else has changed the file.
type Coherence uint8

// What it takes.
const (
	Always      Coherence = iota // nothing: both are the same pages
	AfterRead                    // a read through the descriptor: then the system looks whether its pages are out of date, and drops them (network file systems, FUSE)
	AfterReopen                  // a new mapping of a descriptor that is opened anew: the first change puts another file in the place of the one that is mapped (overlayfs)
)

// Seals are what can no longer be done to a file of memory.
type Seals uint8

// The seals of memfd_create(2).
const (
	SealShrink Seals = 1 << iota
	SealGrow
	SealWrite
)

// Writable reports whether a file opened with flag can be written.
func Writable(flag int) bool {
	return flag&(os.O_RDWR|os.O_WRONLY) != 0 || AppendWrites && flag&os.O_APPEND != 0
}

// The verbs every system implements:
//
//	const Mappable     bool // this system maps files at all
//	const MapsPastEOF      bool // a shared mapping longer than its file shows, later, the bytes by which the file grows
//	const MappingPinsSize    bool // a file cannot be made shorter than a live mapping of it (Windows)
//	const Coherent     bool // memory and descriptor always show the same bytes, but for IsRemote (false on OpenBSD)
//	const PopulateStores bool // Populate for writing fails where a store would fault
//	const RemoteDiffers bool // they do not for files on other hosts, see IsRemote (Windows)
//	const SyncFileCoversMemory bool // SyncFile commits what was stored to mappings of the file too
//	const AppendWrites bool // O_APPEND alone lets a file be written, also with O_RDONLY (Windows)
//	const Direct       int  // O_DIRECT, or 0
//	const DataSync     int  // O_DSYNC, or 0
//
//	func PageSize() int
//	func Granularity() int // of file offsets
//	func MaxMaps() int     // how many mappings the system allows a process
//	func AddressSpace() uint64 // bytes of addresses the process may use
//
//	const PathOnly int     // O_PATH, or 0
//	const HasPread bool    // Pread works
//
//	func OpenFile(name string, flag int, perm fs.FileMode) (*os.File, Info, error) // as os.OpenFile
//	func OpenFlags(f *os.File) (flag int, err error) // how f was opened: see Reopen
//	func Stat(fd uintptr) (Info, error)
//	func Seekable(fd uintptr) bool // it has an offset, which asking does not move
//	func Pread(fd uintptr, p []byte, off int64) (int, error) // one pread(2), which may return less than there is
//	func RefusesShared(err error) bool // an error of Map that a private mapping might not have
//	func Reopen(f *os.File) (own *os.File, flag int, alone bool, err error)
//		// a descriptor of the library's own for f's file, and how f was opened (os.O_RDONLY, O_WRONLY or
//		// O_RDWR, with O_APPEND, O_SYNC, Direct, DataSync, PathOnly and O_NOATIME where set). Alone: it shares neither offset nor
//		// locks with f; otherwise it is a duplicate, and its offset must not be moved. The file's offset
//		// and f are left as they were.
//
//	func Map(fd uintptr, off int64, n int, p Prot, f Flag, hint uintptr) ([]byte, error)
//	func Revoke(b []byte) error // in one step the range faults on every access, and stays taken
//	func Unmap(b []byte) error  // the addresses go back; b may be revoked or not
//	func Protect(b []byte, p Prot) error
//	func Populate(b []byte, write bool) error // brings pages in, inside a system call, as a load or a store would; errors.ErrUnsupported where there is no such call, and then nothing was started
//	func Lock(b []byte) error
//	func Unlock(b []byte) error
//
//	func Sync(fd uintptr, b []byte) error // what was stored to b is on stable storage; so is the size of the file
//	func SyncMemory(b []byte) error       // what was stored to b is in the file, and what memory shows is what the descriptor does; stable it is after SyncFile
//	func SyncFile(fd uintptr) error       // everything written to the file, and its size, is on stable storage
//	func BeforeStart(err error) bool      // an error of a Seek to before the first byte
//	func Transient(err error) bool        // an error of Sync, SyncMemory or SyncFile by which nothing was lost
//	func StartWriteback(fd uintptr, off, n int64, b []byte) error // starts the writing of these bytes of the file; b may be nil
//	func DiskFull(fd uintptr) bool            // the file system has no free block for an ordinary user, or so few that a page may find none
//
// and the control verbs:
//
//	func Advise(b []byte, a Advice) error // errors.ErrUnsupported for what the system has not
//	func HasAdvice(a Advice) bool             // whether Advise can work at all on this system
//	func Resident(b []byte, in []bool) error // one element a page
//	func Present(b []byte, in []bool) error // one element a page: whether it is mapped in this process, and so part of its resident set
//	func CacheStat(fd uintptr, off, n int64) (Cache, error)
//	func Allocate(fd uintptr, off, n int64) error // disk blocks for these bytes; the file grows to off+n, its bytes stay, and so does what others append meanwhile; errors.ErrUnsupported where that cannot be done
//	func Reserve(fd uintptr, off, n int64) error // disk blocks for these bytes, which may lie past the end of the file; its size stays; errors.ErrUnsupported where there is no such call
//	func CopyRange(dst uintptr, dstOff int64, src uintptr, srcOff, n int64) (int64, error) // copies inside the kernel
//	type Pipe; func NewPipe() (*Pipe, error); Fill, Drain, Read, Close // from a socket to a file inside the kernel
//	func Evict(fd uintptr, off, n int64) error // these bytes of the file leave the page cache, dirty ones are written first; errors.ErrUnsupported where that cannot be asked for
//	func TryWrite(fd uintptr, off int64) error // why a byte cannot be written there, found out without writing it; nil where nobody tells
//	func PunchHole(fd uintptr, off, n int64) error    // these bytes of the file read as zeros and their blocks are free, the size stays; errors.ErrUnsupported where there is no such call
//	func DiscardPages(b []byte, p Prot, anonymous bool) error // private or anonymous pages are given back: they show the file's bytes, or zeros, again; p is what they all allow; advice may be forgotten
//	func RevokePart(b []byte) error // as Revoke, for a part of a mapping
//	func NewMemFile(name string, size int64) (*os.File, error) // a file of memory, without a name in any directory, readable and writable
//	func Seal(fd uintptr, s Seals) error
//	func CheckResidencyVisible(fd uintptr) error // an error if Resident would not tell this process the truth about the file
//	func LockLimit() uint64        // bytes a process may pin; math.MaxUint64 for no limit
//	func PreadNowait(fd uintptr, p []byte, off int64) (int, error) // reads what is cached, starts reading the rest, waits for nothing; the only error is errors.ErrUnsupported, and then this file need not be asked again
//	func LookForFilter() // notices that the process may call less than it could at its start
//	const CountsWrites bool // Pwrite is there
//	func Pwrite(fd uintptr, p []byte, off int64) (int, error) // as os.File.WriteAt, and counts what arrived before an error
//	func MajorFaults() int64 // faults of this process that waited for storage so far; 0 where nobody tells
//	func Control(f *os.File, conn syscall.RawConn, fn func(fd uintptr)) error // runs fn with a descriptor that stays open
//	func Close(f *os.File, conn syscall.RawConn) error // f.Close, beside whatever calls; conn is f's
//	func EOFPageOf(fd uintptr) EOFPage
//	func IsRemote(fd uintptr) bool // where mappings of files on other hosts do not show what is written through the descriptor (Windows): this is one
//	func AwaitWrites(fd uintptr) // every write to the file that had begun is done, and Stat counts it
//	func CoherenceOf(fd uintptr) Coherence
//	func Reopened(fd uintptr, fn func(fd uintptr)) error // calls fn with a descriptor opened anew for reading, and closes it
//	func SystemTime() int64 // seconds since 1970, by the system's clock and no other
//	func IsPseudo(fd uintptr) bool // a file without a size, made up as it is read
//	func WriteBack(fd uintptr, off int64) error // where EOFPage.ZeroedByWriteback: no page starting at off is dirty, unless somebody stores to it again
