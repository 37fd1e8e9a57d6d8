//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A file system that fails on order. It is served by a process of its own: a
// page fault that stopped the process under test would stop its own server too.

// faultyPage is the page that fails, of faultyPages.
const (
	faultyPage  = 20
	faultyPages = 64
	faultySize  = faultyPages * 4096
	faultyEnd   = faultyPage*4096 + 100 // where a file ends that is cut
)

// Faults that a file can have. All but the last are about faultyPage.
const (
	faultNone   = "none"
	faultEIO    = "EIO"          // a read fails
	faultStale  = "ESTALE"       // a read fails as of a file that is gone
	faultShort  = "short"        // a read ends early
	faultSlow   = "slow"         // a read takes its time
	faultNoRoom = "write ENOSPC" // a write fails
	faultWrite  = "write EIO"    // a write fails
	faultFsync  = "fsync EIO"    // a flush fails
	faultShrink = "shrink"       // the file ends there
	faultDead   = "dead"         // the server is gone
)

// What the kernel keeps of the files.
const (
	kindCached = "cached" // what was read or written
	kindDirect = "direct" // nothing (FOPEN_DIRECT_IO), so files cannot be mapped
	kindMapped = "mapped" // what is mapped, and nothing else (FUSE_DIRECT_IO_ALLOW_MMAP)
)

// faulty is the mounted file system, as its user sees it.
type faulty struct {
	dir string
	p   *process
	in  *bufio.Scanner
}

// mountFaulty starts a server of files of that kind.
func mountFaulty(dir string, wait time.Duration, kind string) (*faulty, error) {
	p, err := start(context.Background(), "faulty", dir, wait.String(), kind)
	if err != nil {
		return nil, err
	}
	f := &faulty{dir, p, bufio.NewScanner(p.out)}
	if !f.in.Scan() {
		return nil, missing{fmt.Errorf("no FUSE file system: %w", p.end())}
	}
	return f, nil
}

// order tells the server something and waits until it is done.
func (f *faulty) order(what, file, fault string) error {
	if _, err := fmt.Fprintf(f.p.in, "%s %s %q\n", what, file, fault); err != nil {
		return err
	}
	if !f.in.Scan() && fault != faultDead {
		return fmt.Errorf("the server is gone: %w", f.p.end())
	}
	return nil
}

// end ends the server and its mount.
func (f *faulty) end() {
	f.p.in.Close()
	_ = f.p.cmd.Wait()
	_ = unix.Unmount(f.dir, unix.MNT_DETACH) // if it was dead
}

// childFaulty is the server. Orders come on its standard input.
func childFaulty(args []string) error {
	wait, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	root := &faultyRoot{wait: wait, kind: args[2]}
	none := time.Duration(0)
	options := fs.Options{
		AttrTimeout: &none, EntryTimeout: &none,
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "faulty"},
	}
	if root.kind == kindMapped {
		options.ExtraCapabilities = fuse.CAP_DIRECT_IO_ALLOW_MMAP
	}
	server, err := fs.Mount(args[0], root, &options)
	if err != nil {
		return err
	}
	if err := granted(server, &options); err != nil {
		return err
	}
	fmt.Println("mounted")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); fmt.Println("done") {
		var what, file, fault string
		if _, err := fmt.Sscanf(in.Text(), "%s %s %q", &what, &file, &fault); err != nil {
			return err
		}
		switch what {
		case "new":
			root.add(file)
		case "arm":
			if fault == faultDead {
				os.Exit(0)
			}
			root.file(file).arm(fault)
		case "evict":
			root.file(file).NotifyContent(0, 0)
		case "remove":
			root.RmChild(file)
		}
	}
	return server.Unmount()
}

// faultyRoot is the directory.
type faultyRoot struct {
	fs.Inode
	wait time.Duration
	kind string
}

// add makes a file of faultySize bytes.
func (r *faultyRoot) add(name string) {
	f := &faultyFile{wait: r.wait, kind: r.kind, data: fill(1, faultySize), fault: faultNone}
	r.AddChild(name, r.NewPersistentInode(context.Background(), f, fs.StableAttr{Mode: fuse.S_IFREG}), true)
}

// file returns a file.
func (r *faultyRoot) file(name string) *faultyFile {
	return r.GetChild(name).Operations().(*faultyFile)
}

// faultyFile is a file.
type faultyFile struct {
	fs.Inode
	wait time.Duration
	kind string

	mu    sync.Mutex
	data  []byte
	fault string
}

// arm gives the file a fault, or takes it away.
func (f *faultyFile) arm(fault string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	if fault == faultShrink {
		f.data = f.data[:faultyEnd]
	}
}

// hits reports whether the failing page is in a range.
func hits(off int64, n int) bool {
	return off < (faultyPage+1)*4096 && off+int64(n) > faultyPage*4096
}

// Getattr says how long the file is.
func (f *faultyFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	out.Mode, out.Size = 0o600, uint64(len(f.data))
	return 0
}

// Setattr changes how long it is.
func (f *faultyFile) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if size > uint64(len(f.data)) && f.fault == faultNoRoom {
			return syscall.ENOSPC
		}
		f.resize(int(size))
	}
	out.Mode, out.Size = 0o600, uint64(len(f.data))
	return 0
}

// resize cuts the file, or fills it up with zeros. mu is held.
func (f *faultyFile) resize(size int) {
	if size > len(f.data) {
		f.data = append(f.data, make([]byte, size-len(f.data))...)
	}
	f.data = f.data[:size:size]
}

// Open tells the kernel what to keep.
func (f *faultyFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if f.kind != kindCached {
		return nil, fuse.FOPEN_DIRECT_IO, 0
	}
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Read reads, or does not.
func (f *faultyFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := min(off, int64(len(f.data)))
	b := f.data[from:min(off+int64(len(dest)), int64(len(f.data)))]
	if hits(off, len(dest)) {
		switch f.fault {
		case faultEIO:
			return nil, syscall.EIO
		case faultStale:
			return nil, syscall.ESTALE
		case faultSlow:
			time.Sleep(f.wait)
		case faultShort:
			b = b[:max(min(faultyEnd-from, int64(len(b))), 0)]
		}
	}
	return fuse.ReadResultData(append([]byte(nil), b...)), 0
}

// Write writes, or does not.
func (f *faultyFile) Write(_ context.Context, _ fs.FileHandle, b []byte, off int64) (uint32, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := off + int64(len(b))
	if hits(off, len(b)) || end > faultySize {
		switch f.fault {
		case faultNoRoom:
			return 0, syscall.ENOSPC
		case faultWrite:
			return 0, syscall.EIO
		}
	}
	if end > int64(len(f.data)) {
		f.resize(int(end))
	}
	copy(f.data[off:], b)
	return uint32(len(b)), 0
}

// Fsync flushes, or does not.
func (f *faultyFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == faultFsync {
		return syscall.EIO
	}
	return 0
}
