package mmap_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// ctlPeer runs this test in another process, with the Region's file as its
// descriptor 3, or returns the file in that process.
func ctlPeer(t *testing.T, r *mmap.Region, env ...string) {
	t.Helper()
	f, err := r.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := child(t, env...)
	cmd.ExtraFiles = []*os.File{f}
	succeed(t, cmd)
}

// ctlIsPeer reports whether this is the other process.
func ctlIsPeer(t *testing.T) bool { return os.Getenv(childEnv) == t.Name() }

// TestSealShrinkPeer hands sealed memory to another process, which tries to cut
// it by all means: it cannot, and so no access here can fault.
func TestSealShrinkPeer(t *testing.T) {
	page := mmap.PageSize()
	if !ctlIsPeer(t) {
		r := ctlShared(t, 4*page, mmap.Options{})
		if err := r.Seal(mmap.SealShrink); errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		b := r.Bytes()
		ctlPeer(t, r)
		for i := range b {
			if want := byte(i / int(page)); b[i] != want {
				t.Fatalf("byte %d is %d, want %d: what the peer wrote", i, b[i], want)
			}
		}
		if info, err := r.Stat(); err != nil || info.Size() != 8*page {
			t.Errorf("the peer made it longer, but: %v, %v", info, err)
		}
		return
	}
	f := os.NewFile(3, "peer")
	r, err := mmap.Map(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 4 * page {
		if _, err := r.WriteAt([]byte{byte(i / page)}, i); err != nil {
			t.Fatal(err)
		}
	}
	for name, cut := range map[string]func() error{
		"Region.Truncate": func() error { return r.Truncate(page) },
		"File.Truncate":   func() error { return f.Truncate(0) },
		"O_TRUNC": func() error {
			f, err := os.OpenFile("/proc/self/fd/3", os.O_RDWR|os.O_TRUNC, 0)
			if err == nil {
				f.Close()
			}
			return err
		},
	} {
		if err := cut(); !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: %v, want EPERM", name, err)
		}
	}
	if err := r.Truncate(8 * page); err != nil {
		t.Error("growth was not sealed: ", err)
	}
}

// TestSealGrow checks that sealed memory does not grow, by any call.
func TestSealGrow(t *testing.T) {
	r := ctlShared(t, 5000, mmap.Options{})
	if err := r.Seal(mmap.SealGrow); err != nil {
		t.Skip(err)
	}
	_, err1 := r.WriteAt([]byte("x"), 9000)
	for name, err := range map[string]error{"WriteAt": err1, "Truncate": r.Truncate(9000), "Allocate": r.Allocate(0, 9000)} {
		if !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: %v, want EPERM", name, err)
		}
	}
	if err := r.Truncate(10); err != nil || r.Size() != 10 {
		t.Errorf("cutting: %v, %d bytes", err, r.Size())
	}
}

// TestSealWrite checks that the bytes can be read, by every way, and changed by
// none; neither by the Region nor by one made of its File.
func TestSealWrite(t *testing.T) {
	page := mmap.PageSize()
	want := pattern(0, int(3*page))
	for _, mapped := range []bool{false, true} {
		r := ctlShared(t, 3*page, mmap.Options{})
		if _, err := r.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		if mapped {
			ctlWindow(t, r)
		}
		if err := r.Seal(mmap.SealWrite); err != nil {
			t.Fatal(err)
		}
		ctlSealed(t, r, want)
		f, err := r.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		peer, err := mmap.Map(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if _, err := peer.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES) {
			t.Errorf("the peer writes: %v", err)
		}
		ctlSame(t, "the peer", ctlRead(t, peer, make([]byte, len(want)), 0), want)
	}
}

// ctlSealed tries to change sealed memory.
func ctlSealed(t *testing.T, r *mmap.Region, want []byte) {
	t.Helper()
	_, err1 := r.WriteAt([]byte("x"), 0)
	_, err2 := r.Write([]byte("x"))
	for name, err := range map[string]error{"WriteAt": err1, "Write": err2, "Discard": r.Discard(0, 10),
		"Protect":     r.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtWrite),
		"Protect one": r.Protect(0, 1, mmap.ProtWrite)} {
		if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s: %v, want EPERM or EACCES", name, err)
		}
	}
	err := r.View(0, mmap.ToEnd, func(b []byte) error {
		ctlSame(t, "View", string(b), want)
		b[0]++
		return nil
	})
	if !errors.Is(err, syscall.EACCES) {
		t.Errorf("storing in a View: %v", err)
	}
	ctlSame(t, "ReadAt", ctlRead(t, r, make([]byte, len(want)), 0), want)
	if b := r.Bytes(); len(b) != len(want) {
		t.Errorf("%d bytes are mapped", len(b))
	}
	if m := ctlMapOf(t, r, 0); m.perms != "r--s" || slices.Contains(m.flags, "mw") {
		t.Errorf("the map is %s %v", m.perms, m.flags)
	}
}

// TestSealWriteGranted seals memory of which a part was made writable after it
// was opened for reading: the mapping made then is like that of the rest.
func TestSealWriteGranted(t *testing.T) {
	page := mmap.PageSize()
	r := ctlShared(t, 3*page, mmap.Options{Prot: mmap.ProtRead})
	if err := r.Protect(page, page, mmap.ProtRead|mmap.ProtWrite); err != nil {
		t.Fatal(err)
	}
	if err := r.Seal(mmap.SealWrite); err != nil {
		t.Fatal(err)
	}
	if err := r.View(0, mmap.ToEnd, func([]byte) error { return nil }); err != nil {
		t.Error("cannot be mapped any more: ", err)
	}
}

// TestSealWriteBusy checks that Seal fails with EBUSY while bytes are out
// writable, here or in another process, and that all goes on then.
func TestSealWriteBusy(t *testing.T) {
	page := mmap.PageSize()
	if ctlIsPeer(t) {
		ctlHoldWritable(t)
		return
	}
	out := ctlShared(t, 2*page, mmap.Options{})
	b := out.Bytes()
	if err := out.Seal(mmap.SealWrite); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("with bytes handed out: %v, want EBUSY", err)
	}
	b[0] = 'b'
	if got := ctlRead(t, out, make([]byte, 1), 0); got != "b" {
		t.Errorf("%q was read", got)
	}
	r := ctlShared(t, 2*page, mmap.Options{})
	f, err := r.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := child(t)
	cmd.ExtraFiles = []*os.File{f}
	ctlWhileRuns(t, cmd, func() {
		if err := r.Seal(mmap.SealWrite); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("with bytes mapped by another process: %v, want EBUSY", err)
		}
		if _, err := r.WriteAt([]byte("still"), 0); err != nil {
			t.Errorf("writing after EBUSY: %v", err)
		}
	})
	if err := r.Seal(mmap.SealWrite); err != nil {
		t.Errorf("when the other process is gone: %v", err)
	}
	ctlSame(t, "sealed", ctlRead(t, r, make([]byte, 5), 0), []byte("still"))
}

// ctlHoldWritable is the other process of TestSealWriteBusy: it maps, says so,
// and waits to be let go.
func ctlHoldWritable(t *testing.T) {
	r, err := mmap.Map(os.NewFile(3, "peer"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := r.Bytes()
	os.Stderr.Write([]byte("r"))
	_, _ = os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(b)
}

// ctlWhileRuns runs fn between the moment at which cmd says that it is ready
// and the one at which it is let go.
func ctlWhileRuns(t *testing.T, cmd *exec.Cmd, fn func()) {
	t.Helper()
	in, err1 := cmd.StdinPipe()
	ready, err2 := cmd.StderrPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Error("the other process: ", err)
	} else {
		fn()
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error("the other process: ", err)
	}
}

// TestSealBesideReaders seals while others read: they never get anything but
// the bytes, and no error. The kernel refuses with EBUSY while a read(2) holds
// a page for long; when all have read, sealing works.
func TestSealBesideReaders(t *testing.T) {
	page := mmap.PageSize()
	want := pattern(0, int(2*page))
	for range 30 {
		r := ctlShared(t, 2*page, mmap.Options{})
		if _, err := r.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		ctlWindow(t, r)
		read := func() {
			got := make([]byte, len(want))
			for range 20 {
				if _, err := r.ReadAt(got, 0); err != nil || string(got) != string(want) {
					t.Errorf("reading beside Seal: %v", err)
					return
				}
			}
		}
		parallel(read, read, func() {
			if err := r.Seal(mmap.SealWrite); err != nil && !errors.Is(err, syscall.EBUSY) {
				t.Errorf("beside readers: %v", err)
			}
		})
		if err := r.Seal(mmap.SealWrite); err != nil {
			t.Errorf("after all have read: %v", err)
		}
		r.Close()
	}
}

// TestSealOneByte: a single writable byte that was handed out is in the way of
// SealWrite.
func TestSealOneByte(t *testing.T) {
	r := ctlAnonymous(t, 1, &mmap.Options{Share: true})
	if len(r.Bytes()) != 1 {
		t.Fatal("no bytes")
	}
	if err := r.Seal(mmap.SealWrite); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("SealWrite: %v", err)
	}
}
