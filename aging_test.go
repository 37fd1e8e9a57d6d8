package mmap_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-93fed273/mmap"
)

// needsLearning skips a test in modes where nothing is learned of pages.
func needsLearning(t *testing.T) {
	t.Helper()
	needsMemory(t)
	if mode := os.Getenv(pagesEnv); mode != "" {
		t.Skip("pages are ", mode)
	}
}

// readKnown reads all of r until memory serves it without a look.
func readKnown(t *testing.T, r *mmap.Region) {
	t.Helper()
	buf := make([]byte, 4096)
	for end := time.Now().Add(20 * time.Second); mmap.KnownBytes(r) < r.Size(); {
		for off := int64(0); off < r.Size(); off += int64(len(buf)) {
			if _, err := r.ReadAt(buf[:min(4096, r.Size()-off)], off); err != nil {
				t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d bytes are known after 20 s of reading", mmap.KnownBytes(r), r.Size())
		}
	}
}

// TestClockRestores: when the clock has fired, the first read asks the
// descriptor, and the fast path serves again.
func TestClockRestores(t *testing.T) {
	needsLearning(t)
	r := openRegion(t, newFile(t, pattern(0, 50000)), os.O_RDONLY, nil)
	readKnown(t, r)
	for range 3 {
		mmap.Tick()
		if n := mmap.KnownBytes(r); n > 0 {
			t.Fatalf("after the clock %d bytes are read without a look", n)
		}
		for range 2 { // the clock itself may fire in between
			if _, err := r.ReadAt(make([]byte, 10), 40000); err != nil {
				t.Fatal(err)
			}
			if mmap.KnownBytes(r) == 50000 {
				break
			}
		}
		if n := mmap.KnownBytes(r); n != 50000 {
			t.Fatalf("after a read %d bytes are known", n)
		}
	}
}

// TestClockNotices: what others make of the size is noticed by whatever is
// called first after the clock has fired.
func TestClockNotices(t *testing.T) {
	needsLearning(t)
	needsCut(t)
	var b [10]byte
	for what, call := range map[string]func(t *testing.T, r *mmap.Region, size int64){
		"ReadAt": func(t *testing.T, r *mmap.Region, size int64) {
			if n, err := r.ReadAt(b[:], size-5); n != 5 || err != io.EOF {
				t.Errorf("ReadAt over the end: %d, %v", n, err)
			}
		},
		"ReadAtFar": func(t *testing.T, r *mmap.Region, size int64) {
			if n, err := r.ReadAt(b[:], size+2000); n != 0 || err != io.EOF {
				t.Errorf("ReadAt behind the end: %d, %v", n, err)
			}
		},
		"Size": func(t *testing.T, r *mmap.Region, size int64) {
			if n := r.Size(); n != size {
				t.Errorf("Size: %d", n)
			}
		},
		"View": func(t *testing.T, r *mmap.Region, size int64) {
			err := r.View(0, mmap.ToEnd, func(b []byte) error {
				if int64(len(b)) != size {
					t.Errorf("View of %d bytes", len(b))
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		},
		"WriteAt": func(t *testing.T, r *mmap.Region, size int64) {
			if _, err := r.WriteAt([]byte("here"), size); err != nil {
				t.Error(err)
			}
			if info, err := r.Stat(); err != nil || info.Size() != size+4 {
				t.Errorf("after a write at the end the file has %d bytes, %v", info.Size(), err)
			}
		},
	} {
		for _, size := range []int64{20000, 50000} {
			name := newFile(t, pattern(0, 30000))
			r := openRegion(t, name, os.O_RDWR, nil)
			readKnown(t, r)
			for range 3 {
				if _, err := r.WriteAt(b[:], 0); err != nil {
					t.Fatal(err)
				}
			}
			cutFile(t, name, size)
			mmap.Tick()
			t.Run(what, func(t *testing.T) { call(t, r, size) })
		}
	}
}

// TestClockByItself: a cut is noticed by a Region that is only read, by the
// fast path, within two firings.
func TestClockByItself(t *testing.T) {
	needsLearning(t)
	needsCut(t)
	if testing.Short() {
		t.Skip("a second")
	}
	name := newFile(t, pattern(0, 20000))
	r := openRegion(t, name, os.O_RDONLY, nil)
	readKnown(t, r)
	cutFile(t, name, 15000)
	begin := time.Now()
	for {
		_, err := r.ReadAt(make([]byte, 10), 15100)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("after 10 s of reading the cut is not noticed")
		}
	}
	t.Log("noticed after ", time.Since(begin))
}

// useAll reads and writes r in all ways that a Region learns from.
func useAll(r *mmap.Region) error {
	buf := make([]byte, 10000)
	for i := range 30 {
		if _, err := r.ReadAt(buf, 0); err != nil {
			return err
		}
		if _, err := r.WriteAt(buf[:100], int64(i)*100); err != nil {
			return err
		}
	}
	err := r.View(100, 1000, func(b []byte) error {
		if !bytes.Equal(b, buf[100:1100]) {
			return errors.New("View and ReadAt differ")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := r.WriteAt(buf, r.Size()); err != nil {
		return err
	}
	return r.Flush()
}

// TestInBubble: programs' tests in a bubble of testing/synctest may use
// Regions as they use files: nothing of the library stays in the bubble.
func TestInBubble(t *testing.T) {
	needsLearning(t)
	if cmd := child(t); cmd != nil {
		succeed(t, cmd) // the clock of this process may run already
		return
	}
	dir := t.TempDir()
	t.Cleanup(func() { // where an open file cannot be removed, the dropped Region must be gone
		for end := time.Now().Add(20 * time.Second); os.Remove(filepath.Join(dir, "dropped")) != nil; mmap.Collect() {
			if time.Now().After(end) {
				t.Fatal("a Region that was dropped keeps its file")
			}
		}
	})
	outside := openRegion(t, newFile(t, pattern(0, 50000)), os.O_RDWR, nil)
	use := func(r *mmap.Region) {
		if err := useAll(r); err != nil {
			t.Error(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		use(outside)
		for _, name := range []string{"closed", "dropped"} {
			name = filepath.Join(dir, name)
			if err := os.WriteFile(name, pattern(1, 20000), 0o666); err != nil {
				t.Fatal(err)
			}
			inside, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			use(inside)
			time.Sleep(time.Hour) // of the bubble
			use(inside)
			go use(outside)
			synctest.Wait()
			if filepath.Base(name) == "closed" {
				if err := inside.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if mmap.ClockRuns() {
		t.Error("a clock runs that was started in a bubble")
	}
	readKnown(t, outside)
	if !mmap.ClockRuns() {
		t.Fatal("outside of the bubble no clock runs")
	}
	for end := time.Now().Add(20 * time.Second); mmap.KnownBytes(outside) > 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the clock does not fire")
		}
	}
}

// TestNoGoroutineStays: neither between two firings of the clock nor after
// Close is there a goroutine that the user did not start.
func TestNoGoroutineStays(t *testing.T) {
	needsMemory(t)
	r, err := mmap.Open(newFile(t, pattern(0, 50000)))
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		for end := time.Now().Add(500 * time.Millisecond); ; runtime.Gosched() {
			var stray []string
			all := make([]byte, 1<<20)
			for _, one := range strings.Split(string(all[:runtime.Stack(all, true)]), "\n\n") {
				if strings.Contains(one, "seed-93fed273/mmap.") && !strings.Contains(one, "mmap_test.") {
					stray = append(stray, one)
				}
			}
			if len(stray) == 0 {
				return
			}
			if time.Now().After(end) { // no firing takes so long
				t.Errorf("%s: goroutines of the library:\n%s", when, strings.Join(stray, "\n\n"))
				return
			}
		}
	}
	for range 30 {
		if _, err := r.ReadAt(make([]byte, 10000), 0); err != nil {
			t.Fatal(err)
		}
	}
	check("while it is open")
	r.Close()
	check("after Close")
}
