package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// write gives the log at name these bytes in place: at its end, or, cut, alone.
func write(t *testing.T, name, s string, flag int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

// TestFollow: nothing is lost or printed twice when the log grows, is truncated
// in place, to less or (unseen by its size) to more, and is renamed.
func TestFollow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	write(t, name, "one\ntwo\nthree\n", os.O_CREATE)
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var notes bytes.Buffer
	done := make(chan int)
	go func() {
		code := run(ctx, []string{"-f", "-n", "2", "-interval", "1ms", name}, in, &notes)
		in.Close()
		done <- code
	}()
	lines := bufio.NewScanner(out)
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if !lines.Scan() || lines.Text() != w {
				t.Fatalf("printed %q, want %q; %s", lines.Text(), w, &notes)
			}
		}
	}
	expect("two", "three")
	write(t, name, "four\n", os.O_APPEND)
	expect("four")
	// copytruncate. The length after it is above the old one: the size alone
	// does not show it. (The cut and the write are seen as one or as two.)
	long := strings.Repeat("x", 100)
	write(t, name, long+"\nnew\n", os.O_TRUNC)
	expect(long, "new")
	write(t, name, "short\n", os.O_TRUNC)
	expect("short")
	want := "truncated"
	if runtime.GOOS != "windows" { // there a file that is open keeps its name
		write(t, name, "the last\n", os.O_APPEND)
		if err := os.Rename(name, name+".1"); err != nil {
			t.Fatal(err)
		}
		write(t, name, "another file\n", os.O_CREATE)
		expect("the last", "another file")
		want = "replaced"
	}
	stop()
	if code := <-done; code != 130 || !strings.Contains(notes.String(), want) {
		t.Errorf("exit %d; standard error: %q", code, &notes)
	}
}

// TestUnseenCut: a log that was cut and is longer again before anybody looked is
// printed from its beginning.
func TestUnseenCut(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	write(t, name, "old\n", os.O_CREATE)
	var out, notes bytes.Buffer
	l, err := openLog(name, &out, &notes)
	if err != nil {
		t.Fatal(err)
	}
	defer l.r.Close()
	if err := l.last(1); err != nil {
		t.Fatal(err)
	}
	write(t, name, "longer than before\n", os.O_TRUNC)
	if err := l.look(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "old\nlonger than before\n" || notes.Len() == 0 {
		t.Errorf("printed %q and %q", &out, &notes)
	}
}

// TestLast: the last lines, without following, and the exit codes.
func TestLast(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "log")
	write(t, name, strings.Repeat("0123456789abcdef\n", 20_000)+"a\n\nend", os.O_CREATE)
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"-n", "0", name}, "", 0},
		{[]string{"-n", "1", name}, "end", 0},
		{[]string{"-n", "3", name}, "a\n\nend", 0},
		{[]string{"-n", "10003", name}, strings.Repeat("0123456789abcdef\n", 10_000) + "a\n\nend", 0},
		{[]string{"-n", "99999", name}, strings.Repeat("0123456789abcdef\n", 20_000) + "a\n\nend", 0},
		{[]string{name + ".none"}, "", 1},
		{[]string{dir}, "", 1},
		{[]string{"-n", "-1", name}, "", 2},
		{nil, "", 2},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), c.args, &out, &errs)
		if code != c.code || out.String() != c.want || (code == 0) != (errs.Len() == 0) {
			t.Errorf("%q: exit %d, %d bytes (want %d); standard error: %q", c.args, code, out.Len(), len(c.want), &errs)
		}
	}
}
