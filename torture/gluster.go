//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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

// runGluster plays the model test there, and kills the server under load.
func runGluster(ctx context.Context, l *lab) error {
	g, err := newGluster(l)
	if err != nil {
		return err
	}
	d := &disk{kind: "glusterfs", dir: g.dir}
	if err := playOn(ctx, l, d, pick(l, int64(1_000_000), 100_000), pick(l, 5*time.Hour, 15*time.Second)); err != nil {
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

// killUnderLoad kills the server while a child reads and writes, starts it
// again, and opens a file anew.
func (g *gluster) killUnderLoad(ctx context.Context) error {
	child, err := start(ctx, "load", g.dir)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(child.out)
	if !lines.Scan() {
		return child.end()
	}
	time.Sleep(2 * time.Second)
	_ = g.server.Process.Kill()
	_ = g.server.Wait()
	time.Sleep(6 * time.Second)
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
// whatever the errors are.
func childLoad(args []string) error {
	const files, size = 4, 1 << 20
	var over atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		over.Store(true)
	}()
	var right, wrong, failed atomic.Int64
	var all sync.WaitGroup
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
		for g := range 3 {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(g)))
				for !over.Load() {
					switch ok, err := loadOnce(r, rng, content); {
					case err != nil:
						failed.Add(1)
						time.Sleep(time.Millisecond)
					case ok:
						right.Add(1)
					default:
						wrong.Add(1)
					}
				}
			})
		}
	}
	say("running")
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
