//go:build linux

package fusefs

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// pageSize is that of the page that fails.
const pageSize = 4096

// Fault is what is wrong with a file of [Files].
type Fault string

// All but the last three are about one page of the file, see [Files.New].
const (
	None        Fault = "none"
	ReadEIO     Fault = "EIO"          // a read fails
	ReadStale   Fault = "ESTALE"       // a read fails as of a file that is gone
	ReadShort   Fault = "short"        // a read ends early, a hundred bytes into the page
	ReadSlow    Fault = "slow"         // a read takes its time
	WriteENOSPC Fault = "write ENOSPC" // a write fails, and so does growth
	WriteEIO    Fault = "write EIO"    // a write fails
	FsyncEIO    Fault = "fsync EIO"    // a flush fails
	Shrunk      Fault = "shrink"       // the file ends a hundred bytes into the page
	Held        Fault = "hold"         // a write that makes the file longer waits, see [Files.Await]
	Dead        Fault = "dead"         // the server is gone
)

// Files is a file system of files in memory that fail on order.
type Files struct{ *FS }

// MountFiles mounts one on a directory. A read of a slow page takes so long.
func MountFiles(dir string, mode Mode, slow time.Duration) (*Files, error) {
	f, err := mount("files", dir, string(mode), slow.String())
	return &Files{f}, err
}

// New makes a file of so many bytes, which has a fault later in the page in which
// a byte is. Its bytes are those of [Fill], or zeros for seed 0.
func (f *Files) New(name string, size, at int64, seed uint64) error {
	return f.order("new", name, fmt.Sprint(size, at, seed))
}

// Arm gives a file a fault, or takes it away.
func (f *Files) Arm(name string, fault Fault) error {
	err := f.order("arm", name, string(fault))
	if fault == Dead {
		return nil
	}
	return err
}

// Evict makes the kernel forget what it has cached of a file.
func (f *Files) Evict(name string) error { return f.order("evict", name, "") }

// Remove removes a file.
func (f *Files) Remove(name string) error { return f.order("remove", name, "") }

// Await waits until a write has come that is held.
func (f *Files) Await(name string) error { return f.order("await", name, "") }

// Release lets that write go on.
func (f *Files) Release(name string) error { return f.order("release", name, "") }

// Dump writes the bytes that the server has to a file elsewhere.
func (f *Files) Dump(name, to string) error { return f.order("dump", name, to) }

// fileServer serves Files; it is their directory.
type fileServer struct {
	fs.Inode
	kind Mode
	slow time.Duration
}

func newFileServer(args []string) (server, error) {
	slow, err := time.ParseDuration(args[1])
	return &fileServer{kind: Mode(args[0]), slow: slow}, err
}

func (s *fileServer) root() fs.InodeEmbedder { return s }
func (s *fileServer) mode() Mode             { return s.kind }

// order implements server.
func (s *fileServer) order(what, name, argument string) error {
	if what == "new" {
		return s.add(name, argument)
	}
	f := s.GetChild(name).Operations().(*memFile)
	switch what {
	case "arm":
		if Fault(argument) == Dead {
			os.Exit(0)
		}
		f.arm(Fault(argument))
	case "evict":
		f.NotifyContent(0, 0)
	case "remove":
		s.RmChild(name)
	case "await":
		<-f.arrived
	case "release":
		f.proceed <- struct{}{}
	case "dump":
		f.mu.Lock()
		defer f.mu.Unlock()
		all := make([]byte, f.size)
		copy(all, f.data)
		return os.WriteFile(argument, all, 0o600)
	}
	return nil
}

// add makes a file.
func (s *fileServer) add(name, argument string) error {
	f := &memFile{server: s, fault: None, arrived: make(chan struct{}), proceed: make(chan struct{})}
	var seed uint64
	if _, err := fmt.Sscan(argument, &f.size, &f.at, &seed); err != nil {
		return err
	}
	if f.most = f.size; seed > 0 {
		f.data = Fill(seed, int(f.size))
	}
	s.AddChild(name, s.NewPersistentInode(context.Background(), f, fs.StableAttr{Mode: fuse.S_IFREG}), true)
	return nil
}

// memFile is a file in memory.
type memFile struct {
	fs.Inode
	server  *fileServer
	at      int64 // a byte of the page that fails
	most    int64 // a write past that size fails, as one of the page does
	arrived chan struct{}
	proceed chan struct{}

	mu    sync.Mutex
	size  int64
	data  []byte // shorter than size: zeros follow
	fault Fault
}

// page returns where the page that fails begins.
func (f *memFile) page() int64 { return f.at &^ (pageSize - 1) }

// hits reports whether the page that fails is in a range.
func (f *memFile) hits(off int64, n int) bool {
	return off < f.page()+pageSize && off+int64(n) > f.page()
}

// cut is where the file ends that is cut.
func (f *memFile) cut() int64 { return f.page() + 100 }

// arm gives the file a fault, or takes it away.
func (f *memFile) arm(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	if fault == Shrunk {
		f.resize(f.cut())
	}
}

// resize changes the size. mu is held.
func (f *memFile) resize(size int64) {
	f.size = size
	f.data = f.data[:min(size, int64(len(f.data)))]
}

// Getattr implements [fs.NodeGetattrer].
func (f *memFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	out.Mode, out.Size = 0o600, uint64(f.size)
	return 0
}

// Setattr implements [fs.NodeSetattrer]: it changes the size.
func (f *memFile) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		f.mu.Lock()
		full := int64(size) > f.size && f.fault == WriteENOSPC
		if !full {
			f.resize(int64(size))
		}
		f.mu.Unlock()
		if full {
			return syscall.ENOSPC
		}
	}
	return f.Getattr(ctx, h, out)
}

// Open implements [fs.NodeOpener].
func (f *memFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, f.server.kind.openFlags(), 0
}

// Read implements [fs.NodeReader].
func (f *memFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := max(min(int64(len(dest)), f.size-off), 0)
	if f.hits(off, len(dest)) {
		switch f.fault {
		case ReadEIO:
			return nil, syscall.EIO
		case ReadStale:
			return nil, syscall.ESTALE
		case ReadSlow:
			time.Sleep(f.server.slow) // it is what takes time
		case ReadShort:
			n = max(min(f.cut()-off, n), 0)
		}
	}
	b := make([]byte, n)
	copy(b, f.data[min(off, int64(len(f.data))):])
	return fuse.ReadResultData(b), 0
}

// Write implements [fs.NodeWriter].
func (f *memFile) Write(_ context.Context, _ fs.FileHandle, b []byte, off int64) (uint32, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := off + int64(len(b))
	if f.hits(off, len(b)) || end > f.most {
		switch f.fault {
		case WriteENOSPC:
			return 0, syscall.ENOSPC
		case WriteEIO:
			return 0, syscall.EIO
		}
	}
	if end > f.size && f.fault == Held {
		f.mu.Unlock()
		f.arrived <- struct{}{}
		<-f.proceed
		f.mu.Lock()
	}
	if end > f.size {
		f.resize(end)
	}
	if more := end - int64(len(f.data)); more > 0 {
		f.data = append(f.data, make([]byte, more)...)
	}
	copy(f.data[off:], b)
	return uint32(len(b)), 0
}

// Fsync implements [fs.NodeFsyncer].
func (f *memFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == FsyncEIO {
		return syscall.EIO
	}
	return 0
}
