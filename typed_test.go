package mmap_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/seed-93fed273/mmap"
)

// ctlPoint is a type that may lie in mapped memory.
type ctlPoint struct {
	X, Y int32
	Tags [2]struct {
		A uint8
		B float64
	}
	_ [0]*int
}

// ctlNested hides a pointer two levels down.
type ctlNested[T any] struct {
	A int
	B [2]struct{ C T }
}

// ctlTyped tries Pointer and Slice of one type at byte 0.
func ctlTyped[T any](r *mmap.Region) error {
	_, err1 := mmap.Pointer[T](r, 0)
	_, err2 := mmap.Slice[T](r, 0, 1)
	if (err1 == nil) != (err2 == nil) {
		return fmt.Errorf("Pointer says %v, Slice says %v", err1, err2)
	}
	return err1
}

// ctlAnonymous returns anonymous memory that is closed with the test.
func ctlAnonymous(t testing.TB, size int64, opts *mmap.Options) *mmap.Region {
	t.Helper()
	needsMemory(t)
	r, err := mmap.Anonymous(size, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestTypedKinds tries every kind of type: plain ones go, whatever holds a
// pointer at any depth does not, and neither does what has no bytes.
func TestTypedKinds(t *testing.T) {
	r := ctlAnonymous(t, 4*mmap.PageSize(), nil)
	for name, try := range map[string]func(*mmap.Region) error{
		"bool": ctlTyped[bool], "int8": ctlTyped[int8], "uint16": ctlTyped[uint16], "int32": ctlTyped[int32],
		"int64": ctlTyped[int64], "uint": ctlTyped[uint], "uintptr": ctlTyped[uintptr],
		"float32": ctlTyped[float32], "float64": ctlTyped[float64],
		"complex64": ctlTyped[complex64], "complex128": ctlTyped[complex128],
		"array": ctlTyped[[3][4]int16], "struct": ctlTyped[ctlPoint], "nested": ctlTyped[ctlNested[uintptr]],
		"atomic": ctlTyped[atomic.Uint64], "named": ctlTyped[os.FileMode],
	} {
		if err := try(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, try := range map[string]func(*mmap.Region) error{
		"pointer": ctlTyped[*int], "unsafe.Pointer": ctlTyped[unsafe.Pointer], "string": ctlTyped[string],
		"slice": ctlTyped[[]byte], "map": ctlTyped[map[int]int], "chan": ctlTyped[chan int],
		"func": ctlTyped[func()], "interface": ctlTyped[any], "error": ctlTyped[error],
		"array": ctlTyped[[2]*int], "atomic": ctlTyped[atomic.Pointer[int]], "atomic.Value": ctlTyped[atomic.Value],
		"nested pointer": ctlTyped[ctlNested[*int]], "nested string": ctlTyped[ctlNested[string]],
		"nested func": ctlTyped[ctlNested[func()]], "nested any": ctlTyped[ctlNested[any]],
		"no bytes": ctlTyped[struct{}], "no elements": ctlTyped[[0]int], "no pointers": ctlTyped[[0]*int],
	} {
		if err := try(r); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v, want EINVAL", name, err)
		}
	}
}

// TestTypedBounds is the table of offsets and lengths, for 8-byte values in
// three pages and 12 bytes.
func TestTypedBounds(t *testing.T) {
	size := 3*mmap.PageSize() + 12
	r := ctlAnonymous(t, size, nil)
	for _, c := range []struct {
		off  int64
		n    int
		want error
	}{
		{0, 0, nil}, {8, 0, nil}, {0, int(size / 8), nil}, {size - 12, 1, nil}, {mmap.PageSize() - 8, 2, nil},
		{-8, 1, syscall.EINVAL}, {0, -1, syscall.EINVAL}, {4, 1, ctlUnaligned64()}, {1, 1, syscall.EINVAL},
		{0, int(size/8) + 1, io.ErrUnexpectedEOF}, {size - 12, 2, io.ErrUnexpectedEOF}, {size - 4, 1, io.ErrUnexpectedEOF},
		{size, 1, io.ErrUnexpectedEOF}, {size + 4, 1, io.ErrUnexpectedEOF}, {math.MaxInt64 - 7, 1, syscall.EINVAL},
		{math.MaxInt64 - 7, 2, syscall.EINVAL}, {8, math.MaxInt/8 + 1, ctlTooMany()},
	} {
		s, err := mmap.Slice[uint64](r, c.off, c.n)
		if !errors.Is(err, c.want) || err == nil && (len(s) != c.n || cap(s) != c.n) {
			t.Errorf("Slice at %d of %d: %d of %d, %v; want %v", c.off, c.n, len(s), cap(s), err, c.want)
		}
		if c.n != 1 {
			continue
		}
		if p, err := mmap.Pointer[uint64](r, c.off); !errors.Is(err, c.want) || (p == nil) != (err != nil) {
			t.Errorf("Pointer at %d: %v, %v; want %v", c.off, p, err, c.want)
		}
	}
}

// ctlUnaligned64 is what is wrong with a 64-bit value at byte 4: nothing where
// the compiler aligns such to 4.
func ctlUnaligned64() error {
	if unsafe.Alignof(uint64(0)) <= 4 {
		return nil
	}
	return syscall.EINVAL
}

// ctlTooMany is what is wrong with more bytes than an int counts: they are
// past the end where an int64 counts them.
func ctlTooMany() error {
	if math.MaxInt == math.MaxInt32 {
		return io.ErrUnexpectedEOF
	}
	return syscall.EINVAL
}

// TestTypedUnaligned checks that alignment is that of the address: a window
// may begin at any byte of a file.
func TestTypedUnaligned(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(0, 8192))
	for lead := range int64(8) {
		r := openMapped(t, name, os.O_RDWR, &mmap.Options{Offset: lead, Length: 100})
		for off := range int64(16) {
			_, err := mmap.Pointer[uint32](r, off)
			if ok := (lead+off)%4 == 0; ok != (err == nil) || !ok && !errors.Is(err, syscall.EINVAL) {
				t.Errorf("a uint32 at byte %d of the file: %v", lead+off, err)
			}
		}
	}
}

// TestTypedBytes checks that typed memory is the file's: it shows what WriteAt
// wrote, and ReadAt and the file show what it was set to.
func TestTypedBytes(t *testing.T) {
	needsMemory(t)
	name := newFile(t, make([]byte, 10000))
	r := openRegion(t, name, os.O_RDWR, nil)
	s, err := mmap.Slice[uint16](r, 4000, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s {
		s[i] = uint16(i)*257 + 1
	}
	want := make([]byte, 10000)
	copy(want[4000:], unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 200))
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
		t.Errorf("the file does not have what was stored, and only that (%v)", err)
	}
	if _, err := r.WriteAt([]byte{9, 9}, 4000); err != nil || s[0] != 0x909 {
		t.Errorf("after WriteAt the slice has %#x (%v)", s[0], err)
	}
}

// TestTypedGrowth checks that typed memory stays the file's while the file
// grows, and is refused after Close.
func TestTypedGrowth(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, make([]byte, 4096)), os.O_RDWR, nil)
	n, err := mmap.Pointer[uint32](r, 8)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteAt([]byte{1}, 8<<20); err != nil {
		t.Fatal(err)
	}
	*n = 0x2a2a2a2a
	if p := make([]byte, 4); ctlRead(t, r, p, 8) != "****" {
		t.Errorf("after growth ReadAt gives %q", p)
	}
	r.Close()
	if _, err := mmap.Pointer[uint32](r, 8); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Pointer after Close: %v", err)
	}
	if _, err := mmap.Slice[uint32](r, 8, 1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Slice after Close: %v", err)
	}
}

// ctlRead returns what ReadAt reads into p, as a string.
func ctlRead(t testing.TB, r *mmap.Region, p []byte, off int64) string {
	t.Helper()
	if _, err := r.ReadAt(p, off); err != nil {
		t.Fatalf("ReadAt %d bytes at %d: %v", len(p), off, err)
	}
	return string(p)
}
