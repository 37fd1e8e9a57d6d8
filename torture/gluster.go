//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// A distributed file system on one machine: one GlusterFS server and one mount
// of it, over the loopback, by volume files of our own.

func init() {
	packages["glusterfsd"], packages["glusterfs"] = "glusterfs-server", "glusterfs-client"
}

// serverVolume and clientVolume are the volume files.
const (
	serverVolume = `volume posix
  type storage/posix
  option directory %s
end-volume
volume locks
  type features/locks
  subvolumes posix
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port %d
  option auth.addr.locks.allow *
  subvolumes locks
end-volume
`
	clientVolume = `volume client
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port %d
  option remote-subvolume locks
  option ping-timeout 3
end-volume
`
)

// gluster is the server and the mount.
type gluster struct {
	l              *lab
	dir            string // where it is mounted
	server, client *exec.Cmd
}

// runGluster plays the model test there, and kills the server under load. The
// model test takes no pages away on FUSE: see growths.
func runGluster(ctx context.Context, l *lab) error {
	g, err := newGluster(l)
	if err != nil {
		return err
	}
	if err := g.growths(); err != nil {
		return err
	}
	d := &disk{kind: "glusterfs", dir: g.dir}
	l.collectLess()
	if err := playOn(ctx, l, d, pick(l, int64(1_000_000), 100_000)); err != nil {
		return err
	}
	return g.killUnderLoad(ctx)
}

// newGluster starts both.
func newGluster(l *lab) (*gluster, error) {
	for _, program := range []string{"glusterfsd", "glusterfs"} {
		if err := have(program); err != nil {
			return nil, missing{err}
		}
	}
	g := &gluster{l: l, dir: l.path("mount")}
	brick := l.path("brick")
	if err := errors.Join(os.Mkdir(g.dir, 0o755), os.Mkdir(brick, 0o755)); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.WriteFile(l.path("server.vol"), fmt.Appendf(nil, serverVolume, brick, port), 0o600),
		os.WriteFile(l.path("client.vol"), fmt.Appendf(nil, clientVolume, port), 0o600))
	if err != nil {
		return nil, err
	}
	l.defers(g.close)
	if err := g.serve(); err != nil {
		return nil, err
	}
	if g.client, err = daemon("glusterfs", "-N", "-f", l.path("client.vol"), "-l", l.path("client.log"), g.dir); err != nil {
		return nil, missing{err}
	}
	return g, g.wait()
}

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	n, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer n.Close()
	return n.Addr().(*net.TCPAddr).Port, nil
}

// daemon starts a program that ends when this process does.
func daemon(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

// serve starts the server.
func (g *gluster) serve() (err error) {
	g.server, err = daemon("glusterfsd", "-N", "-f", g.l.path("server.vol"), "-l", g.l.path("server.log"), "-p", g.l.path("server.pid"))
	return err
}

// wait waits until files can be made.
func (g *gluster) wait() (err error) {
	name := filepath.Join(g.dir, "probe")
	for range 200 {
		var st unix.Statfs_t
		if err = unix.Statfs(g.dir, &st); err == nil && st.Type != unix.FUSE_SUPER_MAGIC {
			err = errors.New("not mounted yet")
		}
		if err == nil {
			if err = os.WriteFile(name, []byte("probe"), 0o600); err == nil {
				return os.Remove(name)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("GlusterFS does not answer: %w", err)
}

// close ends both and unmounts.
func (g *gluster) close() {
	_ = unix.Unmount(g.dir, unix.MNT_DETACH)
	for _, cmd := range []*exec.Cmd{g.client, g.server} {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
}

// growths shows, without the library, what the kernel does when a file on FUSE
// grows while its last page is dirty and is being written. Since Linux 6.17, by
// its sources (commit ef7e7cbb323f; seen on 6.18), the writing of a page clears
// what is behind the end of the file. But a write(2) past the end puts its bytes
// into the page first, and moves the end when the server has answered. In
// between they are cleared: in the cache, and on the server too if they were not
// sent yet. A FUSE server that only passes calls on shows the same.
//
// Eviction, sync_file_range(2) and the kernel's own flusher begin such a
// writing; only a store to a mapping makes a page dirty. So with pages taken
// away the model test would compare the library with what the kernel lost.
func (g *gluster) growths() error {
	const tries = 100
	var lost, lostForGood int
	for i := range 2 * tries {
		dirty := i%2 == 0
		cached, stored, err := g.growth(dirty)
		switch {
		case err != nil:
			return fmt.Errorf("plain calls: %w", err)
		case !dirty && (cached || stored):
			return errors.New("plain calls: bytes lost without a dirty page")
		case cached || stored:
			lost++
		}
		if stored {
			lostForGood++
		}
	}
	name := "glusterfs without the library, the last page written while the file grows"
	if lost == 0 {
		g.l.figure(name, "%d writes, none lost bytes", tries)
		return nil
	}
	g.l.control(name, "%d of %d writes lost bytes, %d of them on the server too; with a clean page none of %d", lost, tries, lostForGood, tries)
	return nil
}

// growth makes a file grow while its last page is taken away, and reports
// whether the bytes written are zeros afterwards: to a reader, and in the
// server's file.
func (g *gluster) growth(dirty bool) (cached, stored bool, err error) {
	const size, page = 100, 4096
	f, err := os.Create(filepath.Join(g.dir, "grows"))
	if err != nil {
		return false, false, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, size), 0); err != nil {
		return false, false, err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return false, false, err
	}
	defer unix.Munmap(b)
	if dirty {
		b[0] = 0
	}
	more := bytes.Repeat([]byte{1}, page)
	written := make(chan error, 1)
	go func() {
		_, err := f.WriteAt(more, size)
		written <- err
	}()
	for b[size] == 0 && len(written) == 0 {
		runtime.Gosched() // until the bytes are in the page
	}
	if err := errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), <-written); err != nil {
		return false, false, err
	}
	got := make([]byte, len(more))
	if _, err := f.ReadAt(got, size); err != nil {
		return false, false, err
	}
	if cached, err = cleared(got); err != nil {
		return false, false, err
	}
	if err := f.Sync(); err != nil {
		return false, false, err
	}
	all, err := os.ReadFile(g.l.path("brick/grows"))
	if err != nil {
		return false, false, err
	}
	if len(all) != size+len(more) {
		return false, false, fmt.Errorf("the server has %d bytes", len(all))
	}
	stored, err = cleared(all[size:])
	return cached, stored, err
}

// cleared reports whether some of the ones in b have become zeros. Anything
// else is an error.
func cleared(b []byte) (bool, error) {
	if len(bytes.Trim(b, "\x00\x01")) > 0 {
		return false, fmt.Errorf("bytes that nobody wrote: %.40x", b)
	}
	return bytes.IndexByte(b, 0) >= 0, nil
}

// killUnderLoad kills the server while a child reads and writes, starts it
// again, and opens a file anew.
func (g *gluster) killUnderLoad(ctx context.Context) error {
	child, err := start(ctx, "load", g.dir)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(child.out)
	hears := func(word string) (heard bool) {
		for !heard && lines.Scan() {
			heard = lines.Text() == word
		}
		return heard
	}
	if !hears("right") {
		return errors.Join(errors.New("the load did not begin"), child.end())
	}
	_ = g.server.Process.Kill()
	_ = g.server.Wait()
	if !hears("failed") {
		return errors.Join(errors.New("the load did not see the server's death, or did not survive it"), child.end())
	}
	child.in.Close()
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if err := child.end(); err != nil {
		return fmt.Errorf("the load did not survive the server's death: %w", err)
	}
	var before, after, failed int
	if _, err := fmt.Sscanf(last, "ended %d %d %d", &before, &after, &failed); err != nil {
		return fmt.Errorf("the load did not end: %q", last)
	}
	if before == 0 || failed == 0 {
		return fmt.Errorf("%d calls succeeded and %d failed: the run shows nothing", before, failed)
	}
	if err := errors.Join(g.serve(), g.wait()); err != nil {
		return err
	}
	// What was lost while the server was away is told to the first who asks,
	// to os.File too; then all is well.
	for try := range 3 {
		if err = anew(filepath.Join(g.dir, "load0")); err == nil {
			break
		}
		if try == 2 {
			return fmt.Errorf("after the restart: %w", err)
		}
	}
	g.l.figure("glusterfs, the server killed under load", "%d calls right, %d errors, %d wrong bytes, no crash; a new Region works after the restart", before, failed, after)
	if after > 0 {
		return fmt.Errorf("%d reads gave wrong bytes", after)
	}
	return nil
}

// anew opens a Region and uses it.
func anew(name string) error {
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	p := fill(9, 1000)
	if _, err := r.WriteAt(p, 5000); err != nil {
		return err
	}
	got := make([]byte, 1000)
	if _, err := r.ReadAt(got, 5000); err != nil && err != io.EOF {
		return err
	}
	if string(got) != string(p) {
		return errors.New("other bytes than were written")
	}
	return r.Flush()
}

// childLoad reads and writes files of which every byte is known, and goes on
// whatever the errors are. It says "right" and "failed" when each hand has had
// enough calls that were, and at the end how many there were.
func childLoad(args []string) error {
	const files, hands, size = 4, 3, 1 << 20
	const enoughRight, enoughFailed = 2000, 1000 // for each hand
	var over atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		over.Store(true)
	}()
	var right, wrong, failed atomic.Int64
	var all, willRight, willFail sync.WaitGroup
	willRight.Add(files * hands)
	willFail.Add(files * hands)
	content := fill(8, size)
	for i := range files {
		name := filepath.Join(args[0], fmt.Sprint("load", i))
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return err
		}
		r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
		if err != nil {
			return err
		}
		for g := range hands {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(g)))
				for rights, fails := 0, 0; !over.Load(); {
					switch ok, err := loadOnce(r, rng, content); {
					case err != nil:
						failed.Add(1)
						if fails++; fails == enoughFailed {
							willFail.Done()
						}
						time.Sleep(time.Millisecond) // no more than that
					case ok:
						right.Add(1)
						if rights++; rights == enoughRight {
							willRight.Done()
						}
					default:
						wrong.Add(1)
					}
				}
			})
		}
	}
	willRight.Wait()
	say("right")
	willFail.Wait()
	say("failed")
	all.Wait()
	say("ended %d %d %d", right.Load(), wrong.Load(), failed.Load())
	return nil
}

// loadOnce makes one call; writes write what is there.
func loadOnce(r *mmap.Region, rng *rand.Rand, content []byte) (ok bool, err error) {
	off, n := rng.Int64N(int64(len(content)-20_000)), 1+rng.Int64N(20_000)
	want := content[off : off+n]
	switch rng.IntN(6) {
	case 0, 1:
		p := make([]byte, n)
		_, err = r.ReadAt(p, off)
		return string(p) == string(want), err
	case 2:
		err = r.View(off, n, func(b []byte) error { ok = string(b) == string(want); return nil })
		return ok, err
	case 3:
		_, err = r.WriteAt(want, off)
	case 4:
		err = r.View(off, n, func(b []byte) error { copy(b, want); return nil })
	case 5:
		err = r.FlushRange(off, n)
	}
	return true, err
}
