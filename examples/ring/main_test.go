//go:build unix || windows

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain is the program itself where the test starts it as a child.
func TestMain(m *testing.M) {
	if os.Getenv("RING_CHILD") != "" {
		main()
	}
	os.Exit(m.Run())
}

// child returns a process of the program.
func child(t *testing.T, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), "RING_CHILD=1")
	cmd.Stderr = os.Stderr
	return cmd
}

// newRing makes a ring and returns its name.
func newRing(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ring")
	if err := makeRing(name); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestTwoProcesses: one process sends, another receives, and every line arrives
// once, in order, however long it is.
func TestTwoProcesses(t *testing.T) {
	name := newRing(t)
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "%d %s\n", i, strings.Repeat("x", i%600))
	}
	lines.WriteString("\n" + strings.Repeat("y", 496) + "\n")
	sender := child(t, "send", name)
	sender.Stdin = strings.NewReader(lines.String())
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	got, err := child(t, "receive", name).Output()
	if err != nil {
		t.Error("the receiver: ", err)
	}
	if err := sender.Wait(); err != nil {
		t.Error("the sender: ", err)
	}
	if string(got) != lines.String() {
		t.Errorf("%d bytes arrived of %d", len(got), lines.Len())
	}
}

// TestFull: a sender waits for room, and a receiver for a message, until they
// are interrupted; nothing is lost by that.
func TestFull(t *testing.T) {
	name := newRing(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"send", name}, strings.NewReader(strings.Repeat("line\n", slots+1)), nil, nil)
	}()
	err := withRing(name, func(r ring) error {
		return wait(t.Context(), func() bool { return r.head.put.Load() == slots })
	})
	stop()
	if code := <-done; err != nil || code != 130 {
		t.Errorf("exit %d, %v", code, err)
	}
	ctx, stop = context.WithCancel(t.Context())
	var out bytes.Buffer
	go func() { done <- run(ctx, []string{"receive", name}, nil, &out, nil) }()
	err = withRing(name, func(r ring) error {
		return wait(t.Context(), func() bool { return r.head.taken.Load() == slots })
	})
	stop()
	if code := <-done; err != nil || code != 130 || out.String() != strings.Repeat("line\n", slots) {
		t.Errorf("exit %d, %v, %q", code, err, &out)
	}
}

// TestExitCodes: what is no ring is refused, and a ring is not made over a file.
func TestExitCodes(t *testing.T) {
	name := newRing(t)
	other := name + ".other"
	if err := os.WriteFile(other, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"make", name}, 1},
		{[]string{"receive", other}, 1},
		{[]string{"send", name + ".none"}, 1},
		{[]string{"send"}, 2},
		{[]string{"sned", name}, 2},
	} {
		var out, errs bytes.Buffer
		if got := run(t.Context(), c.args, strings.NewReader(""), &out, &errs); got != c.want || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("%q: exit %d, want %d; %q, %q", c.args, got, c.want, &out, &errs)
		}
	}
}
