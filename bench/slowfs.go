//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// The slow file system has files of zeros of which one page takes its time. It
// is served by a process of its own: a page fault that stops the collector of
// the process under measurement would stop its own server too.

const (
	slowFiles = 64         // how many there are, each to be read once
	slowSize  = 64 * miB   // of each
	slowAt    = 32*miB + 8 // in the page that is slow
)

// slowFS is the mounted file system.
type slowFS struct {
	dir  string
	end  func()
	done bool
}

// mountSlowFS starts the server. It ends when its standard input does, so no
// mount outlives this process.
func mountSlowFS(l *lab, wait time.Duration) *slowFS {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		panic(skip("there is no /dev/fuse"))
	}
	if _, err := exec.LookPath("fusermount3"); err != nil && os.Geteuid() != 0 {
		panic(skip("neither root nor fusermount3 to mount a FUSE file system"))
	}
	dir := l.path("slowfs")
	must(os.Mkdir(dir, 0o755))
	cmd := exec.Command("/proc/self/exe", "-slowfs", dir+":"+wait.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for us, not for the server
	cmd.Stderr = os.Stderr
	in := must1(cmd.StdinPipe())
	out := must1(cmd.StdoutPipe())
	must(cmd.Start())
	f := &slowFS{dir: dir, end: func() {
		in.Close()
		cmd.Wait()
		_ = unix.Unmount(dir, unix.MNT_DETACH) // if the server could not
	}}
	l.atEnd(f.unmount)
	if n, _ := out.Read(make([]byte, 1)); n == 0 {
		panic(skip("a FUSE file system could not be mounted"))
	}
	return f
}

// file names the nth file.
func (f *slowFS) file(n int) string { return filepath.Join(f.dir, fmt.Sprint(n%slowFiles)) }

// unmount ends the server, once.
func (f *slowFS) unmount() {
	if !f.done {
		f.done = true
		f.end()
	}
}

// serveSlowFS is the server's process: where is the directory and the delay.
func serveSlowFS(where string) error {
	i := len(where) - 1
	for i > 0 && where[i] != ':' {
		i--
	}
	wait, err := time.ParseDuration(where[i+1:])
	if err != nil {
		return err
	}
	opts := &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "slow"}}
	server, err := fs.Mount(where[:i], &slowRoot{wait: wait}, opts)
	if err != nil {
		return err
	}
	fmt.Print("+") // mounted
	io.Copy(io.Discard, os.Stdin)
	return server.Unmount()
}

// slowRoot is the directory.
type slowRoot struct {
	fs.Inode
	wait time.Duration
}

// OnAdd makes the files.
func (r *slowRoot) OnAdd(ctx context.Context) {
	for i := range slowFiles {
		n := r.NewPersistentInode(ctx, &slowFile{wait: r.wait}, fs.StableAttr{Mode: fuse.S_IFREG})
		r.AddChild(fmt.Sprint(i), n, false)
	}
}

// slowFile is one file.
type slowFile struct {
	fs.Inode
	wait time.Duration
}

// Getattr says how long it is.
func (f *slowFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o444, slowSize
	return 0
}

// Open lets the kernel keep what it read.
func (f *slowFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Read returns zeros, and those of the slow page late.
func (f *slowFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if off <= slowAt && slowAt < off+int64(len(dest)) {
		time.Sleep(f.wait)
	}
	n := max(min(int64(len(dest)), slowSize-off), 0)
	clear(dest[:n])
	return fuse.ReadResultData(dest[:n]), 0
}
