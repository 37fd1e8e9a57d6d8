//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A disk that remembers its writes and flushes, as a file of a FUSE file system
// under a loop device. When its power goes, what was written before the last
// flush is there, and of what came later any part may be: a replay chooses.

// logDisk is the disk, as its user sees it.
type logDisk struct {
	dir string
	p   *process
	in  *bufio.Scanner
}

// newLogDisk starts the server of a disk of so many bytes.
func newLogDisk(ctx context.Context, l *lab, name string, size int64) (*logDisk, error) {
	if err := fuseDevice(); err != nil {
		return nil, missing{err}
	}
	dir := l.path("log-" + name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	p, err := start(ctx, "logdisk", dir, fmt.Sprint(size))
	if err != nil {
		return nil, err
	}
	d := &logDisk{dir, p, bufio.NewScanner(p.out)}
	l.defers(func() {
		p.in.Close()
		_ = p.cmd.Wait()
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		os.Remove(dir)
	})
	if !d.in.Scan() {
		return nil, missing{errors.New("no FUSE file system")}
	}
	return d, nil
}

// image is the file that is the disk.
func (d *logDisk) image() string { return filepath.Join(d.dir, "disk") }

// order tells the disk something and waits until it is done.
func (d *logDisk) order(what string, seed uint64) error {
	if _, err := fmt.Fprintln(d.p.in, what, seed); err != nil {
		return err
	}
	if !d.in.Scan() {
		return fmt.Errorf("the disk is gone: %w", d.p.end())
	}
	return nil
}

// block is the unit in which a disk loses things.
const block = 4096

// blocks are the disk's contents. What is not there is zeros.
type blocks map[int64][]byte

// childLogDisk is the server.
func childLogDisk(args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	disk := &logFile{size: size, now: blocks{}}
	server, err := fs.Mount(args[0], &logRoot{disk: disk}, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "logdisk", MaxWrite: 1 << 20},
	})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); fmt.Println("done") {
		var what string
		var seed uint64
		if _, err := fmt.Sscan(in.Text(), &what, &seed); err != nil {
			return err
		}
		disk.order(what, seed)
	}
	return server.Unmount()
}

// logRoot is the directory of the disk.
type logRoot struct {
	fs.Inode
	disk *logFile
}

// OnAdd makes the file.
func (r *logRoot) OnAdd(ctx context.Context) {
	r.AddChild("disk", r.NewPersistentInode(ctx, r.disk, fs.StableAttr{Mode: fuse.S_IFREG}), false)
}

// logFile is the disk.
type logFile struct {
	fs.Inode
	size int64

	mu      sync.Mutex
	now     blocks
	base    blocks // what there was when the record began
	log     []write
	flushed int // how many of the log are safe
	records bool
	dead    bool

	slow atomic.Int64 // bytes written in a second; 0: as fast as it goes
}

// order does what it is told: to begin a record, to lose its power, or to come
// back with what may be left; or to be slow.
func (f *logFile) order(what string, seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch what {
	case "record":
		f.base, f.log, f.flushed, f.records = copyOf(f.now), nil, 0, true
	case "slow":
		f.slow.Store(int64(seed))
	case "off":
		f.dead, f.records = true, false
	case "replay":
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
func (f *logFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, uint64(f.size)
	return 0
}

// Setattr changes nothing.
func (f *logFile) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

// Open makes the kernel forget what it has cached: a replay may have changed it.
func (f *logFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

// Read reads.
func (f *logFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
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
func (f *logFile) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	if speed := f.slow.Load(); speed > 0 {
		time.Sleep(time.Duration(len(p)) * time.Second / time.Duration(speed))
	}
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
		f.log = append(f.log, write{off, bytes.Clone(p)})
	}
	return uint32(len(p)), 0
}

// Fsync is the disk's flush.
func (f *logFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return syscall.EIO
	}
	f.flushed = len(f.log)
	return 0
}
