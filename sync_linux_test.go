package mmap_test

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestFlushReleased: what was written where memory was released is flushed by
// the descriptor; msync would pass over it.
func TestFlushReleased(t *testing.T) {
	const size = 64 << 20
	name := newFile(t, nil)
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	r := openMapped(t, name, os.O_RDWR, nil)
	if err := errors.Join(r.Allocate(0, size), r.Sync(), r.Release(16<<20, 32<<20)); err != nil {
		t.Skip(err)
	}
	for what, flush := range map[string]func() error{
		"Flush":      r.Flush,
		"FlushRange": func() error { return r.FlushRange(33<<20, 8192) },
	} {
		if _, err := r.WriteAt(make([]byte, 8192), 33<<20); err != nil {
			t.Fatal(err)
		}
		before, err := r.CacheStat(33<<20, 8192)
		if err != nil || before.Dirty == 0 {
			t.Skipf("nobody tells what is dirty: %+v, %v", before, err)
		}
		if err := flush(); err != nil {
			t.Fatal(err)
		}
		if after, err := r.CacheStat(33<<20, 8192); err != nil || after.Dirty+after.Writeback > 0 {
			t.Errorf("after %s: %+v, %v", what, after, err)
		}
	}
}

// TestFlushCoversAppend: an append that was acknowledged is part of the next
// Flush, also while another append holds the lock.
func TestFlushCoversAppend(t *testing.T) {
	name := newFile(t, pattern(1, 16<<20))
	r := openRegion(t, name, os.O_RDWR|os.O_APPEND, nil)
	if err := errors.Join(r.View(0, 1, func([]byte) error { return nil }), r.Sync()); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		at := r.Size()
		if _, err := r.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		busy := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			close(busy)
			_, _ = r.Write(make([]byte, 8<<20))
		}()
		<-busy
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		c, err := r.CacheStat(at, 1<<20)
		<-done
		if err != nil {
			t.Skip(err)
		}
		if c.Dirty+c.Writeback > 0 {
			t.Fatalf("round %d: %+v of an acknowledged append", i, c)
		}
	}
}

// TestFlushAfterRegrowth: a Flush covers bytes that were handed out, also when
// the file was seen short since, and has grown again.
func TestFlushAfterRegrowth(t *testing.T) {
	needsMemory(t)
	const page = 1 << 16
	name := newFile(t, pattern(1, 3*page))
	r := openRegion(t, name, os.O_RDWR, nil)
	b := r.Bytes()
	cutFile(t, name, 100)
	if _, err := r.ReadAt(make([]byte, 10), 2*page); err != io.EOF || r.Size() != 100 {
		t.Fatalf("%v, %d bytes", err, r.Size())
	}
	cutFile(t, name, 3*page)
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	b[2*page] = 'x'
	if c, err := r.CacheStat(2*page, 1); err != nil || c.Dirty == 0 {
		t.Skipf("nobody tells what is dirty: %+v, %v", c, err)
	}
	// What was stored before the cut, if anything, is lost: it says so once,
	// and has written out what was stored since.
	if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if c, err := r.CacheStat(2*page, 1); err != nil || c.Dirty+c.Writeback > 0 {
		t.Errorf("after Flush: %+v, %v", c, err)
	}
}

// TestFlushPastRoom: Flush writes what lies beyond a mapping that cannot be made
// anew, too.
func TestFlushPastRoom(t *testing.T) {
	if cmd := child(t); cmd != nil {
		succeed(t, cmd)
		return
	}
	const far = 1 << 30
	name := newFile(t, pattern(1, 5000))
	r := openMapped(t, name, os.O_RDWR, nil)
	if err := setAddressLimit(&syscall.Rlimit{Cur: addressesUsed(t) + 512<<20}); err != nil {
		t.Skip("RLIMIT_AS cannot be set: ", err)
	}
	for range 3 {
		if _, err := r.WriteAt(pattern(1, 5000), far); err != nil {
			t.Fatal(err)
		}
		if before, err := r.CacheStat(far, 5000); err != nil || before.Dirty == 0 {
			t.Skipf("not told what is dirty: %+v, %v", before, err)
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		if after, err := r.CacheStat(far, 5000); err != nil || after.Dirty > 0 {
			t.Errorf("after Flush: %+v, %v", after, err)
		}
	}
}

// TestFlushAfterTwoCuts: what a cut took stays taken when the file grows again and
// is cut once more, above.
func TestFlushAfterTwoCuts(t *testing.T) {
	for _, stored := range []bool{true, false} {
		r := openRegion(t, newFile(t, pattern(1, 5000)), os.O_RDWR, nil)
		if stored {
			if err := r.View(0, mmap.ToEnd, func(b []byte) error { b[1000]++; b[4000]++; return nil }); err != nil {
				t.Fatal(err)
			}
		} else {
			r.Bytes()[1000]++
		}
		sizes := []int64{100, 5000, 3000}
		if !stored {
			sizes = []int64{3000, 100, 5000}
		}
		for _, size := range sizes {
			cutFile(t, r.Name(), size)
			if _, err := r.Refresh(); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.FlushRange(0, 2000); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("stored %v: byte 1000 is lost, and FlushRange says %v", stored, err)
		}
	}
}

// TestFlushAfterTruncateInView: a store in a View that goes on after the Region's own
// Truncate and Flush is one that Flush answers for.
func TestFlushAfterTruncateInView(t *testing.T) {
	r := openRegion(t, newFile(t, pattern(1, 5000)), os.O_RDWR, nil)
	err := r.View(0, mmap.ToEnd, func(b []byte) error {
		if err := errors.Join(r.Truncate(4000), r.Flush()); err != nil {
			return err
		}
		b[3000]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cutFile(t, r.Name(), 100)
	if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("byte 3000 is lost, and Flush says %v", err)
	}
}

// TestFlushBesideTruncate: the Region's own Truncate, beside a Flush under way, does
// not hide that somebody else cut the file.
func TestFlushBesideTruncate(t *testing.T) {
	const size = 64 << 20
	name := newFile(t, nil)
	for range 4 {
		cutFile(t, name, 0)
		cutFile(t, name, size)
		r := openRegion(t, name, os.O_RDWR, nil)
		err := r.View(0, mmap.ToEnd, func(b []byte) error {
			for i := 0; i < len(b); i += 4096 {
				b[i]++
			}
			b[size-1]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- r.Flush() }()
		for !mmap.FlushUnderWay(r) && len(done) == 0 {
			runtime.Gosched()
		}
		cutFile(t, name, size-8192)
		underWay := mmap.FlushUnderWay(r) // it has not looked for the size yet
		if err := r.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := <-done; underWay && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("the last byte is lost, and Flush says %v", err)
		}
	}
}
