package programs

import (
	"io"
	"math"
	"runtime"
	"unsafe"
)

// Dim is how many float32 a vector has.
const Dim = 128

const vector = 4 * Dim // bytes

// MakeVectors writes vectors of that many bytes, in this processor's order.
func MakeVectors(w io.Writer, size int64) error {
	block := make([]float32, 2048*Dim)
	rng := newRand(3, 3)
	for i := range block {
		block[i] = rng.Float32() - 0.5
	}
	for i := 0; size > 0; i++ {
		block[i%len(block)] += 0.25 // no two blocks are alike
		b := bytesOf(block)
		b = b[:min(int64(len(b)), size)]
		if _, err := w.Write(b); err != nil {
			return err
		}
		size -= int64(len(b))
	}
	return nil
}

// bytesOf are the bytes of v where they lie.
func bytesOf(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// floatsOf are the numbers in b where they lie. Mapped files and large slices
// begin at addresses that are good for it.
func floatsOf(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// Vectors is a set of vectors in a file.
type Vectors struct {
	s      Source
	loaded []byte // all of it, where s cannot show bytes
}

// OpenVectors makes the vectors of s ready to be compared: without a copy where
// s shows its bytes, else by reading them all.
func OpenVectors(s Source) (*Vectors, error) {
	v := &Vectors{s: s}
	if _, ok := s.(Viewer); ok {
		return v, nil
	}
	v.loaded = make([]byte, s.Size())
	const piece = 1 << 20
	for off := int64(0); off < s.Size(); off += piece {
		b := v.loaded[off:min(off+piece, s.Size())]
		if n, err := s.ReadAt(b, off); n < len(b) {
			return nil, err
		}
	}
	return v, nil
}

// Best returns which vector has the largest product with q, of Dim numbers,
// and that product. All processors look.
func (v *Vectors) Best(q []float32) (at int64, product float32, err error) {
	n := runtime.GOMAXPROCS(0)
	all := v.s.Size() / vector
	each := (all + int64(n) - 1) / int64(n)
	found := make([]candidate, n)
	err = workers(n, func(w int) error {
		found[w] = candidate{-1, float32(math.Inf(-1))}
		return v.scan(q, int64(w)*each, min(int64(w+1)*each, all), &found[w])
	})
	best := found[0]
	for _, c := range found[1:] {
		if c.product > best.product {
			best = c
		}
	}
	return best.at, best.product, err
}

// candidate is a vector and its product.
type candidate struct {
	at      int64
	product float32
}

// scan looks at the vectors [from, to).
func (v *Vectors) scan(q []float32, from, to int64, best *candidate) error {
	const piece = 1 << 20 / vector
	for at := from; at < to; at += piece {
		n := min(piece, to-at)
		see := func(b []byte) error {
			values := floatsOf(b)
			for i := range n {
				if p := dot(q, values[i*Dim:(i+1)*Dim]); p > best.product {
					*best = candidate{at + i, p}
				}
			}
			return nil
		}
		if v.loaded != nil {
			_ = see(v.loaded[at*vector : (at+n)*vector])
		} else if err := look(v.s, at*vector, n*vector, nil, see); err != nil {
			return err
		}
	}
	return nil
}

// dot multiplies two vectors of Dim numbers.
func dot(a, b []float32) float32 {
	x, y := (*[Dim]float32)(a), (*[Dim]float32)(b)
	var s0, s1, s2, s3 float32
	for i := 0; i < Dim; i += 4 {
		s0 += x[i] * y[i]
		s1 += x[i+1] * y[i+1]
		s2 += x[i+2] * y[i+2]
		s3 += x[i+3] * y[i+3]
	}
	return s0 + s1 + s2 + s3
}
