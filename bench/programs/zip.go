package programs

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io"
	"sync/atomic"
)

// zipMember is how many bytes of the archive each member takes, about.
const zipMember = 1 << 20

// MakeZip writes an archive of about size bytes to w. Every other member is
// compressed, the others are stored as they are.
func MakeZip(w io.Writer, size int64) error {
	stored := make([]byte, zipMember)
	fillRandom(stored, 1)
	text := make([]byte, 4*zipMember)
	fillText(text, 2)
	var packed bytes.Buffer
	f, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for i := 0; size > 0; i++ {
		h := &zip.FileHeader{Name: fmt.Sprintf("dir%d/member%d", i%16, i), Method: zip.Store,
			CRC32: crc32.ChecksumIEEE(stored), CompressedSize64: uint64(len(stored)), UncompressedSize64: uint64(len(stored))}
		body := stored
		if i%2 == 1 {
			h.Method, h.CRC32 = zip.Deflate, crc32.ChecksumIEEE(text)
			h.CompressedSize64, h.UncompressedSize64 = uint64(packed.Len()), uint64(len(text))
			body = packed.Bytes()
		}
		m, err := z.CreateRaw(h) // what is the same need not be compressed again
		if err != nil {
			return err
		}
		if _, err := m.Write(body); err != nil {
			return err
		}
		size -= int64(len(body))
	}
	return z.Close()
}

// Unzip reads all members of the archive in n goroutines. Package zip checks
// their sums. It returns how many bytes they have.
func Unzip(s Source, n int) (int64, error) {
	z, err := zip.NewReader(s, s.Size())
	if err != nil {
		return 0, err
	}
	var next, total atomic.Int64
	err = workers(n, func(int) error {
		buf := make([]byte, 64<<10)
		for i := next.Add(1) - 1; i < int64(len(z.File)); i = next.Add(1) - 1 {
			m, err := z.File[i].Open()
			if err != nil {
				return err
			}
			got, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, m, buf)
			m.Close()
			if err != nil {
				return err
			}
			total.Add(got)
		}
		return nil
	})
	return total.Load(), err
}
