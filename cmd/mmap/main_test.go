package main

import (
	"bytes"
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
)

// childEnv makes the test binary be the command itself.
const childEnv = "MMAP_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		asChild()
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	if hold := os.Getenv(holdEnv); hold != "" {
		holdFile(hold)
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

// works runs the command, which has to do its work without a complaint, and
// returns what it prints.
func works(t *testing.T, args ...string) string {
	t.Helper()
	status, out, errs := command(t, args...)
	if status != statusOK || errs != "" {
		t.Fatalf("mmap %q: status %d: %s", args, status, errs)
	}
	return out
}

// newFile makes a file of n bytes.
func newFile(t *testing.T, n int) string {
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

// matches reports whether text matches pattern; the empty pattern matches
// nothing but the empty text.
func matches(pattern, text string) bool {
	return pattern == "" && text == "" || pattern != "" && regexp.MustCompile(pattern).MatchString(text)
}

// terminalOf returns a console that writes to w as to a terminal of that size,
// and keeps what is said of errors.
func terminalOf(w io.Writer, width, height int) (*console, *bytes.Buffer) {
	var errs bytes.Buffer
	return &console{out: w, err: &errs, outSize: func() (int, int) { return width, height }}, &errs
}

// TestUsage checks that wrong arguments are status 2 and two lines, and that
// help is status 0.
func TestUsage(t *testing.T) {
	const two = `^mmap: .*\nusage: mmap .*\n$`
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
		{"help nonsense", statusUsage, ``, two},
		{"nonsense", statusUsage, ``, `^mmap: unknown command "nonsense"\nusage: mmap .*\n$`},
		{"version", statusOK, `^mmap .*go1.*\n$`, ``},
		{"-version", statusOK, `^mmap .*go1.*\n$`, ``},
		{"version x", statusUsage, ``, two},
		{"bench -nonsense", statusUsage, ``, `^mmap: .*-nonsense\nusage: mmap bench.*\n$`},
		{"bench -size x", statusUsage, ``, `-size(.|\n)*usage: mmap bench`},
		{"bench -size 0", statusUsage, ``, `"0" for flag -size: it must be from 1(.|\n)*usage: mmap bench`},
		{"bench -size -1", statusUsage, ``, `-size: it must be from 1(.|\n)*usage: mmap bench`},
		{"bench a b", statusUsage, ``, `one FILE at most(.|\n)*usage: mmap bench`},
		{"bench -dir a b", statusUsage, ``, `-dir is for(.|\n)*usage: mmap bench`},
		{"stat", statusUsage, ``, `give the name of a FILE(.|\n)*usage: mmap stat`},
		{"stat -top -1 x", statusUsage, ``, two},
		{"stat -watch 1us x", statusUsage, ``, two},
		{"stat -list -json x", statusUsage, ``, two},
		{"stat x -nonsense", statusUsage, ``, two},
		{"warm", statusUsage, ``, two},
		{"warm -from x y", statusUsage, ``, two},
		{"warm -rate 0 x", statusUsage, ``, two},
		{"warm -rate fast x", statusUsage, ``, two},
		{"warm -range 5 x", statusUsage, ``, two},
		{"warm -range 9-5 x", statusUsage, ``, two},
		{"evict", statusUsage, ``, two},
		{"evict -range x-y z", statusUsage, ``, two},
		{"lock", statusUsage, ``, two},
		{"who", statusUsage, ``, two},
		{"doctor a b", statusUsage, ``, two},
	} {
		status, out, errs := command(t, strings.Fields(c.args)...)
		if status != c.status || !matches(c.stdout, out) || !matches(c.stderr, errs) {
			t.Errorf("mmap %s: status %d\nstdout %q\nstderr %q", c.args, status, out, errs)
		}
	}
}

// TestHelpFits checks that help fits a terminal of 80 columns and names every
// flag.
func TestHelpFits(t *testing.T) {
	texts := map[string]string{"": works(t, "help")}
	for _, v := range verbs {
		texts[v.name] = works(t, "help", v.name)
		if !strings.Contains(texts[""], "  "+v.name+" ") {
			t.Errorf("help does not name %s", v.name)
		}
	}
	for name, text := range texts {
		for line := range strings.Lines(text) {
			if n := columns(strings.TrimSuffix(line, "\n")); n > helpWidth {
				t.Errorf("help %s: %d columns: %s", name, n, line)
			}
		}
	}
}

// TestFlagsAnywhere checks that flags may stand behind the files, up to "--".
func TestFlagsAnywhere(t *testing.T) {
	name := newFile(t, 10)
	if out := works(t, "stat", name, "-json"); !strings.HasPrefix(out, "{") {
		t.Errorf("stat FILE -json prints %s", out)
	}
	if status, _, errs := command(t, "stat", "--", name, "-json"); status != statusFailed || !strings.Contains(errs, "-json") {
		t.Errorf("stat -- FILE -json: status %d, %s", status, errs)
	}
}

// TestVerbsFail gives each verb that takes files what is none: one line says
// why, and the status is 1.
func TestVerbsFail(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	for _, verb := range []string{"stat", "warm", "evict", "lock", "who", "bench", "doctor"} {
		status, _, errs := command(t, verb, missing)
		if status != statusFailed || !matches(`^mmap: [^\n]+\n$`, errs) {
			t.Errorf("%s of a missing file: status %d: %q", verb, status, errs)
		}
	}
	for _, verb := range []string{"stat", "warm", "evict", "lock", "who", "bench"} {
		status, _, errs := command(t, verb, os.DevNull)
		if status != statusFailed || !matches(`^mmap: [^\n]+\n$`, errs) {
			t.Errorf("%s of a device: status %d: %q", verb, status, errs)
		}
	}
	isEmpty(t, dir)
}

// TestProgress checks that nothing is shown where no terminal is.
func TestProgress(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := newConsole(io.Discard, f)
	c.progress("working")
	c.clear()
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("%d bytes of progress in a file, %v", info.Size(), err)
	}
}

// TestTerminalProgress checks that progress fits the terminal and goes away.
func TestTerminalProgress(t *testing.T) {
	var out bytes.Buffer
	c := &console{err: &out, errSize: func() (int, int) { return 20, 5 }}
	c.progress("%s", strings.Repeat("long ", 20))
	shown := strings.TrimPrefix(out.String(), "\r\x1b[K")
	if n := columns(shown); n > 19 || n < 10 {
		t.Errorf("%d columns of progress: %q", n, shown)
	}
	c.progress("too soon")
	out.Reset()
	c.fail(errors.New("bad\x1b[2J"))
	if got := out.String(); got != "\r\x1b[Kmmap: bad\\x1b[2J\n" {
		t.Errorf("an error after progress: %q", got)
	}
}

// TestInterrupt interrupts the command at work: it stops soon, and the file it
// made is gone.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" || runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("no signals from one process to another")
	}
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
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != statusInterrupted || errs.String() != "mmap: interrupted\n" {
		t.Errorf("status %d: %q", got, errs.String())
	}
	isEmpty(t, dir)
}
