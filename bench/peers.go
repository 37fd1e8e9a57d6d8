//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"io"
	"os"
	"unsafe"

	edsrzfmmap "github.com/edsrzf/mmap-go"
	"github.com/seed-93fed273/mmap"
	expmmap "golang.org/x/exp/mmap"
	"golang.org/x/sys/unix"
)

// reader is what every way of reading a file at an offset has.
type reader interface {
	io.ReaderAt
	io.Closer
}

// opener opens a file for reading in one of the ways. Rows whose calls take a
// microsecond and more use these; the faster ones call the types themselves,
// because a call through an interface costs a fifth of what they measure.
type opener struct {
	name string
	open func(name string) reader
}

var (
	openOSFile = opener{osFile, func(name string) reader { return must1(os.Open(name)) }}
	openXExp   = opener{xExp, func(name string) reader { return must1(expmmap.Open(name)) }}
	openEdsrzf = opener{edsrzf, func(name string) reader { return mapEdsrzf(name, edsrzfmmap.RDONLY) }}
	openRegion = opener{region, func(name string) reader { return must1(mmap.Open(name)) }}

	openers = []opener{openOSFile, openXExp, openEdsrzf, openRegion}
)

// edsrzfMap is how github.com/edsrzf/mmap-go is used: a slice, and copy.
type edsrzfMap struct{ m edsrzfmmap.MMap }

// mapEdsrzf maps all of a file.
func mapEdsrzf(name string, prot int) *edsrzfMap {
	flag := os.O_RDONLY
	if prot == edsrzfmmap.RDWR {
		flag = os.O_RDWR
	}
	f := must1(os.OpenFile(name, flag, 0))
	defer f.Close()
	return &edsrzfMap{must1(edsrzfmmap.Map(f, prot, 0))}
}

func (e *edsrzfMap) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(e.m)) {
		return 0, io.EOF
	}
	n := copy(p, e.m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (e *edsrzfMap) WriteAt(p []byte, off int64) (int, error) {
	return copy(e.m[off:], p), nil
}

func (e *edsrzfMap) Close() error { return e.m.Unmap() }

// mapRegion makes a Region map its file now, if it has not.
func mapRegion(r *mmap.Region) {
	must(r.View(0, 1, func([]byte) error { return nil }))
}

// readThrough reads all of r in order, so that every page was touched.
func readThrough(r io.ReaderAt, size int64, buf []byte) {
	for off := int64(0); off < size; off += int64(len(buf)) {
		n := min(int64(len(buf)), size-off)
		must1(r.ReadAt(buf[:n], off))
	}
}

// openWarmRegion opens a Region, maps it and touches every page.
func openWarmRegion(name string, size int64) *mmap.Region {
	r := must1(mmap.Open(name))
	mapRegion(r)
	readThrough(r, size, make([]byte, miB))
	return r
}

// sum adds up b's 8-byte words in four chains: as fast as memory comes.
func sum(b []byte) uint64 {
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
	var s0, s1, s2, s3 uint64
	i := 0
	for ; i+8 <= len(words); i += 8 {
		w := (*[8]uint64)(words[i : i+8])
		s0 += w[0] + w[4]
		s1 += w[1] + w[5]
		s2 += w[2] + w[6]
		s3 += w[3] + w[7]
	}
	for ; i < len(words); i++ {
		s0 += words[i]
	}
	return s0 + s1 + s2 + s3
}

// sink takes what was computed, so that nothing is optimised away.
//
//lint:ignore U1000 nobody reads it
var sink uint64

// mincore is mincore(2), which x/sys does not have on Linux.
func mincore(m, vec []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE,
		uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
