//go:build linux

// Init is the first and only program of a machine that .ci/page64k starts. It
// loads the drivers, mounts the file systems, runs the tests and turns the
// machine off. Its last line, "init: done" with an exit status, says whether
// all tests passed.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	log.SetPrefix("init: ")
	fmt.Println() // after what the kernel was saying
	status := 1
	if err := prepare(); err != nil {
		log.Print(err)
	} else {
		status = run()
	}
	log.Printf("done %d", status)
	unix.Sync()
	log.Fatal(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

// prepare makes a machine of it: drivers, file systems, a loopback network.
func prepare() error {
	for _, m := range []struct{ source, dir, kind string }{
		{"proc", "/proc", "proc"},
		{"sys", "/sys", "sysfs"},
		{"dev", "/dev", "devtmpfs"},
		{"tmp", "/tmp", "tmpfs"},
		{"shm", "/dev/shm", "tmpfs"},
	} {
		if err := mount(m.source, m.dir, m.kind); err != nil {
			return err
		}
	}
	modules, err := os.ReadFile("/modules/order")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(modules)) {
		if err := load("/modules/" + name); err != nil {
			log.Printf("%s: %v", name, err) // what lacks it says so
		}
	}
	// The disk is found beside us.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second / 10) {
		if err := mount("/dev/vda", "/disk", "ext4"); err == nil {
			break
		} else if time.Now().After(deadline) {
			return err
		}
	}
	return loopback()
}

// mount mounts a file system on a directory that it makes.
func mount(source, dir, kind string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, dir, kind, 0, ""); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", kind, dir, err)
	}
	return nil
}

// load loads a driver.
func load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// loopback starts the network of this machine with itself.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// run starts the programs of which /disk/arguments has a line each: directory,
// program, arguments. It returns 1 if one of them fails.
func run() (status int) {
	list, err := os.ReadFile("/disk/arguments")
	if err != nil {
		log.Print(err)
		return 1
	}
	for line := range strings.Lines(string(list)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		log.Printf("pages of %d bytes, kernel %s: %s in %s", os.Getpagesize(), release(), f[1], f[0])
		cmd := exec.Command(f[1], f[2:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = f[0], os.Stdout, os.Stderr
		cmd.Env = []string{"PATH=/", "HOME=/tmp", "TMPDIR=/disk/tmp"}
		start := time.Now()
		if err := cmd.Run(); err != nil {
			log.Print(err)
			status = 1
		}
		log.Printf("%s took %.0f s", f[1], time.Since(start).Seconds())
	}
	return status
}

// release returns the kernel's version.
func release() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}
