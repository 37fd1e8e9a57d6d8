//go:build unix || windows

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNearest: the program finds what a plain search of all vectors finds, in a
// file of more than one block.
func TestNearest(t *testing.T) {
	const n, dim, k = 30_000, 16, 5 // 1.8 MiB
	rnd := rand.New(rand.NewPCG(1, 2))
	all := make([][]float32, n)
	var in bytes.Buffer
	for i := range all {
		all[i] = make([]float32, dim)
		for j := range all[i] {
			all[i][j] = float32(rnd.IntN(100))
			fmt.Fprint(&in, all[i][j], " ")
		}
		fmt.Fprintln(&in)
	}
	name := filepath.Join(t.TempDir(), "vectors")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"build", name}, &in, nil, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	for _, want := range [][]float32{all[0], all[n/2], all[n-1], slices.Repeat([]float32{50.5}, dim)} {
		plain := make([]hit, n)
		args := []string{"-k", fmt.Sprint(k), "nearest", name}
		for i, v := range all {
			plain[i] = hit{i, distance(v, want)}
		}
		for _, x := range want {
			args = append(args, fmt.Sprint(x))
		}
		slices.SortFunc(plain, hit.compare)
		out.Reset()
		if code := run(t.Context(), args, nil, &out, &errs); code != 0 {
			t.Fatalf("exit %d: %s", code, &errs)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		for i, h := range plain[:k] {
			if len(lines) != k || !strings.HasPrefix(lines[i], fmt.Sprint(h.index, " ")) {
				t.Errorf("printed %q; number %d should be %v", lines, i, h)
			}
		}
	}
}

// TestCommands: small files, what each call prints, and its exit code.
func TestCommands(t *testing.T) {
	name := filepath.Join(t.TempDir(), "vectors")
	other := name + ".other"
	if err := os.WriteFile(other, []byte("neither vectors nor anything"), 0o600); err != nil {
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
		{t.Context(), []string{"build", name}, "0 0\n3 4\n-1 0\n", "", 0},
		{t.Context(), []string{"nearest", name, "0", "0"}, "", "0 0\n2 1\n1 5\n", 0},
		{t.Context(), []string{"-k", "1", "nearest", name, "3", "3"}, "", "1 1\n", 0},
		{t.Context(), []string{"nearest", name, "0"}, "", "", 1},
		{t.Context(), []string{"nearest", name, "0", "NaN"}, "", "", 1},
		{t.Context(), []string{"nearest", other, "0", "0"}, "", "", 1},
		{t.Context(), []string{"nearest", name + ".none", "0"}, "", "", 1},
		{stopped, []string{"nearest", name, "0", "0"}, "", "", 130},
		{t.Context(), []string{"-k", "0", "nearest", name, "0", "0"}, "", "", 2},
		{t.Context(), []string{"nearest", name}, "", "", 2},
		{t.Context(), []string{"build", name}, "1 2\n3\n", "", 1},
		{t.Context(), []string{"build", name}, "", "", 1},
		{t.Context(), []string{"-k", "1", "nearest", name, "0", "0"}, "", "0 0\n", 0}, // the failed builds changed nothing
	} {
		var out, errs bytes.Buffer
		code := run(c.ctx, c.args, strings.NewReader(c.stdin), &out, &errs)
		if code != c.code || out.String() != c.want || (code == 1 || code == 2) != (errs.Len() > 0) {
			t.Errorf("%q: exit %d (want %d), printed %q (want %q), standard error %q", c.args, code, c.code, &out, c.want, &errs)
		}
	}
	if files, err := os.ReadDir(filepath.Dir(name)); err != nil || len(files) != 2 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// TestCut: a file that is cut while it is searched is an error, not a crash.
func TestCut(t *testing.T) {
	name := filepath.Join(t.TempDir(), "vectors")
	if err := build(name, strings.NewReader(strings.Repeat("1 2 3 4\n", 10_000))); err != nil {
		t.Fatal(err)
	}
	v, err := openVectors(name)
	if err != nil {
		t.Fatal(err)
	}
	defer v.r.Close()
	if err := os.Truncate(name, 4096); err != nil {
		t.Skip("a file that is mapped cannot be cut here: ", err)
	}
	if _, err := v.search(t.Context(), make([]float32, 4), 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
