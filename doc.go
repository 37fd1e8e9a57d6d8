// Package mmap maps files into memory and keeps them files: a [Region] gives a
// program a file's bytes at memory speed, and behaves in every other way as an
// [os.File] does, with the same counts, the same errors and the same growth.
//
// # Use
//
// [Open], [Create] and [OpenFile] stand for their namesakes in package os, and
// [Map] takes a file that is open already. The result is an [io.ReaderAt],
// [io.WriterAt], [io.Seeker] and [io.Closer], and whatever else an os.File is,
// so that it can be passed to io.Copy, bufio and http.ServeContent, or wrapped
// in an io.SectionReader. It also has the methods of golang.org/x/exp/mmap:
// changing the import is enough to come from there.
//
// Without a copy, [Region.View] lends the bytes themselves to a function, with
// faults turned into errors; [Region.Bytes], [Slice] and [Pointer] hand them
// out until Close, at the caller's risk.
//
// # What happens to the file
//
// Memory serves what it serves correctly. Everything else goes to the
// descriptor that every Region keeps, and returns what the system returns:
// bytes past the known end, writes that extend the file, pages that cannot be
// had. So a file that somebody truncates ends earlier, a full disk is ENOSPC, a
// bad sector is EIO, and a Close in the middle is os.ErrClosed; none of them is
// a crash. What cannot be mapped (a pipe, a file of /proc, a system without
// mmap) is read and written all the same.
//
// [Region.Flush] makes durable what was written. Once it failed it stays
// failed: the system reports a lost write only once, the Region remembers it.
//
// # Close
//
// Close revokes the memory in one step, without waiting for readers: who is in
// the middle of a page faults and gets os.ErrClosed. The addresses go back to
// the system when the garbage collector has proved that nobody holds them; if
// bytes were handed out it can prove nothing, and they stay revoked for as long
// as there are addresses to spare (an eighth of the address space), so that a
// stale slice faults rather than reads another file. At a quarter of the
// system's limit of maps (vm.max_map_count on Linux) the library stops mapping
// and serves further Regions by their descriptors.
//
// # Concurrency
//
// Every method may run beside every other, Close included. ReadAt, WriteAt
// inside the file, View and Bytes never wait for one another and write to no
// shared memory. Overlapping reads and writes may be torn: bytes of both may
// mix at any boundary, as with memory.
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
//     then fails by the descriptor and works from memory.
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
