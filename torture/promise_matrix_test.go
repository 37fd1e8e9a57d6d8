//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap/internal/difftest"
)

var (
	promiseMatrixAll   = flag.Bool("matrix.all", false, "TestPromiseMatrix: every pair on every kind of file, and not on one in turn")
	promiseMatrixCalls = flag.Int("matrix.calls", 12, "TestPromiseMatrix: how many calls each play makes")
)

// TestPromiseMatrix: the matrix of options, flags and kinds of file, on file
// systems that have to be mounted.
func TestPromiseMatrix(t *testing.T) {
	for name, mount := range map[string]func(t *testing.T) string{
		"overlay on tmpfs": func(t *testing.T) string { return promiseOverlay(t, promiseTmpfs(t)) },
		"overlay on disk":  func(t *testing.T) string { return promiseOverlay(t, t.TempDir()) },
		"ext3":             func(t *testing.T) string { return promiseImage(t, "mkfs.ext3", "-q", "-F") },
		"xfs":              func(t *testing.T) string { return promiseImage(t, "mkfs.xfs", "-q") },
		"btrfs":            func(t *testing.T) string { return promiseImage(t, "mkfs.btrfs", "-q") },
		"FUSE":             func(t *testing.T) string { return promiseLoopback(t, "") },
		"FUSE, writeback":  func(t *testing.T) string { return promiseLoopback(t, "writeback") },
		"FUSE, direct_io":  func(t *testing.T) string { return promiseLoopback(t, "direct_io") },
	} {
		t.Run(name, func(t *testing.T) {
			m := &difftest.Matrix{
				Dir: mount(t), All: *promiseMatrixAll, Calls: *promiseMatrixCalls, Seed: uint64(len(name)),
				NoMemory: name == "FUSE, direct_io",
			}
			if err := m.Run(); err != nil {
				t.Fatal(err)
			}
			for _, failure := range m.Failures {
				t.Error(failure)
			}
			if t.Log(m); m.Played < 500 || m.Refused < 500 {
				t.Error("that is not what it should be")
			}
		})
	}
}

// promiseMount mounts a file system on a new directory, or skips the test.
func promiseMount(t *testing.T, source, kind, data string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount(source, dir, kind, unix.MS_NOSUID, data); err != nil {
		t.Skipf("no %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("%s is still in use: %v", dir, err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

// promiseTmpfs mounts one.
func promiseTmpfs(t *testing.T) string { return promiseMount(t, "tmpfs", "tmpfs", "size=64m") }

// promiseOverlay mounts an overlay whose upper layer is in dir.
func promiseOverlay(t *testing.T, dir string) string {
	t.Helper()
	for _, sub := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return promiseMount(t, "overlay", "overlay", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir))
}

// promiseImage makes a file system in a file and mounts it.
func promiseImage(t *testing.T, mkfs ...string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 400<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v %s", mkfs[0], err, out)
	}
	return promiseMount(t, promiseLoop(t, image), strings.TrimPrefix(mkfs[0], "mkfs."), "")
}

// promiseLoopbackEnv names what a child process is to serve: the mode, the mount
// point and the directory behind it.
const promiseLoopbackEnv = "MMAP_PROMISE_LOOPBACK"

// promiseUncached is a loopback node whose files are opened with FOPEN_DIRECT_IO.
type promiseUncached struct{ fs.LoopbackNode }

// WrapChild makes what is in a directory such nodes.
func (n *promiseUncached) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &promiseUncached{fs.LoopbackNode{RootData: n.RootData}}
}

// Open implements [fs.NodeOpener].
func (n *promiseUncached) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, _, errno := n.LoopbackNode.Open(ctx, flags)
	return f, fuse.FOPEN_DIRECT_IO, errno
}

// Create implements [fs.NodeCreater].
func (n *promiseUncached) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, f, _, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, f, fuse.FOPEN_DIRECT_IO, errno
}

// TestPromiseLoopbackServer is the server's process.
func TestPromiseLoopbackServer(t *testing.T) {
	order := strings.Split(os.Getenv(promiseLoopbackEnv), ":")
	if len(order) != 3 {
		t.Skip("a server, started by other tests")
	}
	mode, dir, behind := order[0], order[1], order[2]
	data := &fs.LoopbackRoot{Path: behind}
	options := fs.Options{MountOptions: fuse.MountOptions{
		DirectMount: true, FsName: "loopback", DisabledCapabilities: fuse.CAP_PASSTHROUGH,
	}}
	root := fs.InodeEmbedder(&fs.LoopbackNode{RootData: data})
	switch mode {
	case "direct_io":
		root = &promiseUncached{fs.LoopbackNode{RootData: data}}
	case "writeback":
		options.ExtraCapabilities = fuse.CAP_WRITEBACK_CACHE
	}
	server, err := fs.Mount(dir, root, &options)
	if err != nil {
		fmt.Println("no mount:", err)
		os.Exit(0)
	}
	fmt.Println("mounted")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
	_ = server.Unmount()
	os.Exit(0)
}

// promiseLoopback mounts FUSE in a mode on top of a directory of its own.
func promiseLoopback(t *testing.T, mode string) string {
	t.Helper()
	dir := t.TempDir()
	promiseServe(t, dir, "^TestPromiseLoopbackServer$", promiseLoopbackEnv+"="+mode+":"+dir+":"+t.TempDir())
	return dir
}
