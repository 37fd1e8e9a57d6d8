// Package mmapgo has the API of github.com/edsrzf/mmap-go (v1.2.0) on top of
// package mmap: a program comes over by changing one line,
//
//	import mmap "github.com/seed-93fed273/mmap/mmapgo"
//
// and keeps its calls as they are. New programs use package mmap itself. Its
// Region also turns a fault into an error in every read and write, which a
// slice of bytes cannot do.
//
// # What gets safer
//
//   - After [MMap.Unmap] the memory is revoked. A slice that is left over
//     faults when it is touched, rather than show whatever was mapped at the
//     same address next. The addresses are used again only when the library
//     runs short of them.
//   - [MMap.View] is new: during it a fault (a file that somebody truncated, a
//     full disk, failing storage, an Unmap on another goroutine) is an error,
//     not the end of the process.
//   - A mapping past the end of the file is no trap. With RDWR the file is
//     extended to hold it; without, MapRegion returns an error.
//   - MapRegion with a negative length and an offset maps the rest of the file.
//     The original maps as many bytes as the file has, from offset on, and so
//     past its end.
//   - [MMap.Flush] of a file that somebody truncated below the mapping's end
//     returns an error: what was stored there may be lost. A Flush that failed
//     because a write was lost stays failed; the kernel says it only once.
//   - Lock, Unlock, Flush and View take any part of a mapping, at any
//     alignment. A slice that is no part of one (nil, unmapped, memory of the
//     Go heap) is an error wrapping [syscall.EINVAL], and nothing is touched.
//   - Two goroutines may Unmap the same mapping: one succeeds. No call of
//     this package may disturb another one that runs at the same time.
//   - A file too large for an int, which 32-bit systems have, is an error.
//   - Unmap on Windows does not need the file to be still open.
//   - When a process has used up a quarter of the system's limit of mappings,
//     Map and MapRegion return an error. Past the whole limit the Go heap
//     itself cannot grow, and the process ends.
//
// # What differs
//
//   - A mapping keeps a descriptor of its own, so the file given to Map may be
//     closed, but each mapping counts towards the limit of open files. It is
//     closed by Unmap; closing any descriptor of a file releases the record
//     locks (fcntl) that the process holds on it.
//   - Only regular files can be mapped, not devices.
//   - Unmap does not wait for the disk, on Windows either. What was stored is in
//     the system's cache, and other processes see it; Flush puts it on
//     stable storage.
//   - Flush makes the file's size durable too, and uses the strongest means of
//     the system (F_FULLFSYNC on Darwin), where the original may do less.
//   - Anonymous memory is not shared with a child made by a raw fork.
//   - Errors are those of package mmap: *fs.PathError with the file's name. On
//     systems that do not map files they wrap [errors.ErrUnsupported].
//   - Windows: an offset may be any multiple of the page size, not only of 64 KiB.
//
// Everything else is as it was, the risk of raw memory included: outside View a
// fault in the slice ends the process, a store through a slice mapped RDONLY
// is a fault, and a mapping that is never unmapped stays for ever.
package mmapgo
