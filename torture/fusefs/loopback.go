//go:build linux

package fusefs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// MountLoopback mounts on dir a file system that passes all calls on to the
// directory under.
func MountLoopback(dir, under string, mode Mode) (*FS, error) {
	return mount("loopback", dir, under, string(mode))
}

// loopbackServer serves it.
type loopbackServer struct{ node *loopbackNode }

func newLoopbackServer(args []string) (server, error) {
	return loopbackServer{newLoopbackNode(&fs.LoopbackRoot{Path: args[0]}, Mode(args[1]))}, nil
}

func (s loopbackServer) root() fs.InodeEmbedder      { return s.node }
func (s loopbackServer) mode() Mode                  { return s.node.kind }
func (loopbackServer) order(what, _, _ string) error { return nil }

// loopbackNode is a file or a directory.
type loopbackNode struct {
	fs.LoopbackNode
	kind Mode
}

func newLoopbackNode(root *fs.LoopbackRoot, mode Mode) *loopbackNode {
	return &loopbackNode{LoopbackNode: fs.LoopbackNode{RootData: root}, kind: mode}
}

// WrapChild makes what is in the directory such nodes.
func (n *loopbackNode) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return newLoopbackNode(n.RootData, n.kind)
}

// Open implements [fs.NodeOpener].
func (n *loopbackNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, more, errno := n.LoopbackNode.Open(ctx, flags)
	return n.wrap(f), more | n.kind.openFlags(), errno
}

// Create implements [fs.NodeCreater].
func (n *loopbackNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, f, more, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, n.wrap(f), more | n.kind.openFlags(), errno
}

// wrap makes reads of an open file short, if they shall be.
func (n *loopbackNode) wrap(f fs.FileHandle) fs.FileHandle {
	if file, ok := f.(loopbackFile); ok && n.kind == Short {
		return shortFile{file}
	}
	return f
}

// Allocate implements [fs.NodeAllocater].
func (n *loopbackNode) Allocate(ctx context.Context, f fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if a, ok := f.(fs.FileAllocater); ok && n.kind != NoFallocate {
		return a.Allocate(ctx, off, size, mode)
	}
	return syscall.ENOSYS
}

// loopbackFile is what an open file of the directory can do.
type loopbackFile interface {
	fs.FileReleaser
	fs.FileGetattrer
	fs.FileReader
	fs.FileWriter
	fs.FileLseeker
	fs.FileFlusher
	fs.FileFsyncer
	fs.FileSetattrer
	fs.FileAllocater
}

// shortest is how much a short read returns at least, if there is more.
const shortest = 1000

// shortFile reads at most three quarters of what it is asked for.
type shortFile struct{ loopbackFile }

// Read implements [fs.FileReader].
func (f shortFile) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if n := len(dest) * 3 / 4; n > shortest {
		dest = dest[:n]
	}
	return f.loopbackFile.Read(ctx, dest, off)
}
