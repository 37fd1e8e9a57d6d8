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
