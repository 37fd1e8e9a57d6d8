//go:build linux

// Package fusefs serves FUSE file systems for tests: files that fail on order, a
// directory seen through FUSE in one of its modes, and a disk that loses what it
// was not told to flush.
//
// Each file system is served by a process of its own, which is this program once
// more: a page fault that stops the process under test would stop its own server
// too. So [Serve] must be the first call of main, or of TestMain. A server ends
// with the process that mounted it, and its mount with it.
package fusefs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// ErrUnavailable says that no such file system can be mounted here.
var ErrUnavailable = errors.New("no FUSE file system")

// Mode is what the kernel keeps of the files, and what they cannot do.
type Mode string

const (
	Cached       Mode = "cached"       // what was read or written
	Direct       Mode = "direct"       // nothing (FOPEN_DIRECT_IO), so files cannot be mapped
	Mapped       Mode = "mapped"       // what is mapped, and nothing else (FUSE_DIRECT_IO_ALLOW_MMAP)
	NonSeekable  Mode = "non-seekable" // as Cached, but files have no offset (FOPEN_NONSEEKABLE)
	Short        Mode = "short"        // as Direct, and a read returns less than there is
	NoFallocate  Mode = "no fallocate" // as Cached, without fallocate(2)
	roleArgument      = "serve-fuse"   // of the process that serves
	mountedLine       = "mounted"      // what it prints when it does
)

// openFlags are those with which a server opens a file.
func (m Mode) openFlags() uint32 {
	switch m {
	case Direct, Mapped, Short:
		return fuse.FOPEN_DIRECT_IO
	case NonSeekable:
		return fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NONSEEKABLE
	}
	return fuse.FOPEN_KEEP_CACHE
}

// server is a file system in the process that serves it.
type server interface {
	root() fs.InodeEmbedder
	mode() Mode
	// order does something and returns when it is done.
	order(what, file, argument string) error
}

// servers make a server of the arguments of its process, by its kind.
var servers = map[string]func(args []string) (server, error){
	"files":    newFileServer,
	"loopback": newLoopbackServer,
	"disk":     newDiskServer,
}

// Serve serves a file system and does not return, if this process was started for
// that; otherwise it does nothing.
func Serve() {
	if len(os.Args) < 4 || os.Args[1] != roleArgument {
		return
	}
	if err := serve(os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "fusefs:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve mounts a file system of a kind on a directory, and serves it until its
// standard input ends.
func serve(kind, dir string, args []string) error {
	s, err := servers[kind](args)
	if err != nil {
		return err
	}
	none := time.Duration(0)
	options := fs.Options{
		AttrTimeout: &none, EntryTimeout: &none,
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: kind, DisabledCapabilities: fuse.CAP_PASSTHROUGH},
	}
	if kind == "disk" {
		options.MaxWrite = 1 << 20
	}
	if s.mode() == Mapped {
		options.ExtraCapabilities = fuse.CAP_DIRECT_IO_ALLOW_MMAP
	}
	mounted, err := fs.Mount(dir, s.root(), &options)
	if err != nil {
		return err
	}
	if flags := mounted.KernelSettings(); flags.Flags64()&options.ExtraCapabilities != options.ExtraCapabilities {
		return errors.Join(errors.New("the kernel does not map files that it does not cache"), mounted.Unmount())
	}
	fmt.Println(mountedLine)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var what, file, argument string
		if _, err := fmt.Sscanf(in.Text(), "%s %q %q", &what, &file, &argument); err != nil {
			return err
		}
		if err := s.order(what, file, argument); err != nil {
			return err
		}
		fmt.Println("done")
	}
	return mounted.Unmount()
}

// FS is a mounted file system, as its user sees it.
type FS struct {
	Dir string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// mount starts the server of a file system.
func mount(kind, dir string, args ...string) (*FS, error) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	f := &FS{Dir: dir, cmd: exec.Command("/proc/self/exe", append([]string{roleArgument, kind, dir}, args...)...)}
	f.cmd.Stderr = os.Stderr
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for its user, and is told by the end of its input
	var err error
	if f.in, err = f.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f.out = bufio.NewScanner(out)
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	if !f.out.Scan() || f.out.Text() != mountedLine {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, f.end())
	}
	return f, nil
}

// order tells the server something and waits until it is done.
func (f *FS) order(what, file, argument string) error {
	if _, err := fmt.Fprintf(f.in, "%s %q %q\n", what, file, argument); err != nil {
		return err
	}
	if !f.out.Scan() {
		return fmt.Errorf("the server is gone: %w", f.end())
	}
	return nil
}

// end ends the server and returns how it went.
func (f *FS) end() error {
	f.in.Close()
	return errors.Join(f.cmd.Wait(), f.out.Err())
}

// Close unmounts the file system and ends its server.
func (f *FS) Close() {
	_ = f.end()
	_ = unix.Unmount(f.Dir, unix.MNT_DETACH) // if the server could not
}

// Fill returns n bytes that only this seed has, and no zero.
func Fill(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, 3))
	for i := 0; i < n; i += 8 {
		v := rng.Uint64() | 1
		for j := i; j < min(i+8, n); j++ {
			b[j] = byte(v>>(8*(j-i))) | 1
		}
	}
	return b
}

// number parses an argument of a server.
func number(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
