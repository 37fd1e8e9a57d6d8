package mmap_test

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
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
