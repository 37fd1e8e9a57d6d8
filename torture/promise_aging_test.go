//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// What memory cannot know of a file by itself is noticed within a second: a
// copy that an overlay puts in its place, a change by another host.

// agingOverlay mounts an overlay on a tmpfs, whose lower layer has one file, and
// returns the file's name in it.
func agingOverlay(t *testing.T, data []byte) string {
	t.Helper()
	if err := root(); err != nil {
		t.Skip(err)
	}
	mount := func(kind, options string) string {
		dir := t.TempDir()
		if err := unix.Mount("none", dir, kind, 0, options); err != nil {
			t.Skip("no ", kind, ": ", err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		return dir
	}
	base := mount("tmpfs", "")
	for _, layer := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(base, layer), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(base, "lower", "file"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := mount("overlay", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base))
	return filepath.Join(dir, "file")
}

// agingReads opens name and reads n bytes until memory serves them.
func agingReads(t *testing.T, name string, n int) *mmap.Region {
	t.Helper()
	r, err := mmap.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	for range 50 {
		if _, err := r.ReadAt(make([]byte, n), 0); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// agingNotices reads from r until it gives want, and then never again anything
// else; it may take two seconds.
func agingNotices(t *testing.T, r *mmap.Region, off int64, want string) {
	t.Helper()
	got := make([]byte, len(want))
	for end := time.Now().Add(5 * time.Second); string(got) != want; {
		if time.Now().After(end) {
			t.Fatalf("after 5 s of reading it is still %q, not %q", got, want)
		}
		if _, err := r.ReadAt(got, off); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		if _, err := r.ReadAt(got, off); err != nil || string(got) != want {
			t.Fatalf("once it was noticed, memory serves %q, %v", got, err)
		}
		err := r.View(off, int64(len(want)), func(b []byte) error {
			if string(b) != want {
				return fmt.Errorf("View shows %q", b)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAgingCopyUp: a Region opened for reading follows the file when an
// overlay copies it up, whether it was mapped before or is after.
func TestAgingCopyUp(t *testing.T) {
	for _, reads := range []int{50, 0} {
		t.Run(fmt.Sprint("reads=", reads), func(t *testing.T) {
			name := agingOverlay(t, bytes.Repeat([]byte("old "), 5000))
			r, err := mmap.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for range reads {
				if _, err := r.ReadAt(make([]byte, 20000), 0); err != nil {
					t.Fatal(err)
				}
			}
			for i, word := range []string{"new ", "more"} { // the second change is of the copy
				w, err := os.OpenFile(name, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.WriteAt([]byte(word), int64(400+4*i)); err != nil {
					t.Fatal(err)
				}
				w.Close()
				agingNotices(t, r, int64(400+4*i), word)
			}
		})
	}
}

// TestAgingCacheStat: cachestat(2) looks at the overlay's own inode, which has no
// pages; that is no answer.
func TestAgingCacheStat(t *testing.T) {
	r := agingReads(t, agingOverlay(t, make([]byte, 40<<12)), 40<<12)
	if _, err := r.CacheStat(0, mmap.ToEnd); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CacheStat: %v", err)
	}
}

// agingDir tells a child process where to mount its file system.
const agingDir = "MMAP_TORTURE_AGING"

// otherHost is a file that another host changes.
type otherHost struct {
	fs.Inode
	mu    sync.Mutex
	data  []byte
	mtime uint64
}

// Getattr implements [fs.NodeGetattrer].
func (h *otherHost) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	h.mu.Lock()
	defer h.mu.Unlock()
	out.Mode, out.Size, out.Mtime = 0o600, uint64(len(h.data)), h.mtime
	return 0
}

// Open implements [fs.NodeOpener].
func (h *otherHost) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Read implements [fs.NodeReader].
func (h *otherHost) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := min(int(off), len(h.data))
	return fuse.ReadResultData(bytes.Clone(h.data[from:min(from+len(dest), len(h.data))])), 0
}

// TestAgingServer is the process that serves such a file, and changes it when
// a line comes.
func TestAgingServer(t *testing.T) {
	dir := os.Getenv(agingDir)
	if dir == "" {
		t.Skip("a server for TestAgingOtherHost")
	}
	h := &otherHost{data: bytes.Repeat([]byte("old "), 5000), mtime: 1}
	top := &fs.Inode{}
	_, err := fs.Mount(dir, top, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "otherhost"},
		OnAdd: func(ctx context.Context) {
			top.AddChild("file", top.NewPersistentInode(ctx, h, fs.StableAttr{Mode: fuse.S_IFREG}), true)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("mounted")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		h.mu.Lock()
		copy(h.data[400:], in.Text())
		h.mtime++
		h.mu.Unlock()
		fmt.Println("changed")
	}
	os.Exit(0) // the mount goes with its process
}

// TestAgingOtherHost: what another host makes of a file on a network file system
// is seen although all pages are known.
func TestAgingOtherHost(t *testing.T) {
	if err := errors.Join(root(), fuseDevice()); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestAgingServer$")
	cmd.Env = append(os.Environ(), agingDir+"="+dir)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "mounted" {
		t.Skip("no FUSE file system: ", lines.Text())
	}
	r := agingReads(t, filepath.Join(dir, "file"), 20000)
	for _, word := range []string{"new ", "more"} {
		fmt.Fprintln(in, word)
		if lines.Scan(); lines.Text() != "changed" {
			t.Fatal("the server says ", lines.Text())
		}
		agingNotices(t, r, 400, word)
	}
}
