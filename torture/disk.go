//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap/torture/fusefs"
)

// disk is a file system of our own: an image in a file under a loop device, or
// something on top of one.
type disk struct {
	kind  string // as in newDisk
	dir   string // where it is mounted
	image string
	loop  *os.File // keeps the device while nothing is mounted
	where string   // the device's name
	up    bool     // it is mounted
}

// packages are where the programs come from that make file systems.
var packages = map[string]string{"mkfs.ext3": "e2fsprogs", "mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs", "mkfs.btrfs": "btrfs-progs"}

// have makes sure of a program, and installs it where apt-get can.
func have(program string) error {
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	if os.Geteuid() == 0 && packages[program] != "" {
		install := exec.Command("apt-get", "install", "-y", "-q", "--no-install-recommends", packages[program])
		install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		_ = install.Run()
	}
	_, err := exec.LookPath(program)
	return err
}

// missing is an error that says why something cannot be checked here.
type missing struct{ error }

// asMissing makes of the error of a FUSE file system that cannot be mounted here
// one that says so.
func asMissing(err error) error {
	if errors.Is(err, fusefs.ErrUnavailable) {
		return missing{err}
	}
	return err
}

// least is how small a file system may be that its mkfs makes.
var least = map[string]int64{"ext3": 8 << 20, "ext4": 8 << 20, "xfs": 300 << 20, "btrfs": 128 << 20, "tmpfs": 0}

// overlayOn and fuseOn begin the kinds of what is on top of a directory.
const (
	overlayOn = "overlay on "
	fuseOn    = "FUSE, "
)

// newDisk makes and mounts a file system with room for at least size bytes. Its
// kind is ext3, ext4, xfs, btrfs or tmpfs; "overlay on " and one of these; or
// "FUSE, " and a mode of package fusefs.
func newDisk(l *lab, kind string, size int64) (*disk, error) {
	if err := root(); err != nil {
		return nil, missing{err}
	}
	if under, ok := strings.CutPrefix(kind, overlayOn); ok {
		return newOverlay(l, kind, under, size)
	}
	if mode, ok := strings.CutPrefix(kind, fuseOn); ok {
		return newLoopback(l, kind, fusefs.Mode(mode))
	}
	dir, err := os.MkdirTemp(l.dir, l.part.name+"-"+kind+"-")
	if err != nil {
		return nil, err
	}
	d := &disk{kind: kind, dir: dir}
	l.defers(d.close)
	if kind == "tmpfs" {
		if err := unix.Mount("torture", d.dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
			return nil, missing{fmt.Errorf("mount: %w", err)}
		}
		d.up = true
		return d, nil
	}
	d.image = d.dir + ".img"
	if err := d.make(max(size, least[kind])); err != nil {
		return nil, err
	}
	if err := d.attach(d.image); err != nil {
		return nil, missing{fmt.Errorf("loop device: %w", err)}
	}
	if err := d.mount(); err != nil {
		return nil, missing{err}
	}
	return d, nil
}

// newOverlay mounts an overlay whose upper directory is on a disk of its own.
func newOverlay(l *lab, kind, under string, size int64) (*disk, error) {
	below, err := newDisk(l, under, size)
	if err != nil {
		return nil, err
	}
	d := &disk{kind: kind, dir: filepath.Join(below.dir, "merged")}
	options := ""
	for _, name := range []string{"lower", "upper", "work"} {
		options += fmt.Sprintf(",%sdir=%s", name, filepath.Join(below.dir, name))
		err = errors.Join(err, os.Mkdir(filepath.Join(below.dir, name), 0o755))
	}
	if err = errors.Join(err, os.Mkdir(d.dir, 0o755)); err != nil {
		return nil, err
	}
	if err := unix.Mount("torture", d.dir, "overlay", 0, options[1:]); err != nil {
		return nil, missing{fmt.Errorf("mount: %w", err)}
	}
	d.up = true
	l.defers(d.close)
	return d, nil
}

// newLoopback mounts a FUSE file system that shows a directory.
func newLoopback(l *lab, kind string, mode fusefs.Mode) (*disk, error) {
	d := &disk{kind: kind, dir: l.path(string(mode))}
	under := l.path(string(mode) + "-under")
	if err := errors.Join(os.Mkdir(d.dir, 0o755), os.Mkdir(under, 0o755)); err != nil {
		return nil, err
	}
	l.defers(func() { os.RemoveAll(under); os.Remove(d.dir) })
	served, err := fusefs.MountLoopback(d.dir, under, mode)
	if err != nil {
		return nil, asMissing(err)
	}
	l.defers(served.Close)
	return d, d.checkMappable(mode != fusefs.Direct && mode != fusefs.Short)
}

// checkMappable makes sure that files can be mapped if they should, and only then.
func (d *disk) checkMappable(should bool) error {
	f, err := os.Create(filepath.Join(d.dir, "probe"))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
	if err == nil {
		err = unix.Munmap(b)
		if !should {
			return errors.New("a file can be mapped that should not")
		}
	} else if !should && errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// useMemory puts what the lab makes from now on into memory, if there is room
// for so many bytes.
func (l *lab) useMemory(size int64) {
	if memory, err := available(); err != nil || memory < 2*size {
		return
	}
	old, dir := l.dir, l.path("memory")
	if os.Mkdir(dir, 0o755) != nil {
		return
	}
	if unix.Mount("torture", dir, "tmpfs", 0, "") != nil {
		os.Remove(dir)
		return
	}
	l.dir = dir
	l.defers(func() {
		l.dir = old
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		os.Remove(dir)
	})
}

// available returns how much memory there is for whoever needs some.
func available() (bytes int64, err error) {
	err = eachLine("/proc/meminfo", func(line string) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemAvailable:" {
			bytes, _ = strconv.ParseInt(f[1], 10, 64)
			bytes <<= 10
		}
	})
	return bytes, err
}

// make makes the image.
func (d *disk) make(size int64) error {
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(d.image, size); err != nil {
		return err
	}
	return d.format()
}

// format makes the file system.
func (d *disk) format() error {
	program := "mkfs." + d.kind
	if err := have(program); err != nil {
		return missing{err}
	}
	args := map[string][]string{
		"ext3":  {"-q", "-F", "-m", "0"},
		"ext4":  {"-q", "-F", "-m", "0"},
		"xfs":   {"-q", "-f"},
		"btrfs": {"-q", "-f"},
	}[d.kind]
	if out, err := exec.Command(program, append(args, d.image)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

// attach puts the image under a loop device, which detaches when nobody has it
// open or mounted any more.
func (d *disk) attach(image string) error {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer backing.Close()
	for range 20 { // somebody else may take the free one
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return err
		}
		d.where = fmt.Sprintf("/dev/loop%d", n)
		if d.loop, err = os.OpenFile(d.where, os.O_RDWR, 0); err != nil {
			return err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: 512}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		if err = unix.IoctlLoopConfigure(int(d.loop.Fd()), &config); err == nil {
			return nil
		}
		d.loop.Close()
		d.loop = nil
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return errors.New("all are busy")
}

// mount mounts the device.
func (d *disk) mount() error {
	options := ""
	if d.kind == "xfs" {
		options = "nouuid"
	}
	if err := unix.Mount(d.where, d.dir, d.kind, 0, options); err != nil {
		return fmt.Errorf("mount %s: %w", d.kind, err)
	}
	d.up = true
	return nil
}

// repair repairs an ext4 that cannot be mounted: its superblock may be on the
// disk with the checksum of another, if the power went between the two.
func (d *disk) repair() error {
	if d.kind != "ext4" {
		return fmt.Errorf("%s repairs itself when it is mounted", d.kind)
	}
	const corrected = 1
	out, err := exec.Command("e2fsck", "-f", "-y", d.where).CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == corrected {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("e2fsck: %w: %s", err, out)
	}
	return nil
}

// unmount unmounts it. A file that is still being let go of holds it for a
// moment.
func (d *disk) unmount() error {
	var err error
	for range 500 {
		if err = unix.Unmount(d.dir, 0); err == nil {
			d.up = false
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("umount %s: %w", d.kind, err)
}

// spoil unmounts an ext4 and gives its superblock another checksum, as a cut may
// between two writes.
func (d *disk) spoil() error {
	const checksum = 1024 + 1020 // the superblock, and the last of its fields
	if err := d.unmount(); err != nil {
		return err
	}
	f, err := os.OpenFile(d.where, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, checksum); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b, checksum)
	return errors.Join(err, f.Sync())
}

// powerOff is the ioctl by which a file system shuts down where it stands. Both
// ext4 and xfs have it.
const (
	powerOff   = 0x8004587d // _IOR('X', 125, uint32)
	noLogFlush = 2          // what is in memory of the journal is lost too
)

// cutPower makes the file system lose all that it has not written.
func (d *disk) cutPower() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), powerOff, noLogFlush)
}

// close unmounts and detaches, whatever state the disk is in.
func (d *disk) close() {
	if d.up {
		if f, err := os.Open(d.dir); err == nil {
			_ = unix.IoctlSetInt(int(f.Fd()), fiThaw, 0) // it may be frozen
			f.Close()
		}
		if d.unmount() != nil {
			_ = unix.Unmount(d.dir, unix.MNT_DETACH)
		}
	}
	if d.loop != nil {
		d.loop.Close()
	}
	if d.image != "" {
		os.Remove(d.image)
	}
	os.Remove(d.dir)
}

// What stops and starts all writing to a file system.
const (
	fiFreeze = 0xc0045877 // _IOWR('X', 119, int)
	fiThaw   = 0xc0045878 // _IOWR('X', 120, int)
)

// kernel returns the kernel's name and release.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	text := func(b []byte) string { return strings.TrimRight(string(b), "\x00") }
	return text(u.Sysname[:]) + " " + text(u.Release[:]) + " " + text(u.Machine[:])
}
