package mmap_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestConcurrentFlushesAnswer: when a store was lost, every Flush says so, also
// those that run at the same time.
func TestConcurrentFlushesAnswer(t *testing.T) {
	needsCut(t)
	for range 50 {
		name := newFile(t, pattern(1, 64<<10))
		r := openMapped(t, name, os.O_RDWR, nil)
		if err := r.View(0, mmap.ToEnd, func(b []byte) error { b[60000] = 1; return nil }); err != nil {
			t.Fatal(err)
		}
		cutFile(t, name, 100)
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = r.Flush() })
		}
		wg.Wait()
		for i, err := range errs {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("Flush %d of %d: %v", i, len(errs), err)
			}
		}
		r.Close()
	}
}

// TestFlushCoversGranted: what Protect made writable is what Flush answers for.
func TestFlushCoversGranted(t *testing.T) {
	needsCut(t)
	name := newFile(t, pattern(1, 64<<10))
	r := openRegion(t, name, os.O_RDWR, &mmap.Options{Prot: mmap.ProtRead})
	if err := r.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite); err != nil {
		t.Fatal(err)
	}
	if err := r.View(0, mmap.ToEnd, func(b []byte) error { b[60000] = 1; return nil }); err != nil {
		t.Fatal(err)
	}
	cutFile(t, name, 100)
	if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Flush: %v", err)
	}
}

// TestStoreEnds: Flush misses the last byte that was stored, and no byte more,
// when somebody cut the file, whether the Region noticed before or not.
func TestStoreEnds(t *testing.T) {
	needsCut(t)
	for _, c := range []struct {
		cut  int64
		want error
	}{{109, io.ErrUnexpectedEOF}, {101, io.ErrUnexpectedEOF}, {110, nil}} {
		for i := range 4 {
			noticed, known := i%2 > 0, i/2 > 0
			name := newFile(t, pattern(1, os.Getpagesize()+1000))
			r := openMapped(t, name, os.O_RDWR, nil)
			if known { // the page is, before the first write
				storeHot(t, r, make([]byte, 10), 0)
			}
			for range 2 { // the second goes to memory
				if n, err := r.WriteAt(make([]byte, 10), 100); n != 10 || err != nil {
					t.Fatal(n, err)
				}
			}
			cutFile(t, name, c.cut)
			if noticed {
				if n, err := r.ReadAt(make([]byte, os.Getpagesize()+1000), 0); n != int(c.cut) || err != io.EOF {
					t.Errorf("cut to %d: ReadAt = %d, %v", c.cut, n, err)
				}
			}
			if err := r.FlushRange(0, 0); err != nil {
				t.Errorf("FlushRange of nothing: %v", err)
			}
			if err := r.FlushRange(90, 20); !noticed && !errors.Is(err, c.want) {
				t.Errorf("FlushRange to byte 110, cut to %d: %v, want %v", c.cut, err, c.want)
			}
			if err := r.Flush(); !errors.Is(err, c.want) {
				t.Errorf("Flush of 110 bytes, cut to %d: %v, want %v", c.cut, err, c.want)
			}
		}
	}
}

// TestViewStoreEnds: what View shows counts as stored to its last byte, for a
// Flush inside, for one afterwards, and for both.
func TestViewStoreEnds(t *testing.T) {
	needsCut(t)
	for _, when := range []string{"inside", "afterwards", "after one inside"} {
		name := newFile(t, pattern(1, 5000))
		r := openRegion(t, name, os.O_RDWR, nil)
		cutAndFlush := func() error { cutFile(t, name, 109); return r.Flush() }
		var got error
		if err := r.View(100, 10, func(b []byte) error {
			switch when {
			case "inside":
				got = cutAndFlush()
			case "after one inside":
				return r.Flush()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if when != "inside" {
			got = cutAndFlush()
		}
		if !errors.Is(got, io.ErrUnexpectedEOF) {
			t.Errorf("Flush %s, of a file cut below the last byte: %v", when, got)
		}
	}
}

// TestCutToNothing: after a Flush nothing is owed any more, and a file that
// somebody cuts to nothing is no loss.
func TestCutToNothing(t *testing.T) {
	needsCut(t)
	name := newFile(t, pattern(1, 5000))
	r := openMapped(t, name, os.O_RDWR, nil)
	storeHot(t, r, []byte("stored"), 10)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	cutFile(t, name, 0)
	if err := r.Flush(); err != nil {
		t.Errorf("nothing was stored since: %v", err)
	}
}

// TestTruncateAfterCut: our own Truncate settles what somebody else's cut took, if
// it takes all of that itself.
func TestTruncateAfterCut(t *testing.T) {
	needsCut(t)
	for _, c := range []struct {
		size int64
		want error
	}{{99, nil}, {100, nil}, {101, io.ErrUnexpectedEOF}} {
		name := newFile(t, pattern(1, 1000))
		r := openMapped(t, name, os.O_RDWR, nil)
		if err := r.View(0, mmap.ToEnd, func(b []byte) error { b[900] = 1; return nil }); err != nil {
			t.Fatal(err)
		}
		cutFile(t, name, 100)
		if _, err := r.Refresh(); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int64{200, c.size} {
			if err := r.Truncate(size); err != nil {
				t.Fatal(err)
			}
		}
		err := r.Flush()
		if !errors.Is(err, c.want) {
			t.Errorf("Flush after Truncate to %d: %v, want %v", c.size, err, c.want)
		}
		if err := r.FlushRange(50, 0); err != nil {
			t.Errorf("Flush of no bytes after Truncate to %d: %v", c.size, err)
		}
	}
}

// TestLossNamesLastByte: the error of a Flush names the highest byte that a cut, or
// the first of two, took.
func TestLossNamesLastByte(t *testing.T) {
	needsCut(t)
	for _, c := range []struct {
		what string
		use  func(b []byte)
		cuts []int64
		want string
	}{
		{"stored", nil, []int64{100}, "below byte 900 "},
		{"stored, two cuts", nil, []int64{100, 10}, "below byte 900 "},
		{"handed out", func(b []byte) {}, []int64{100}, "below byte 999 "},
		{"handed out, two cuts", func(b []byte) {}, []int64{100, 10}, "below byte 999 "},
	} {
		name := newFile(t, pattern(1, 1000))
		r := openMapped(t, name, os.O_RDWR, nil)
		if c.use != nil {
			c.use(r.Bytes())
		} else if err := r.View(900, 1, func(b []byte) error { b[0] = 1; return nil }); err != nil {
			t.Fatal(err)
		}
		for _, size := range c.cuts {
			if c.use == nil && size < 100 {
				if err := r.View(50, 1, func(b []byte) error { b[0] = 1; return nil }); err != nil {
					t.Fatal(err)
				}
			}
			cutFile(t, name, size)
			if _, err := r.Refresh(); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Flush(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Flush: %v, want %q in it", c.what, err, c.want)
		}
	}
}
