//go:build linux

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// holding is a file on FUSE whose growing writes wait.
type holding struct {
	fs.Inode
	mu      sync.Mutex
	data    []byte
	arrived chan struct{} // a growing write has come
	proceed chan struct{} // and may go on
}

// Getattr implements [fs.NodeGetattrer].
func (h *holding) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	h.mu.Lock()
	defer h.mu.Unlock()
	out.Mode, out.Size = 0o600, uint64(len(h.data))
	return 0
}

// Setattr implements [fs.NodeSetattrer].
func (h *holding) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return h.Getattr(ctx, f, out)
}

// Open implements [fs.NodeOpener].
func (h *holding) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Read implements [fs.NodeReader].
func (h *holding) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := min(int(off), len(h.data))
	return fuse.ReadResultData(bytes.Clone(h.data[from:min(from+len(dest), len(h.data))])), 0
}

// Write implements [fs.NodeWriter].
func (h *holding) Write(_ context.Context, _ fs.FileHandle, b []byte, off int64) (uint32, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if end := int(off) + len(b); end > len(h.data) {
		h.mu.Unlock()
		h.arrived <- struct{}{}
		<-h.proceed
		h.mu.Lock()
		h.data = append(h.data, make([]byte, end-len(h.data))...)
	}
	copy(h.data[off:], b)
	return uint32(len(b)), 0
}

// Fsync implements [fs.NodeFsyncer].
func (h *holding) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return 0 }

// mountHolding serves one file of so many bytes, and opens it.
func mountHolding(t *testing.T, size int) (h *holding, r *mmap.Region, other *os.File) {
	h = &holding{data: make([]byte, size), arrived: make(chan struct{}), proceed: make(chan struct{})}
	root := &fs.Inode{}
	dir := t.TempDir()
	server, err := fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "holding"},
		OnAdd: func(ctx context.Context) {
			root.AddChild("file", root.NewPersistentInode(ctx, h, fs.StableAttr{Mode: fuse.S_IFREG}), true)
		},
	})
	if err != nil {
		t.Skip("no FUSE file system: ", err)
	}
	t.Cleanup(func() { server.Unmount() })
	name := filepath.Join(dir, "file")
	if other, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	if r, err = mmap.OpenFile(name, os.O_RDWR, 0, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return h, r, other
}

// flushed compares what everybody sees of the file.
func (h *holding) flushed(t *testing.T, r *mmap.Region, other *os.File, want []byte) {
	t.Helper()
	for _, from := range []io.ReaderAt{r, other} {
		got := make([]byte, len(want))
		if _, err := from.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%T: something else was read (%v)", from, err)
		}
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !bytes.Equal(h.data, want) {
		t.Error("the server has something else")
	}
}

// TestHazardGrowthOnFUSE: a page that a View stored to is written while a
// WriteAt makes the file grow. Since Linux 6.17 that clears what the write has
// already put behind the end of the file, if the page is still dirty then.
func TestHazardGrowthOnFUSE(t *testing.T) {
	const size = 100
	h, r, other := mountHolding(t, size)
	if err := r.View(0, 5, func(b []byte) error { copy(b, "hello"); return nil }); err != nil {
		t.Fatal(err)
	}
	more := bytes.Repeat([]byte{1}, 1000)
	written := make(chan error, 1)
	go func() {
		_, err := r.WriteAt(more, size)
		written <- err
	}()
	<-h.arrived
	if err := unix.SyncFileRange(int(other.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE); err != nil {
		t.Error(err)
	}
	h.proceed <- struct{}{}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	h.flushed(t, r, other, append(append([]byte("hello"), make([]byte, size-5)...), more...))
}

// TestHazardWritesBesideGrowth: other writes to the last page, while one makes
// the file grow, must not make it dirty either.
func TestHazardWritesBesideGrowth(t *testing.T) {
	const size = 100
	h, r, other := mountHolding(t, size)
	if err := r.View(0, 5, func(b []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the page is known to be writable
		if _, err := r.WriteAt([]byte{5}, 10); err != nil {
			t.Fatal(err)
		}
	}
	more := bytes.Repeat([]byte{1}, 1000)
	var written sync.WaitGroup
	write := func(p []byte, off int64) {
		written.Go(func() {
			if _, err := r.WriteAt(p, off); err != nil {
				t.Error(err)
			}
		})
	}
	write(more, size)
	<-h.arrived
	for i := range 3 {
		write([]byte{byte(6 + i)}, int64(20+i)) // they wait for the kernel's lock, or go to memory
		for range 1000 {
			runtime.Gosched()
		}
	}
	if err := unix.SyncFileRange(int(other.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE); err != nil {
		t.Error(err)
	}
	h.proceed <- struct{}{}
	written.Wait()
	want := append(make([]byte, size), more...)
	want[10], want[20], want[21], want[22] = 5, 6, 7, 8
	h.flushed(t, r, other, want)
}
