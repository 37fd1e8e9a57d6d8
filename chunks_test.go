package mmap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// piece is what the callback of ViewChunks was given.
type piece struct {
	off  int64
	data string
}

// collect returns the pieces of a range.
func collect(t *testing.T, r *mmap.Region, off, n, size, overlap int64) (got []piece) {
	t.Helper()
	err := r.ViewChunks(off, n, size, overlap, func(off int64, b []byte) error {
		got = append(got, piece{off, string(b)})
		return nil
	})
	if err != nil {
		t.Fatalf("ViewChunks(%d, %d, %d, %d): %v", off, n, size, overlap, err)
	}
	return got
}

// TestViewChunks: the pieces follow one another, begin overlap bytes before the
// end of the one before, and show every byte; the last is as long as what is
// left.
func TestViewChunks(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 3<<20+123)
	r := openRegion(t, newFile(t, data), os.O_RDONLY, nil)
	for _, c := range []struct{ off, n, size, overlap int64 }{
		{0, mmap.ToEnd, 0, 0},
		{0, mmap.ToEnd, 0, 100},
		{5, mmap.ToEnd, 1 << 20, 0},
		{4096, 100_000, 4096, 0},
		{1, 100_000, 4097, 31},
		{0, 10, 4096, 100},
		{0, 4096, 4096, 0},
		{0, 4097, 4096, 1},
		{7, 3000, 3, 2},
		{0, mmap.ToEnd, 2<<20 + 1, 1 << 20},
		{0, mmap.ToEnd, math.MaxInt64, 0},
	} {
		want := data[c.off:]
		if c.n != mmap.ToEnd {
			want = want[:c.n]
		}
		size := c.size
		if size == 0 {
			size = 1 << 20
		}
		at, seen := c.off, []byte(nil)
		got := collect(t, r, c.off, c.n, c.size, c.overlap)
		for i, p := range got {
			if p.off != at || int64(len(p.data)) > size || i < len(got)-1 && int64(len(p.data)) != size {
				t.Fatalf("%+v: piece %d is %d bytes at %d, not at %d", c, i, len(p.data), p.off, at)
			}
			seen = append(seen[:p.off-c.off], p.data...)
			at = p.off + int64(len(p.data)) - c.overlap
		}
		if !bytes.Equal(seen, want) {
			t.Errorf("%+v: the pieces are not the file's bytes", c)
		}
	}
}

// TestViewChunksEmpty: no byte, no call.
func TestViewChunksEmpty(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDONLY, nil)
	for _, off := range []int64{0, 50, 100} {
		if got := collect(t, r, off, 0, 0, 0); got != nil {
			t.Errorf("0 bytes at %d: %v", off, got)
		}
	}
	if got := collect(t, r, 100, mmap.ToEnd, 0, 0); got != nil {
		t.Errorf("to the end, at the end: %v", got)
	}
	if got := collect(t, openRegion(t, newFile(t, nil), os.O_RDONLY, nil), 0, mmap.ToEnd, 0, 0); got != nil {
		t.Errorf("an empty file: %v", got)
	}
}

// TestViewChunksRefused: a wrong argument is an error, and fn is not called.
func TestViewChunksRefused(t *testing.T) {
	r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDONLY, nil)
	for _, c := range []struct {
		off, n, size, overlap int64
		want                  error
	}{
		{0, mmap.ToEnd, -1, 0, syscall.EINVAL},
		{0, mmap.ToEnd, 10, -1, syscall.EINVAL},
		{0, mmap.ToEnd, 10, 10, syscall.EINVAL},
		{0, mmap.ToEnd, 10, 11, syscall.EINVAL},
		{0, mmap.ToEnd, 0, 1 << 20, syscall.EINVAL},
		{-1, 10, 0, 0, syscall.EINVAL},
		{0, -2, 0, 0, syscall.EINVAL},
		{1, math.MaxInt64, 0, 0, syscall.EINVAL},
		{0, 10_001, 0, 0, io.ErrUnexpectedEOF},
		{10_001, mmap.ToEnd, 0, 0, io.ErrUnexpectedEOF},
	} {
		err := r.ViewChunks(c.off, c.n, c.size, c.overlap, func(int64, []byte) error { t.Error("it was called"); return nil })
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	r.Close()
	if err := r.ViewChunks(0, 1, 0, 0, func(int64, []byte) error { return nil }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestViewChunksError: fn's error ends it and comes back as it is, also one that
// looks like the end of a file.
func TestViewChunksError(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 10_000)), os.O_RDONLY, nil)
	for _, want := range []error{errors.New("mine"), io.EOF, io.ErrUnexpectedEOF} {
		calls := 0
		err := r.ViewChunks(0, mmap.ToEnd, 1000, 0, func(int64, []byte) error {
			if calls++; calls == 3 {
				return want
			}
			return nil
		})
		if err != want || calls != 3 {
			t.Errorf("%v after %d calls; want %v", err, calls, want)
		}
	}
}

// TestViewChunksCut: a file that is cut between two pieces, or under one, is a
// FaultError that says where the file ends now.
func TestViewChunksCut(t *testing.T) {
	needsCut(t)
	const size = 1 << 20
	for _, touch := range []bool{false, true} {
		t.Run(fmt.Sprintf("touch=%v", touch), func(t *testing.T) {
			if !touch && os.Getenv(pagesEnv) == "hot" {
				t.Skip("nothing is brought in that is believed to be there")
			}
			name := newFile(t, pattern(1, 4*size))
			r := openRegion(t, name, os.O_RDONLY, nil)
			last := byte(0)
			err := r.ViewChunks(0, mmap.ToEnd, size, 0, func(off int64, b []byte) error {
				if off == size {
					cutFile(t, name, size+100)
					if touch {
						last = b[size-1]
					}
				}
				return nil
			})
			_ = last
			var fault *mmap.FaultError
			if !errors.As(err, &fault) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			if fault.Off < size+100 || fault.Off > 2*size || !strings.Contains(err.Error(), fmt.Sprint(size+100)) {
				t.Errorf("it does not say where the file ends: %v", err)
			}
		})
	}
}

// TestViewChunksAllocates: nothing is allocated for a piece.
func TestViewChunksAllocates(t *testing.T) {
	needsMemory(t)
	r := openMapped(t, newFile(t, pattern(1, 1<<20)), os.O_RDWR, nil)
	sum := 0
	fn := func(_ int64, b []byte) error { sum += int(b[0]); return nil }
	few := testing.AllocsPerRun(20, func() { _ = r.ViewChunks(0, 1<<20, 1<<19, 0, fn) })
	many := testing.AllocsPerRun(20, func() { _ = r.ViewChunks(0, 1<<20, 1<<12, 0, fn) })
	if many > few {
		t.Errorf("2 pieces: %v allocations; 256: %v", few, many)
	}
}

// TestViewSlice: the values are those of the bytes, the last argument decides
// how many, and nothing counts as handed out.
func TestViewSlice(t *testing.T) {
	needsMemory(t)
	data := pattern(1, 4096)
	r := openRegion(t, newFile(t, data), os.O_RDONLY, nil)
	before := mmap.ReadLedger().Raw
	err := mmap.ViewSlice(r, 8, 100, func(s []uint32) error {
		for i, v := range s {
			if want := binary.NativeEndian.Uint32(data[8+4*i:]); v != want {
				t.Fatalf("value %d is %#x, not %#x", i, v, want)
			}
		}
		if len(s) != 100 || cap(s) != 100 {
			t.Errorf("%d values, room for %d", len(s), cap(s))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if now := mmap.ReadLedger().Raw; now != before {
		t.Errorf("%d ranges count as handed out", now-before)
	}
	called := false
	if err := mmap.ViewSlice(r, 0, 0, func(s []uint64) error { called = len(s) == 0; return nil }); err != nil || !called {
		t.Errorf("no value: %v", err)
	}
	for what, err := range map[string]error{
		"not aligned":  mmap.ViewSlice(r, 2, 1, func([]uint64) error { return nil }),
		"negative":     mmap.ViewSlice(r, 0, -1, func([]uint64) error { return nil }),
		"pointers":     mmap.ViewSlice(r, 0, 1, func([]*int) error { return nil }),
		"no bytes":     mmap.ViewSlice(r, 0, 1, func([]struct{}) error { return nil }),
		"overflow":     mmap.ViewSlice(r, 0, math.MaxInt, func([]uint64) error { return nil }),
		"before it":    mmap.ViewSlice(r, -8, 1, func([]uint64) error { return nil }),
		"a nil Region": mmap.ViewSlice(nil, 0, 1, func([]uint64) error { return nil }),
	} {
		if what == "overflow" && errors.Is(err, io.ErrUnexpectedEOF) {
			continue // so many bytes can be counted on 32 bits
		}
		if !errors.Is(err, syscall.EINVAL) && !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := mmap.ViewSlice(r, 4000, 100, func([]uint64) error { return nil }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("past the end: %v", err)
	}
}

// TestViewSliceFault: a fault in the values is an error with its place.
func TestViewSliceFault(t *testing.T) {
	needsCut(t)
	name := newFile(t, pattern(1, 256<<10))
	r := openRegion(t, name, os.O_RDONLY, nil)
	err := mmap.ViewSlice(r, 0, 64<<10, func(s []uint32) error {
		cutFile(t, name, 100)
		sum := uint32(0)
		for _, v := range s {
			sum += v
		}
		runtime.KeepAlive(sum)
		return nil
	})
	var fault *mmap.FaultError
	if !errors.As(err, &fault) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
}

// TestFormat: a Region prints as what it is, with any verb, beside every other
// method (under -race).
func TestFormat(t *testing.T) {
	name := newFile(t, pattern(1, 10_000))
	r := openRegion(t, name, os.O_RDWR, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if got := fmt.Sprintf(verb, r); !strings.Contains(got, strconv.Quote(name)) || !strings.Contains(got, "10000 bytes") {
			t.Errorf("%s: %s", verb, got)
		}
	}
	parallel(func() {
		for range 200 {
			_ = fmt.Sprintf("%v %+v %#v", r, r, r)
		}
	}, func() {
		for i := range 200 {
			_, _ = r.WriteAt([]byte("x"), int64(i)*1000)
			_ = r.Truncate(int64(i) * 100)
		}
	}, func() {
		for range 200 {
			_ = r.View(0, mmap.ToEnd, func([]byte) error { return nil })
			_ = r.Flush()
		}
		r.Close()
	})
	if got := fmt.Sprint(r); !strings.Contains(got, "closed") {
		t.Errorf("after Close: %s", got)
	}
	var none *mmap.Region
	if got := fmt.Sprintf("%v %+v", none, &mmap.Region{}); !strings.Contains(got, "invalid") {
		t.Errorf("nil and zero: %s", got)
	}
}

// TestViewChunksOfCopies: where a View shows a copy ViewChunks shows pieces of it.
func TestViewChunksOfCopies(t *testing.T) {
	for _, name := range []string{"/proc/cpuinfo", "/proc/self/limits", "/sys/kernel/mm/transparent_hugepage/enabled", "/dev/zero", ""} {
		want, opts := []byte(nil), &mmap.Options{}
		n := int64(mmap.ToEnd)
		switch name {
		case "":
			want, opts.Access = pattern(1, 20_000), mmap.AccessDescriptor
			name = newFile(t, want)
		case "/dev/zero":
			want, n = make([]byte, 1000), 1000
		default:
			var err error
			if want, err = os.ReadFile(name); err != nil {
				continue // another system
			}
		}
		if _, err := os.Stat(name); err != nil || runtime.GOOS == "windows" && opts.Access == 0 {
			continue // Wine shows the files of the system below, and not as they are there
		}
		r := openRegion(t, name, os.O_RDONLY, opts)
		var got []byte
		pieces := 0
		err := r.ViewChunks(0, n, 100, 10, func(off int64, b []byte) error {
			pieces++
			if len(b) > 100 || off > int64(len(got)) {
				t.Fatalf("%s: %d bytes at %d after %d", name, len(b), off, len(got))
			}
			got = append(got[:off], b...)
			return nil
		})
		if err != nil || len(got) != len(want) || name != "/proc/cpuinfo" && !bytes.Equal(got, want) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(want), err)
		}
		if least := (len(want) + 89) / 90; pieces < least-1 {
			t.Errorf("%s: %d pieces", name, pieces)
		}
		if n != mmap.ToEnd {
			continue
		}
		err = r.ViewChunks(0, int64(len(want))+5000, 100, 0, func(int64, []byte) error { return nil })
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: more than there is: %v", name, err)
		}
	}
}
