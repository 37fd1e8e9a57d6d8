// Package mmap maps files into memory and keeps them files: a [Region] gives a
// program a file's bytes at memory speed, and behaves in every other way as an
// [os.File] does, with the same counts, the same errors and the same growth.
//
// # Use
//
// The five calls you need:
//
//   - [Open] opens a file for reading, as os.Open does. [Create], [OpenFile] and
//     [Map], for a file that is open already, are for the rest.
//   - [Region.ReadAt] reads bytes into a buffer, and [Region.WriteAt] writes them.
//   - [Region.View] lends the bytes themselves to a function, without a copy. A
//     fault in the function is an error. [Region.ViewChunks] is for whole files.
//   - [Region.Flush] makes durable what was written.
//   - [Region.Close] ends it all.
//
// A Region is an [io.ReaderAt], [io.WriterAt], [io.Seeker] and [io.Closer], and
// whatever else an os.File is, so that it can be passed to io.Copy, bufio and
// http.ServeContent, or wrapped in an io.SectionReader. It also has the methods of
// golang.org/x/exp/mmap: changing the import is enough to come from there.
//
// # The methods of a Region by subject
//
// Opening: [Open], [Create], [CreateTemp], [OpenFile], [Map], [Anonymous],
// [DirFS]; [Region.Close]. About the file: [Region.Name], [Region.Size],
// [Region.Len], [Region.Stat], [Region.Refresh], [Region.Chmod], [Region.Chown],
// [Region.File], [Region.Fd], [Region.SyscallConn].
//
// Reading: [Region.ReadAt], [Region.Read], [Region.ReadByte],
// [Region.UnreadByte], [Region.At], [Region.Seek], [Region.WriteTo],
// [Region.Prefetch], [Region.SetReadDeadline].
//
// Writing: [Region.WriteAt], [Region.Write], [Region.WriteByte],
// [Region.WriteString], [Region.ReadFrom], [Region.Truncate], [Region.Allocate],
// [Region.Reserve], [Region.Discard], [Region.SetWriteDeadline].
//
// Memory: [Region.View], [Region.ViewChunks], [ViewSlice]; unguarded are
// [Region.Bytes], [Slice] and [Pointer]. [Region.Mapped] says whether there is any.
//
// Durability: [Region.Flush], [Region.FlushRange], [Region.FlushAsync],
// [Region.Sync].
//
// Control: [Region.Advise], [Region.Resident], [Region.CacheStat],
// [Region.Evict], [Region.Lock], [Region.Unlock], [Region.Protect],
// [Region.Release], [Region.Seal]; for the whole process [SetResidentLimit] and
// [ReadStats].
//
// # Which call makes it durable
//
//	you want                                       call
//	everything this Region wrote, after power loss Flush
//	the same of a part                             FlushRange
//	the whole file, also what others wrote         Sync
//	writing to begin now, and no promise           FlushAsync
//	the name of a new file                         Sync of its directory, by package os
//
// Close makes nothing durable.
//
// # Which call frees what
//
//	you want to give back                          call                       the bytes
//	memory of this process (RSS)                   Advise, AdviceDontNeed     stay, in the cache
//	the same, and the system may evict the pages   Advise, AdvicePageOut      stay
//	pages of the system's cache                    Evict                      stay, on storage
//	disk blocks inside the file                    Discard                    become zero
//	the end of the file                            Truncate                   are gone
//	addresses of a part, for good                  Release                    stay in the file
//	memory of an anonymous Region                  Discard                    become zero
//	everything                                     Close                      stay in the file
//
// On private memory of a file AdviceDontNeed is refused: it would lose what was
// written. Discard says there that this is wanted.
//
// # Safety
//
// All methods but three return errors, whatever happens to the file: it is
// truncated, its disk fails or is full, another goroutine calls Close. At panics
// as an index out of range does.
//
// Bytes, Slice and Pointer hand out raw memory:
//
//   - [Region.Bytes]: a fault outside View ends the process (SIGBUS if the file was
//     truncated or its storage fails, SIGSEGV after Close or against Protect). The
//     slice keeps nothing alive. A page that is not in memory is read by a page
//     fault, which holds a processor and the garbage collector.
//   - [Slice]: the same. The values have the order of the processor, and another
//     process can change them while they are read.
//   - [Pointer]: the same, and there is no length that shows how much is valid.
//
// After any of them the addresses of the Region cannot be returned before Close,
// and are kept apart after it for as long as possible. Inside [Region.View] of the
// same Region their faults are guarded too. A View of more than 1 MiB may wait in
// page faults; ViewChunks does not.
//
// # What happens to the file
//
// Memory serves what it can serve correctly. Everything else goes to the
// descriptor that every Region keeps, and returns what the system returns: bytes
// past the known end, writes that extend the file, pages that cannot be read. So a
// truncated file ends earlier, a full disk is ENOSPC, a bad sector is EIO, and a
// Close beside a call is os.ErrClosed. None of them is a crash. What cannot be
// mapped (a pipe, a file of /proc, any file on a system without mmap) is read and
// written all the same.
//
// A file is mapped when that begins to pay, after some reads or writes, or when
// View or Bytes need memory. [Options.Access] decides otherwise.
//
// About once a second of use a mapped Region asks the descriptor for the file's
// size and the time of its last change. So it notices what others did to the file.
// [Region.Refresh] asks at once.
//
// A failure of [Region.Flush] stays: every later Flush fails too. The system
// reports a lost write only once, and the Region does not forget it.
//
// # Close
//
// Close revokes the memory in one step and does not wait for readers. A reader in
// the middle of a page faults and gets os.ErrClosed. The addresses go back to the
// system when the garbage collector has proved that nobody holds them. If bytes
// were handed out it cannot prove that. Then the addresses stay revoked for as long
// as there are enough others (an eighth of the address space), so that a stale
// slice faults and does not read another file.
//
// The library uses at most a quarter of the mappings that the system allows a
// process (vm.max_map_count on Linux). Further Regions are served by their
// descriptors. [ReadStats] shows how many there are.
//
// # Concurrency
//
// Every method may run beside every other, Close included. ReadAt and WriteAt
// inside the file, View and Bytes never wait for one another. ReadAt takes no lock
// and writes to no shared memory; WriteAt and View raise at most one counter.
// What changes the file's size or what its pages are holds a lock of the Region
// across its system call, and Close waits for that. Overlapping reads and writes
// may be torn: bytes of both may mix at any boundary, as with memory.
//
// # Where it differs from os.File
//
// Each row has a test of the name TestDifference… .
//
//   - Len, Size and Bytes are what the Region last saw: growth by others shows
//     in them after a read past the end found it.
//   - A file cut by somebody else inside a page: until the Region next asks the
//     descriptor, reads there give zeros up to the end of the page (or folio),
//     and a write there is lost. Flush notices that the file ends before the
//     highest byte stored, and fails; if the file has grown again by then, and
//     the Region did not see it short, nothing is noticed.
//   - Stores to memory are not seen by inotify, move the file's times as the
//     kernel decides (never on tmpfs), and do not clear setuid bits.
//   - Overlapping concurrent reads and writes may tear.
//   - Reading a hole on tmpfs allocates it.
//   - A failed Flush or Sync stays failed.
//   - A fault in the caller's own code on raw bytes is a crash, unless it
//     happens inside View.
//   - A directory is an error at opening.
//   - With Options.Private O_APPEND means nothing: the size is fixed.
//
// # Systems
//
// Linux, Darwin, the BSDs, Solaris, illumos, AIX and Windows map files. On
// OpenBSD, whose memory and descriptors do not show each other's writes, the
// io methods use the descriptor and View writes back what was stored. All
// others (Plan 9, js, wasip1) run on the descriptor alone: Bytes is nil, and
// View an error wrapping [errors.ErrUnsupported].
//
// What no test here can show, because it is the system's:
//
// Everywhere:
//
//   - Reads from memory do not move the file's access time.
//   - A WriteAt to pages that were written before returns nil on a file system
//     that has gone read-only meanwhile; Flush says it.
//   - fcntl(2) record locks belong to the process, and closing any descriptor of
//     the file drops them: Map and Close do that to the locks of a library that
//     has the same file open. Locks of flock(2) and open file descriptions stay.
//   - C code of the program that handles SIGBUS or SIGSEGV itself gets the faults
//     of memory first, and may end the process.
//   - A View of more than 1 MiB of a file that this very process serves by FUSE may
//     fault in Go code, and with GOMAXPROCS=1 nobody is left to answer.
//
// Windows:
//
//   - While a file is mapped nobody, other processes included, can cut, replace
//     or delete it, whatever it was shared for. A file is mapped after eight
//     reads; [AccessDescriptor] prevents that. Close lets go at once from Windows
//     10 of 2018 and Windows Server 2019 on, and before them when the garbage
//     collector has proved that nobody uses the memory.
//   - Locks on ranges of bytes do not bind memory. [Map] opens the file anew, and
//     a lock that was taken by the caller's handle keeps the Region's out: ReadAt
//     then fails through the descriptor and works from memory.
//   - The time of the last write may not move for stores, which WriteAt may make.
//   - With O_APPEND memory cannot be written.
//   - Executable memory is for files that the process may execute, and only if
//     Options.Prot asked for it.
//   - Views of a file on another host are not kept like what ReadFile and WriteFile
//     do: reads and writes use the descriptor, as on OpenBSD.
//   - An anonymous Region's Discard takes the pages away for a moment: View and
//     slices may fault beside it. If the system then has no memory to put in their
//     place, Discard fails, and they fault from then on.
//
// Darwin: Flush is F_FULLFSYNC, which waits for the drive; where the file system
// does not know it, it is F_BARRIERFSYNC or fsync(2), which leave bytes in the
// drive's cache.
//
// OpenBSD: while bytes are lent or handed out every read and write by the
// descriptor synchronises their pages (msync(2)), before and after. What another
// process writes shows in memory at the next View.
//
// Sandboxes: what a seccomp filter refuses is done without; [Region.Resident] is an
// error where mincore(2) is denied, as by systemd's @system-service.
package mmap

import (
	"io"
	"io/fs"
	"syscall"
)

// The interfaces a Region has.
var (
	_ io.Reader       = (*Region)(nil)
	_ io.ReaderAt     = (*Region)(nil)
	_ io.ByteScanner  = (*Region)(nil)
	_ io.WriterTo     = (*Region)(nil)
	_ io.Seeker       = (*Region)(nil)
	_ io.Writer       = (*Region)(nil)
	_ io.WriterAt     = (*Region)(nil)
	_ io.ByteWriter   = (*Region)(nil)
	_ io.StringWriter = (*Region)(nil)
	_ io.ReaderFrom   = (*Region)(nil)
	_ io.Closer       = (*Region)(nil)
	_ fs.File         = (*Region)(nil)
	_ syscall.Conn    = (*Region)(nil)
)
