package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// newTable builds a table of n rows, from input in no order. The value of key k
// is 3k.
func newTable(t *testing.T, n int) (name string) {
	t.Helper()
	var in, errs bytes.Buffer
	for i := range n {
		k := (i*7919 + 5) % n * 2 // n is no multiple of 7919: each once
		fmt.Fprintln(&in, k, 3*k)
	}
	name = filepath.Join(t.TempDir(), "table")
	if code := run(t.Context(), []string{"build", name}, &in, nil, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	return name
}

// TestReaders: 64 goroutines search one Region at once, and each finds what is
// there and does not find what is not.
func TestReaders(t *testing.T) {
	const rows = 20_000
	err := withTable(newTable(t, rows), func(tab table) error {
		var all sync.WaitGroup
		for g := range 64 {
			all.Go(func() {
				for i := g; i < 2*rows; i += 131 {
					value, ok, err := tab.get(uint64(i))
					if err != nil || ok != (i%2 == 0) || ok && value != 3*uint64(i) {
						t.Errorf("key %d: %d, %t, %v", i, value, ok, err)
						return
					}
				}
			})
		}
		all.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCommands: what each call prints, and its exit code.
func TestCommands(t *testing.T) {
	name := newTable(t, 1000)
	bad := name + ".bad"
	if err := os.WriteFile(bad, []byte("not sixteen"), 0o600); err != nil {
		t.Fatal(err)
	}
	unsorted := name + ".unsorted"
	if err := os.WriteFile(unsorted, append(bytes.Repeat([]byte{9}, rowSize), bytes.Repeat([]byte{1}, rowSize)...), 0o600); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range []struct {
		ctx   context.Context
		args  []string
		stdin string
		want  string
		code  int
	}{
		{t.Context(), []string{"get", name, "0", "1998"}, "", "0 0\n1998 5994\n", 0},
		{t.Context(), []string{"get", name, "1"}, "", "", 1},
		{t.Context(), []string{"get", name, "-1"}, "", "", 1},
		{t.Context(), []string{"get", name + ".none", "1"}, "", "", 1},
		{t.Context(), []string{"get", bad, "1"}, "", "", 1},
		{t.Context(), []string{"-n", "1000", "bench", unsorted}, "", "", 1},
		{stopped, []string{"bench", name}, "", "", 130},
		{t.Context(), []string{"-readers", "0", "bench", name}, "", "", 2},
		{t.Context(), []string{"get", name}, "", "", 2},
		{t.Context(), nil, "", "", 2},
		{t.Context(), []string{"build", name}, "1 2\n1 3\n", "", 1},
		{t.Context(), []string{"build", name}, "1 2 3\n", "", 1},
		{t.Context(), []string{"get", name, "2"}, "", "2 6\n", 0}, // the failed builds changed nothing
		{t.Context(), []string{"build", name}, "", "", 0},
		{t.Context(), []string{"get", name, "2"}, "", "", 1},
	} {
		var out, errs bytes.Buffer
		code := run(c.ctx, c.args, strings.NewReader(c.stdin), &out, &errs)
		if code != c.code || out.String() != c.want || (code == 1 || code == 2) != (errs.Len() > 0) {
			t.Errorf("%q: exit %d (want %d), printed %q (want %q), standard error %q", c.args, code, c.code, &out, c.want, &errs)
		}
	}
	if files, err := os.ReadDir(filepath.Dir(name)); err != nil || len(files) != 3 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// TestBench: it runs, and says so; what it checks is checked above.
func TestBench(t *testing.T) {
	name := newTable(t, 1000)
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-n", "100", "bench", name}, nil, &out, &errs); code != 0 || !strings.HasPrefix(out.String(), "64 readers, 100 lookups each") {
		t.Errorf("exit %d, %q, %q", code, &out, &errs)
	}
}

// TestCut: a table that is cut while it is searched is an error.
func TestCut(t *testing.T) {
	name := newTable(t, 100_000)
	err := withTable(name, func(tab table) error {
		for k := range uint64(100) { // until it is mapped
			if _, _, err := tab.get(k); err != nil {
				return err
			}
		}
		if err := os.Truncate(name, 0); err != nil {
			return errors.Join(errors.ErrUnsupported, err) // Windows cuts no file that is mapped
		}
		_, _, err := tab.get(4)
		if err == nil {
			t.Error("nothing noticed")
		}
		return nil
	})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
}
