//go:build linux

package fusefs

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Disk is a disk that remembers its writes and flushes, as a file to be put under
// a loop device. When its power goes, what was written before the last flush is
// there, and of what came later any part may be: a replay chooses. The kernel's
// dm-log-writes records the same; this one needs no module of the kernel, and
// loses single blocks.
type Disk struct{ *FS }

// MountDisk mounts a directory with the disk in it.
func MountDisk(dir string, size int64) (*Disk, error) {
	f, err := mount("disk", dir, strconv.FormatInt(size, 10))
	return &Disk{f}, err
}

// Image is the file that is the disk.
func (d *Disk) Image() string { return filepath.Join(d.Dir, "disk") }

// Record begins the record.
func (d *Disk) Record() error { return d.order("record", "", "") }

// PowerOff makes the disk fail from now on, and ends the record.
func (d *Disk) PowerOff() error { return d.order("off", "", "") }

// Replay makes the disk come back with what may be left: the seed chooses.
func (d *Disk) Replay(seed uint64) error {
	return d.order("replay", "", strconv.FormatUint(seed, 10))
}

// diskServer serves the disk; it is its directory.
type diskServer struct {
	fs.Inode
	disk *diskFile
}

func newDiskServer(args []string) (server, error) {
	size, err := number(args[0])
	return &diskServer{disk: &diskFile{size: size, now: blocks{}}}, err
}

func (s *diskServer) root() fs.InodeEmbedder { return s }
func (s *diskServer) mode() Mode             { return Cached }

// OnAdd makes the file.
func (s *diskServer) OnAdd(ctx context.Context) {
	s.AddChild("disk", s.NewPersistentInode(ctx, s.disk, fs.StableAttr{Mode: fuse.S_IFREG}), false)
}

// order implements server.
func (s *diskServer) order(what, _, argument string) error {
	f := s.disk
	f.mu.Lock()
	defer f.mu.Unlock()
	switch what {
	case "record":
		f.base, f.log, f.flushed, f.records = copyOf(f.now), nil, 0, true
	case "off":
		f.dead, f.records = true, false
	case "replay":
		seed, err := strconv.ParseUint(argument, 10, 64)
		if err != nil {
			return err
		}
		f.replay(seed)
	}
	return nil
}

// written is a write that the disk remembers.
type written struct {
	off  int64
	data []byte
}

// block is the unit in which a disk loses things.
const block = 4096

// blocks are the disk's contents. What is not there is zeros.
type blocks map[int64][]byte

// diskFile is the disk.
type diskFile struct {
	fs.Inode
	size int64

	mu      sync.Mutex
	now     blocks
	base    blocks // what there was when the record began
	log     []written
	flushed int // how many of the log are safe
	records bool
	dead    bool
}

// replay makes of the record what the disk then has. mu is held.
func (f *diskFile) replay(seed uint64) {
	f.dead, f.now = false, copyOf(f.base)
	rng := rand.New(rand.NewPCG(seed, 4))
	keep := rng.IntN(101) // of a hundred
	for i, w := range f.log {
		for at := int64(0); at < int64(len(w.data)); {
			n := min(block-(w.off+at)%block, int64(len(w.data))-at)
			if i < f.flushed || rng.IntN(100) < keep {
				f.now.write(w.data[at:at+n], w.off+at)
			}
			at += n
		}
	}
}

// copyOf copies the map; blocks are never changed in place.
func copyOf(b blocks) blocks {
	c := make(blocks, len(b))
	for at, data := range b {
		c[at] = data
	}
	return c
}

// write changes what lies in one block or in several.
func (b blocks) write(p []byte, off int64) {
	for len(p) > 0 {
		at := off / block
		fresh := make([]byte, block)
		copy(fresh, b[at])
		n := copy(fresh[off%block:], p)
		b[at] = fresh
		p, off = p[n:], off+int64(n)
	}
}

// Getattr says how large the disk is.
func (f *diskFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, uint64(f.size)
	return 0
}

// Setattr changes nothing.
func (f *diskFile) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

// Open makes the kernel forget what it has cached: a replay may have changed it.
func (f *diskFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

// Read reads.
func (f *diskFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(dest)
	dest = dest[:max(min(int64(len(dest)), f.size-off), 0)]
	for n := int64(0); n < int64(len(dest)); {
		at := off + n
		c := min(block-at%block, int64(len(dest))-n)
		if data := f.now[at/block]; data != nil {
			copy(dest[n:n+c], data[at%block:])
		}
		n += c
	}
	return fuse.ReadResultData(dest), 0
}

// Write writes, and remembers.
func (f *diskFile) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return 0, syscall.EIO
	}
	if off+int64(len(p)) > f.size {
		return 0, syscall.EFBIG
	}
	f.now.write(p, off)
	if f.records {
		f.log = append(f.log, written{off, bytes.Clone(p)})
	}
	return uint32(len(p)), 0
}

// Fsync is the disk's flush.
func (f *diskFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return syscall.EIO
	}
	f.flushed = len(f.log)
	return 0
}
