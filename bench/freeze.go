//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// freezable is an ext4 of our own in a file, mounted over a loop device, which
// can be frozen without holding up anybody else.
type freezable struct {
	dir  string
	done bool
}

// mountFreezable makes and mounts it. That takes root.
func mountFreezable(l *lab) *freezable {
	if os.Geteuid() != 0 {
		panic(skip("freezing a file system takes root"))
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount", "fsfreeze"} {
		if _, err := exec.LookPath(tool); err != nil {
			panic(skip("there is no " + tool))
		}
	}
	image, dir := l.path("freezable.img"), l.path("freezable")
	must(os.WriteFile(image, nil, 0o600))
	must(os.Truncate(image, 128*miB))
	must(os.Mkdir(dir, 0o755))
	tool("mkfs.ext4", "-q", "-F", image)
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		panic(skip(fmt.Sprintf("no loop mount: %s", out)))
	}
	f := &freezable{dir: dir}
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
func (f *freezable) path(name string) string { return filepath.Join(f.dir, name) }

// freeze stops all writing to the file system for that long. The thaw comes
// from another process, in any case: this one may be standing still by then.
// The function returned waits until it is done.
func (f *freezable) freeze(long time.Duration) (thawed func()) {
	cmd := exec.Command("sh", "-c", fmt.Sprintf("fsfreeze -f '%[1]s' && echo + && sleep %[2]g; fsfreeze -u '%[1]s'", f.dir, long.Seconds()))
	out := must1(cmd.StdoutPipe())
	must(cmd.Start())
	if n, _ := out.Read(make([]byte, 1)); n == 0 {
		cmd.Wait()
		panic(skip("the file system could not be frozen"))
	}
	return func() { cmd.Wait() }
}

// unmount thaws and unmounts, once; the loop device goes with the mount.
func (f *freezable) unmount() {
	if f.done {
		return
	}
	f.done = true
	exec.Command("fsfreeze", "-u", f.dir).Run()
	if exec.Command("umount", f.dir).Run() != nil {
		exec.Command("umount", "-l", f.dir).Run()
	}
}
