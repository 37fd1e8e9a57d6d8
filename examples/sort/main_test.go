//go:build unix || windows

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestMain is the program itself where the test starts it as a child.
func TestMain(m *testing.M) {
	if os.Getenv("SORT_CHILD") != "" {
		main()
	}
	os.Exit(m.Run())
}

// newLines returns the name of a file of about size bytes: lines in no order,
// of up to longest numbers, empty ones and equal ones among them.
func newLines(t *testing.T, size, longest int) (name string, lines []string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	for b.Len() < size {
		l := strings.Repeat(fmt.Sprint(rnd.Uint64()>>rnd.IntN(64)), rnd.IntN(longest))
		lines = append(lines, l)
		b.WriteString(l + "\n")
	}
	name = filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name, lines
}

// TestSort: one run and many give what a sort in memory gives, also into the
// file itself; nothing else is left behind.
func TestSort(t *testing.T) {
	name, lines := newLines(t, 1<<20, 9)
	slices.Sort(lines)
	want := strings.Join(lines, "\n") + "\n"
	for _, args := range [][]string{{name, name + ".out"}, {"-m", "65536", name, name + ".out"}, {"-m", "65536", name, name}} {
		var errs bytes.Buffer
		if code := run(t.Context(), args, &errs); code != 0 {
			t.Fatalf("%q: exit %d: %s", args, code, &errs)
		}
		got, err := os.ReadFile(args[len(args)-1])
		if err != nil || string(got) != want {
			t.Errorf("%q: %d bytes, want %d: not sorted, or not the same lines; %v", args, len(got), len(want), err)
		}
	}
	if files, err := os.ReadDir(filepath.Dir(name)); err != nil || len(files) != 2 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// TestMemory: a file many times the limit is sorted without ever being in the
// memory of the process as a whole, mapped pages included.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the peak of memory is not told here")
	}
	const size, limit = 12 << 20, 1 << 20
	name, _ := newLines(t, size, 60)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	peakOf := func(args ...string) (kib, runs int) {
		t.Helper()
		cmd := exec.Command(exe, args...)
		cmd.Env = append(os.Environ(), "SORT_CHILD=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := fmt.Sscanf(string(out), "%d runs, peak of resident memory: %d kB", &runs, &kib); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return kib, runs
	}
	empty := name + ".empty"
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	itself, _ := peakOf("-v", "-m", "65536", empty, empty+".out")
	kib, runs := peakOf("-v", "-m", fmt.Sprint(limit), name, name+".out")
	if runs < 20 || kib > itself+limit/1024+8192 { // 8 MiB for the collector
		t.Errorf("%d runs, %d KiB, of these %d for the program itself", runs, kib, itself)
	}
	t.Logf("%d runs, %d KiB, of these %d for the program itself", runs, kib, itself)
}

// TestEdges: small files, and the exit codes.
func TestEdges(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for i, c := range []struct {
		ctx      context.Context
		in, want string
		code     int
	}{
		{t.Context(), "", "", 0},
		{t.Context(), "\n", "\n", 0},
		{t.Context(), "b\na", "a\nb\n", 0},
		{t.Context(), "b\n\na\n", "\na\nb\n", 0},
		{t.Context(), strings.Repeat("x", 32<<10), strings.Repeat("x", 32<<10) + "\n", 0},
		{t.Context(), strings.Repeat("\n", 20_000), strings.Repeat("\n", 20_000), 0},
		{t.Context(), strings.Repeat("x", 32<<10) + "\n", "", 1}, // no room for the newline
		{stopped, "b\na\n", "", 130},
	} {
		in := filepath.Join(dir, fmt.Sprint("in", i))
		if err := os.WriteFile(in, []byte(c.in), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(out)
		var errs bytes.Buffer
		code := run(c.ctx, []string{"-m", "65536", in, out}, &errs)
		got, err := os.ReadFile(out)
		if code != c.code || string(got) != c.want || (err == nil) != (code == 0) {
			t.Errorf("%d: exit %d (want %d), %d bytes, %v; %s", i, code, c.code, len(got), err, &errs)
		}
	}
	for want, args := range map[int][]string{1: {out + ".none", out}, 2: {"-m", "1", out, out}} {
		var errs bytes.Buffer
		if got := run(t.Context(), args, &errs); got != want || errs.Len() == 0 {
			t.Errorf("%q: exit %d, want %d: %s", args, got, want, &errs)
		}
	}
}
