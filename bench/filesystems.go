//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The rows that are repeated on other file systems, and those of them in the
// quick form.
const (
	columnRows      = "P1,P3,P5,P10,P13,P15"
	quickColumnRows = "P3,P13"
)

// rowFileSystems repeats some rows on file systems that the machine can mount.
// Its cells make a table of their own, with a column for each.
func rowFileSystems(l *lab, report func(cell)) {
	if os.Geteuid() != 0 {
		panic(skip("mounting file systems takes root"))
	}
	on := func(fs, dir string) {
		for _, c := range l.again(pick(l, columnRows, quickColumnRows), dir, "-entrants", osFile+","+region) {
			c.fs = fs
			if c.why == "" {
				c.claims = []claim{c.atFileSpeed(1)}
			}
			report(c)
		}
	}
	on(l.fsName, l.dir)
	for _, mount := range []func(*lab) (fs, dir string, undo func()){mountTmpfs, mountXFS, mountBtrfs, mountOverlay} {
		func() {
			defer func() {
				if why, ok := recover().(skip); ok {
					report(cell{id: "columns", workload: "a file system", why: "skipped: " + string(why)})
				}
			}()
			fs, dir, undo := mount(l)
			defer undo()
			on(fs, dir)
		}()
	}
}

// mountAt mounts onto a new directory of the lab, and says how to undo it.
func (l *lab) mountAt(name string, args ...string) (dir string, undo func()) {
	dir = l.path("on-" + name)
	must(os.Mkdir(dir, 0o755))
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		panic(skip(fmt.Sprintf("%s: %v: %s", name, err, strings.TrimSpace(string(out)))))
	}
	unmount := func() {
		if exec.Command("umount", dir).Run() != nil {
			exec.Command("umount", "-l", dir).Run()
		}
		os.Remove(dir)
	}
	forget := l.atEnd(unmount)
	return dir, func() { forget(); unmount() }
}

func mountTmpfs(l *lab) (string, string, func()) {
	dir, undo := l.mountAt("tmpfs", "-t", "tmpfs", "-o", "size=2g", "tmpfs")
	return "tmpfs", dir, undo
}

func mountXFS(l *lab) (string, string, func())   { return l.mountImage("xfs", "-q") }
func mountBtrfs(l *lab) (string, string, func()) { return l.mountImage("btrfs", "-q") }

// mountImage makes a file system in a file, on a loop device that goes past the
// cache: what is cold shall not come out of the memory of the file below.
func (l *lab) mountImage(fs string, options ...string) (string, string, func()) {
	if _, err := exec.LookPath("mkfs." + fs); err != nil {
		panic(skip("there is no mkfs." + fs))
	}
	image := l.path(fs + ".img")
	must(os.WriteFile(image, nil, 0o600))
	must(os.Truncate(image, 3*giB))
	tool("mkfs."+fs, append(options, image)...)
	out, err := exec.Command("losetup", "--direct-io=on", "--find", "--show", image).Output()
	if err != nil {
		panic(skip("no loop device: " + err.Error()))
	}
	device := strings.TrimSpace(string(out))
	// Once it is mounted, the device goes with the mount.
	defer exec.Command("losetup", "--detach", device).Run()
	dir, undo := l.mountAt(fs, device)
	return fs, dir, func() { undo(); os.Remove(image) }
}

// mountOverlay lays an empty directory over another: files are made in the
// upper one.
func mountOverlay(l *lab) (string, string, func()) {
	if l.fsName == "overlayfs" {
		panic(skip("overlay: the files are on one already"))
	}
	parts := l.path("overlay")
	for _, name := range []string{"lower", "upper", "work"} {
		must(os.MkdirAll(filepath.Join(parts, name), 0o755))
	}
	dir, undo := l.mountAt("overlay", "-t", "overlay", "-o",
		fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", parts), "overlay")
	return "overlay on " + l.fsName, dir, func() { undo(); os.RemoveAll(parts) }
}

// columns lays out the cells that were repeated: one line for each, and a column
// for each file system.
func columns(cells []cell) (head []string, lines [][]string) {
	type key struct{ id, workload string }
	head = []string{"id", "workload"}
	at := map[string]int{}
	line := map[key]int{}
	for _, c := range cells {
		if c.fs == "" || c.why != "" {
			continue
		}
		if at[c.fs] == 0 {
			at[c.fs] = len(head)
			head = append(head, c.fs)
		}
		k := key{c.id, c.workload}
		if _, ok := line[k]; !ok {
			line[k] = len(lines)
			lines = append(lines, []string{c.id, c.workload})
		}
		n := line[k]
		for len(lines[n]) < at[c.fs] {
			lines[n] = append(lines[n], "")
		}
		j := c.claims[0].judge(c.figures, c.small())
		text := fmt.Sprintf("%s [%s..%s]", short(j.mid), short(j.low), short(j.high))
		if v := j.verdict(); v != "met" {
			v, _, _ = strings.Cut(v, ":")
			text += " " + v
		}
		lines[n] = append(lines[n], text)
	}
	for i := range lines {
		for len(lines[i]) < len(head) {
			lines[i] = append(lines[i], "")
		}
	}
	return head, lines
}

// writeColumns writes that table, if there is one.
func writeColumns(w io.Writer, cells []cell) {
	head, lines := columns(cells)
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## On other file systems\n\nThe speed of a Region by that of an os.File, in the quick form; xfs and btrfs are on loop devices.\n\"Short\", \"even\" and \"once\" (a single round) are below 1; all others are not.\n\n")
	writeMarkdown(w, head, lines)
}
