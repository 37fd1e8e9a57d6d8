package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestMain is the program itself where the test starts it as a child.
func TestMain(m *testing.M) {
	if os.Getenv("STORE_CHILD") != "" {
		main()
	}
	os.Exit(m.Run())
}

// child returns a process of the program.
func child(t *testing.T, args ...string) *exec.Cmd {
	if runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("no processes here")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "STORE_CHILD=1")
	cmd.Stderr = os.Stderr
	return cmd
}

// TestKill: what a process has acknowledged is there after it was killed, and
// every record has a text that was sent to it.
func TestKill(t *testing.T) {
	const records = 7
	name := filepath.Join(t.TempDir(), "store")
	acked := map[int64]int{} // the last round that was acknowledged
	round := 0
	for life := range 3 {
		cmd := child(t, name, "load")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		first := round
		sent := make(chan int)
		go func() { // until the child is dead
			n := first
			for {
				if _, err := fmt.Fprintf(in, "%d round %d\n", n%records, n); err != nil {
					sent <- n
					return
				}
				n++
			}
		}()
		acks := bufio.NewScanner(out)
		for n := range 15 + life {
			if !acks.Scan() || acks.Text() != fmt.Sprint((first+n)%records) {
				t.Fatalf("acknowledged %q: %v", acks.Text(), acks.Err())
			}
			acked[int64((first+n)%records)] = first + n
		}
		if err := cmd.Process.Kill(); err != nil { // SIGKILL
			t.Fatal(err)
		}
		for n := 15 + life; acks.Scan(); n++ { // what it said before it died counts as well
			acked[int64((first+n)%records)] = first + n
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the child was not killed")
		}
		round = <-sent
		for number, least := range acked {
			var out, errs bytes.Buffer
			run(t.Context(), []string{name, "get", fmt.Sprint(number)}, nil, &out, &errs)
			var got int
			if _, err := fmt.Sscanf(out.String(), "round %d\n", &got); err != nil || got < least || got > round || got%records != int(number) {
				t.Errorf("life %d, record %d: %q%s, want round %d or later", life, number, &out, &errs, least)
			}
		}
	}
}

// TestTorn: a torn slot loses nothing but itself, whichever byte is wrong.
func TestTorn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "store")
	r, err := mmap.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := store{r}
	for _, text := range []string{"first", "second"} {
		if err := s.set(1, text); err != nil {
			t.Fatal(err)
		}
	}
	_, which, err := s.newest(1)
	if err != nil {
		t.Fatal(err)
	}
	base := (2 + which) * slotSize
	for i := range int64(slotSize) {
		var b [1]byte
		if _, err := r.ReadAt(b[:], base+i); err != nil {
			t.Fatal(err)
		}
		if _, err := r.WriteAt([]byte{b[0] ^ 0x5a}, base+i); err != nil {
			t.Fatal(err)
		}
		if text, err := s.get(1); text != "first" {
			t.Errorf("byte %d of the new slot torn: %q, %v", i, text, err)
		}
		if _, err := r.WriteAt(b[:], base+i); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := s.get(1); text != "second" {
		t.Errorf("whole again: %q, %v", text, err)
	}
}

// TestCommands: what each call prints, and its exit code.
func TestCommands(t *testing.T) {
	name := filepath.Join(t.TempDir(), "store")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	waiting, _ := io.Pipe() // a terminal at which nobody types
	for _, c := range []struct {
		ctx   context.Context
		args  []string
		stdin io.Reader
		want  string
		code  int
	}{
		{t.Context(), []string{name, "get", "0"}, nil, "", 1},
		{t.Context(), []string{name, "set", "3", "three"}, nil, "", 0},
		{t.Context(), []string{name, "get", "3"}, nil, "three\n", 0},
		{t.Context(), []string{name, "get", "0"}, nil, "", 1},
		{t.Context(), []string{name, "get", "4"}, nil, "", 1},
		{t.Context(), []string{name, "load"}, strings.NewReader("3 drei\n0 null"), "3\n0\n", 0},
		{t.Context(), []string{name, "get", "3"}, nil, "drei\n", 0},
		{t.Context(), []string{name, "set", "3", strings.Repeat("x", maxText)}, nil, "", 0},
		{t.Context(), []string{name, "set", "3", strings.Repeat("x", maxText+1)}, nil, "", 1},
		{t.Context(), []string{name, "load"}, strings.NewReader("1 a\n-1 b\n2 c"), "1\n", 1},
		{stopped, []string{name, "load"}, waiting, "", 130},
		{t.Context(), []string{name, "fetch", "3"}, nil, "", 2},
		{t.Context(), []string{name}, nil, "", 2},
	} {
		var out, errs bytes.Buffer
		code := run(c.ctx, c.args, c.stdin, &out, &errs)
		if code != c.code || out.String() != c.want || (code == 1 || code == 2) != (errs.Len() > 0) {
			t.Errorf("%.60q: exit %d (want %d), printed %q (want %q), standard error %q", c.args, code, c.code, &out, c.want, &errs)
		}
	}
}
