//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A FUSE file system that passes all calls on to a directory, and of whose files
// the kernel caches nothing. It is for the model test.

// fuseKinds are the kinds of it, by the name in the results.
var fuseKinds = map[string]string{"FUSE, direct": kindDirect, "FUSE, direct but for mappings": kindMapped}

// newLoopback mounts one, on a directory of the disk's.
func newLoopback(l *lab, name string) (*disk, error) {
	if err := errors.Join(root(), fuseDevice()); err != nil {
		return nil, missing{err}
	}
	dir, err1 := os.MkdirTemp(l.dir, l.part.name+"-fuse-")
	under, err2 := os.MkdirTemp(l.dir, l.part.name+"-under-")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	p, err := start(context.Background(), "loopback", dir, under, fuseKinds[name])
	if err != nil {
		return nil, err
	}
	l.defers(func() {
		_ = p.end()
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		os.RemoveAll(under)
		os.Remove(dir)
	})
	if !bufio.NewScanner(p.out).Scan() {
		return nil, missing{fmt.Errorf("no FUSE file system: %w", p.end())}
	}
	d := &disk{kind: name, dir: dir}
	return d, d.checkDirect()
}

// checkDirect makes sure that files can be mapped only if they should.
func (d *disk) checkDirect() error {
	f, err := os.Create(filepath.Join(d.dir, "probe"))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
	switch direct := fuseKinds[d.kind] == kindDirect; {
	case direct && err == nil:
		return errors.Join(errors.New("a file can be mapped that should not"), unix.Munmap(b))
	case direct && errors.Is(err, unix.ENODEV):
		return nil
	case err != nil:
		return err
	}
	return unix.Munmap(b)
}

// childLoopback is its server, of a place to mount it, a directory and a kind.
func childLoopback(args []string) error {
	none := time.Duration(0)
	options := fs.Options{
		AttrTimeout: &none, EntryTimeout: &none,
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "loopback", DisabledCapabilities: fuse.CAP_PASSTHROUGH},
	}
	if args[2] == kindMapped {
		options.ExtraCapabilities = fuse.CAP_DIRECT_IO_ALLOW_MMAP
	}
	root := &directNode{fs.LoopbackNode{RootData: &fs.LoopbackRoot{Path: args[1]}}}
	server, err := fs.Mount(args[0], root, &options)
	if err != nil {
		return err
	}
	if err := granted(server, &options); err != nil {
		return err
	}
	fmt.Println("mounted")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return server.Unmount()
}

// granted unmounts with an error if the kernel lacks something that was asked for.
func granted(server *fuse.Server, options *fs.Options) error {
	if settings := server.KernelSettings(); settings.Flags64()&options.ExtraCapabilities == options.ExtraCapabilities {
		return nil
	}
	return errors.Join(errors.New("the kernel does not map files that it does not cache"), server.Unmount())
}

// directNode is a file or a directory.
type directNode struct{ fs.LoopbackNode }

// WrapChild makes what is in the directory such nodes.
func (n *directNode) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &directNode{fs.LoopbackNode{RootData: n.RootData}}
}

// Open tells the kernel to cache nothing.
func (n *directNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, more, errno := n.LoopbackNode.Open(ctx, flags)
	return f, more | fuse.FOPEN_DIRECT_IO, errno
}

// Create does so too.
func (n *directNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, f, more, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, f, more | fuse.FOPEN_DIRECT_IO, errno
}
