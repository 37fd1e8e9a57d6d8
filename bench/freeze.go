//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ownFS is an ext4 of our own in a file, mounted over a loop device, which can
// be frozen and throttled without holding up anybody else.
type ownFS struct {
	dir  string
	undo func() // of throttle
	done bool
}

// mountOwn makes and mounts it. That takes root.
func mountOwn(l *lab) *ownFS {
	if os.Geteuid() != 0 {
		panic(skip("freezing and throttling a file system takes root"))
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount", "fsfreeze"} {
		if _, err := exec.LookPath(tool); err != nil {
			panic(skip("there is no " + tool))
		}
	}
	image, dir := l.path("own.img"), l.path("own")
	must(os.WriteFile(image, nil, 0o600))
	must(os.Truncate(image, 256*miB))
	must(os.Mkdir(dir, 0o755))
	tool("mkfs.ext4", "-q", "-F", image)
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		panic(skip(fmt.Sprintf("no loop mount: %s", out)))
	}
	f := &ownFS{dir: dir, undo: func() {}}
	l.atEnd(f.unmount)
	return f
}

// tool runs a command of the system.
func tool(name string, args ...string) {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		panic(failure{fmt.Errorf("%s: %w: %s", name, err, out)})
	}
}

// path is a place for a file.
func (f *ownFS) path(name string) string { return filepath.Join(f.dir, name) }

// freeze stops all writing to the file system for that long. The thaw comes
// from another process, in any case: this one may be standing still by then.
// The function returned waits until it is done.
func (f *ownFS) freeze(long time.Duration) (thawed func()) {
	cmd := exec.Command("sh", "-c", fmt.Sprintf("fsfreeze -f '%[1]s' && echo + && sleep %[2]g; fsfreeze -u '%[1]s'", f.dir, long.Seconds()))
	out := must1(cmd.StdoutPipe())
	must(cmd.Start())
	if n, _ := out.Read(make([]byte, 1)); n == 0 {
		cmd.Wait()
		panic(skip("the file system could not be frozen"))
	}
	return func() { cmd.Wait() }
}

// throttle lets the file system have that many dirty bytes before writers wait.
// The limit is the loop device's, which somebody else may get afterwards:
// unmount sets it back.
func (f *ownFS) throttle(bytes int) {
	var st unix.Stat_t
	must(unix.Stat(f.dir, &st))
	bdi := fmt.Sprintf("/sys/class/bdi/%d:%d/", unix.Major(st.Dev), unix.Minor(st.Dev))
	strict, err := os.ReadFile(bdi + "strict_limit")
	ratio, err2 := os.ReadFile(bdi + "max_ratio") // the limit, as a part of all memory
	if err == nil && err2 == nil {
		f.undo = func() {
			os.WriteFile(bdi+"max_ratio", ratio, 0)
			os.WriteFile(bdi+"strict_limit", strict, 0)
		}
		err = os.WriteFile(bdi+"strict_limit", []byte("1"), 0)
	}
	if err == nil {
		err = os.WriteFile(bdi+"max_bytes", fmt.Append(nil, bytes), 0)
	}
	if err = errors.Join(err, err2); err != nil {
		panic(skip("the device cannot be throttled: " + err.Error()))
	}
}

// unmount thaws and unmounts, once; the loop device goes with the mount.
func (f *ownFS) unmount() {
	if f.done {
		return
	}
	f.done = true
	f.undo()
	exec.Command("fsfreeze", "-u", f.dir).Run()
	if exec.Command("umount", f.dir).Run() != nil {
		exec.Command("umount", "-l", f.dir).Run()
	}
}
