// This file may use unsafe: it copies between memory the runtime knows and
// memory it does not, and it alone turns a fault into a value.

package mmap

import (
	"encoding/binary"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"unsafe"
)

// maxCopy bounds one copy. A memmove cannot be preempted, and while it runs the
// collector waits: 1 GiB in one piece holds it up for 200 ms. Between two
// pieces there is a call, and with it a place to stop.
const maxCopy = 256 << 10

// guarded copies n bytes, a piece at most, and reports whether it got to the
// end. The caller has set SetPanicOnFault. A fault says nothing about how much
// was copied (the tail may have been touched first), so neither does guarded.
//
// It refuses what would have to be copied backwards: on amd64 without AVX a
// fault in a backward copy leaves the processor's direction flag set, and the
// process corrupts itself.
//
// The closure captures ok alone and calls recover only when something
// happened: this form costs about 5 ns, others up to twice that.
// The arrays bound n by one comparison; they are longer than
// what they stand for, which checkptr must not hold against them.
//
//go:noinline
//go:nocheckptr
func guardedCopy(dst, src unsafe.Pointer, n int) (ok bool) {
	if uintptr(dst)-uintptr(src) < uintptr(n) {
		return false // overlapping: see transfer
	}
	defer func() {
		if !ok {
			recover()
		}
	}()
	copy((*[maxCopy]byte)(dst)[:n], (*[maxCopy]byte)(src)[:n])
	ok = true
	return
}

// dataPtr returns where p's bytes lie.
func dataPtr(p []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p)) }

// stringBytes returns the bytes of s, not to be written to.
func stringBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// addr returns where the Region's byte off lies. It may be past the mapping
// only as far as one byte, for an empty range.
func (m *mapping) addr(off int64) unsafe.Pointer { return unsafe.Add(m.at, off) }

// bytes returns the Region's bytes [off, off+n) as they lie in memory.
func (m *mapping) bytes(off, n int64) []byte {
	return unsafe.Slice((*byte)(m.addr(off)), n)[:n:n]
}

// pagesOf returns the memory of the whole pages that hold [off, off+n).
func (m *mapping) pagesOf(off, n int64) []byte {
	return m.mem.Bytes()[AlignDown(m.lead+off):min(alignUp(m.lead+off+n), int64(m.mem.Len()))]
}

// contains reports whether p begins in memory of the Region: the mapping's, or
// an earlier one's.
func (m *mapping) contains(p []byte) bool {
	_, has := m.mem.Offset(uintptr(dataPtr(p)))
	return has || m.inOld(p)
}

// overlaps reports whether p may share bytes of the file with as many at off:
// the kernel, which copies page by page, would smear them.
func (m *mapping) overlaps(p []byte, off int64) bool {
	if m.inOld(p) {
		return true
	}
	at, n := uintptr(m.addr(off)), uintptr(len(p))
	return at-uintptr(dataPtr(p)) < n || uintptr(dataPtr(p))-at < n
}

// snapshot returns a copy of p, which lies in mapped memory, or p itself if it
// cannot be read: then the kernel will say so.
func snapshot(p []byte) []byte {
	q := make([]byte, len(p))
	if copyChunks(dataPtr(q), dataPtr(p), len(p), maxCopy) < len(p) {
		return p
	}
	return q
}

// load copies from the mapping in pieces of at most step bytes and returns
// how many bytes arrived for certain: all, or whole pieces before a fault.
func (m *mapping) load(p []byte, off int64, step int) int {
	if m.inOld(p) {
		q := make([]byte, len(p))
		return copyChunks(dataPtr(p), dataPtr(q), m.load(q, off, step), maxCopy)
	}
	n := copyChunks(dataPtr(p), m.addr(off), len(p), step)
	runtime.KeepAlive(m)
	return n
}

// store copies into the mapping, as load copies out of it.
func (m *mapping) store(p []byte, off int64, step int) int {
	if m.inOld(p) {
		p = snapshot(p)
	}
	n := copyChunks(m.addr(off), dataPtr(p), len(p), step)
	runtime.KeepAlive(m)
	return n
}

// copyChunks copies n bytes in pieces, guarded, and returns how many arrived for
// certain.
func copyChunks(dst, src unsafe.Pointer, n, step int) (done int) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	if uintptr(dst)-uintptr(src) < uintptr(n) {
		return copyBackward(dst, src, n)
	}
	for done < n {
		c := min(step, n-done)
		if !guardedCopy(unsafe.Add(dst, done), unsafe.Add(src, done), c) {
			break
		}
		done += c
	}
	return done
}

// copyBackward copies n bytes to a place that begins inside them, from the end on,
// through a buffer. It arrives whole or not at all.
func copyBackward(dst, src unsafe.Pointer, n int) int {
	var buf [512]byte
	for left := n; left > 0; {
		c := min(left, len(buf))
		left -= c
		if !guardedCopy(unsafe.Pointer(&buf), unsafe.Add(src, left), c) ||
			!guardedCopy(unsafe.Add(dst, left), unsafe.Pointer(&buf), c) {
			return 0
		}
	}
	return n
}

// zero zeroes the mapping's bytes [off, end) where they are not zero yet, so
// that clean pages stay clean. Bytes that cannot be reached need no clearing.
func (m *mapping) zero(off, end int64) {
	var zero, have [512]byte
	for off < end {
		n := min(end-off, int64(len(have)))
		if m.load(have[:n], off, maxCopy) == int(n) && have != zero {
			m.store(zero[:n], off, maxCopy)
		}
		have = zero
		off += n
	}
}

// swapWord stores new at off, which is aligned in memory, if old is there, in one
// step, and reports whether it did.
func (m *mapping) swapWord(off int64, old, new [4]byte) bool {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	swapped, ok := guardedSwap(m.addr(off), binary.NativeEndian.Uint32(old[:]), binary.NativeEndian.Uint32(new[:]))
	runtime.KeepAlive(m)
	return swapped && ok
}

// guardedSwap compares and swaps, and reports whether it swapped, and whether
// the memory was there. The caller has set SetPanicOnFault.
//
//go:noinline
func guardedSwap(at unsafe.Pointer, old, new uint32) (swapped, ok bool) {
	defer func() {
		if !ok {
			recover()
		}
	}()
	swapped = atomic.CompareAndSwapUint32((*uint32)(at), old, new)
	ok = true
	return
}

// faultAddr returns the address of a fault, given the value of a panic.
func faultAddr(v any) (addr uintptr, ok bool) {
	fault, ok := v.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return 0, false
	}
	return fault.Addr(), true
}

// copyBuffer is what copies to and from strangers go through: they may hand a
// slice to another goroutine, where no guard stands, or use it as scratch. It
// is as long as what io.Copy takes for an os.File.
type copyBuffer [32 << 10]byte

var bufferPool = sync.Pool{New: func() any { return new(copyBuffer) }}

// headPages returns the memory of the first n bytes, in whole pages.
func (m *mapping) headPages(n int64) []byte {
	return m.pagesOf(-m.lead, m.lead+n)
}

// inOld reports whether p begins in the memory of an earlier mapping.
func (m *mapping) inOld(p []byte) bool {
	old := m.old.Load()
	if old == nil {
		return false
	}
	for _, s := range *old {
		if _, ok := s.Offset(uintptr(dataPtr(p))); ok {
			return true
		}
	}
	return false
}
