package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// childEnv makes the test binary be the command itself.
const childEnv = "MMAP_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// command runs the command and returns what it left.
func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(args, &out, &errs)
	return status, out.String(), errs.String()
}

// file makes a file of n bytes.
func file(t *testing.T, n int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n], 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// isEmpty fails the test when dir has anything left in it.
func isEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in %s: %v, %v", dir, left, err)
	}
}

// TestOwnFile measures a file that bench makes, and then removes.
func TestOwnFile(t *testing.T) {
	dir := t.TempDir()
	status, out, errs := command(t, "bench", "-quick", "-size", "1", "-dir", dir)
	if status != statusOK || errs != "" {
		t.Fatalf("status %d: %s", status, errs)
	}
	for _, want := range []string{
		runtime.GOOS, "CPU", "made for this: 1 MiB",
		"same bytes, before: io.Copy of 1 MiB", "same bytes, after writing",
		"ReadAt 64 B", "ReadAt 1 MiB", "Read 64 KiB", "open, ReadAt 4 KiB, close", "WriteAt 8 B", "Flush",
		"not measured: cold reads: the file is too small",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	isEmpty(t, dir)
}

// TestCold measures cold reads, or says why it cannot.
func TestCold(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a file of 16 MiB")
	}
	dir := t.TempDir()
	status, out, errs := command(t, "bench", "-quick", "-size", "16", "-dir", dir)
	if status != statusOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	measured := strings.Contains(out, "64 goroutines")
	said := strings.Contains(out, "not measured: cold reads: ")
	if measured == said {
		t.Errorf("cold reads measured: %v, said to be impossible: %v\n%s", measured, said, out)
	}
	isEmpty(t, dir)
}

// TestUserFile measures files that are not bench's own: long, short and
// shorter than what is read at once.
func TestUserFile(t *testing.T) {
	for _, c := range []struct {
		size int
		want []string
	}{
		{1, []string{": 1 byte", "not measured: ReadAt 64 B: the file is too small", "not measured: WriteAt and Flush: only"}},
		{5000, []string{": 4.88 KiB", "ReadAt 4 KiB", "not measured: ReadAt 1 MiB: the file is too small"}},
		{miB + 1, []string{": the first 1 MiB of 1 MiB", "ReadAt 1 MiB", "not measured: cold reads: not wanted"}},
	} {
		name := file(t, c.size)
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		status, out, errs := command(t, "bench", "-quick", "-cold=false", "-size", "1", name)
		if status != statusOK || errs != "" {
			t.Fatalf("%d bytes: status %d: %s", c.size, status, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%d bytes: the report lacks %q:\n%s", c.size, want, out)
			}
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%d bytes: the file was changed (%v)", c.size, err)
		}
	}
}

// TestAligned checks that the columns of the table stand below each other.
func TestAligned(t *testing.T) {
	r := newReport(&subject{name: "file", size: 1, used: 1})
	r.section("hot")
	r.add("short", perCall, 1, 12.3, 45678)
	r.add("a name that is rather long", perSecond, miB, 1e5, 99)
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	ends := map[int]bool{}
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.HasSuffix(line, "×") || strings.HasSuffix(line, "speed") {
			ends[len([]rune(line))] = true
		}
	}
	if len(ends) != 1 {
		t.Errorf("lines end at %v:\n%s", ends, out.String())
	}
}

// TestFailures checks that what cannot be done is one line and status 1.
func TestFailures(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"missing", []string{filepath.Join(dir, "missing")}, `missing: `},
		{"directory", []string{dir}, `is a directory`},
		{"empty", []string{file(t, 0)}, `is empty: .* cannot be measured`},
		{"device", []string{os.DevNull}, `regular file|cannot find|is empty`},
		{"no folder", []string{"-dir", filepath.Join(dir, "missing")}, `missing`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, out, errs := command(t, append([]string{"bench", "-quick", "-size", "1"}, c.args...)...)
			if status != statusFailed || out != "" {
				t.Errorf("status %d, output %q", status, out)
			}
			if !regexp.MustCompile(`^mmap: [^\n]*(` + c.want + `)[^\n]*\n$`).MatchString(errs) {
				t.Errorf("says %q", errs)
			}
		})
	}
	isEmpty(t, dir)
}

// TestNoSpace lets the disk be full: a device that always is, and where this
// process may, a file system that really is.
func TestNoSpace(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if err := fill(context.Background(), full, 2*miB); !errors.Is(err, sys.NoSpace) {
		t.Errorf("fill says %v", err)
	}
	dir := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).Run(); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	defer exec.Command("umount", dir).Run()
	status, _, errs := command(t, "bench", "-quick", "-size", "2", "-dir", dir)
	if status != statusFailed || !regexp.MustCompile(`^mmap: write [^\n]*no space left on device\n$`).MatchString(errs) {
		t.Errorf("status %d: %q", status, errs)
	}
	isEmpty(t, dir)
}

// TestUsage checks that wrong arguments are status 2 and show the usage, and
// that help is status 0.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		stdout string
		stderr string
	}{
		{"", statusUsage, ``, `(?m)^usage: mmap`},
		{"help", statusOK, `(?m)^usage: mmap`, ``},
		{"-h", statusOK, `(?m)^usage: mmap`, ``},
		{"help bench", statusOK, `^usage: mmap bench(.|\n)*-quick`, ``},
		{"bench -h", statusOK, `^usage: mmap bench`, ``},
		{"help nonsense", statusUsage, ``, `nonsense(.|\n)*usage: mmap`},
		{"nonsense", statusUsage, ``, `^mmap: unknown command "nonsense"\nusage: mmap`},
		{"bench -nonsense", statusUsage, ``, `nonsense(.|\n)*usage: mmap bench`},
		{"bench -size x", statusUsage, ``, `-size(.|\n)*usage: mmap bench`},
		{"bench -size -1", statusUsage, ``, `-size must be from 1(.|\n)*usage: mmap bench`},
		{"bench a b", statusUsage, ``, `one FILE at most(.|\n)*usage: mmap bench`},
		{"bench -dir a b", statusUsage, ``, `-dir is for(.|\n)*usage: mmap bench`},
	} {
		status, out, errs := command(t, strings.Fields(c.args)...)
		if status != c.status || !shows(c.stdout, out) || !shows(c.stderr, errs) {
			t.Errorf("mmap %s: status %d\nstdout %q\nstderr %q", c.args, status, out, errs)
		}
	}
}

// shows reports whether text matches pattern; the empty pattern matches
// nothing but the empty text.
func shows(pattern, text string) bool {
	return pattern == "" && text == "" || pattern != "" && regexp.MustCompile(pattern).MatchString(text)
}

// TestInterrupt interrupts the command at work: it stops soon, and the file it
// made is gone.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" || runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("no signals from one process to another")
	}
	for _, wait := range []time.Duration{0, 300 * time.Millisecond} {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "bench", "-size", "32", "-dir", dir)
		cmd.Env = append(os.Environ(), childEnv+"=1")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for made := false; !made; time.Sleep(time.Millisecond) {
			left, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			made = len(left) > 0
		}
		time.Sleep(wait)
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != statusInterrupted || errs.String() != "mmap: interrupted\n" {
			t.Errorf("after %v: status %d: %q", wait, got, errs.String())
		}
		isEmpty(t, dir)
	}
}

// TestProgress checks that nothing is shown where no terminal is.
func TestProgress(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	progress(f)("working")
	progress(io.Discard)("working")
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("%d bytes of progress in a file, %v", info.Size(), err)
	}
}

// TestDifference checks that other bytes do not pass as the same.
func TestDifference(t *testing.T) {
	b := &bench{subject: &subject{name: "file"}}
	if err := b.same("View", []byte{1}, []byte{2}, nil); err == nil || !strings.Contains(err.Error(), "View gives other bytes") {
		t.Errorf("different hashes: %v", err)
	}
	if err := b.same("View", []byte{1}, []byte{1}, nil); err != nil {
		t.Errorf("equal hashes: %v", err)
	}
	if err := b.same("View", nil, nil, io.EOF); err != io.EOF {
		t.Errorf("a failed reading: %v", err)
	}
}
