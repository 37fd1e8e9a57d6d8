//go:build unix || windows

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSearch: each match is found once and in order, also across the ends of
// blocks and of pieces, and where matches overlap.
func TestSearch(t *testing.T) {
	b := bytes.Repeat([]byte{'.'}, 3<<20+5)
	name := filepath.Join(t.TempDir(), "big")
	var want strings.Builder
	for _, off := range []int{0, 4094, 4096, 8191, 1<<20 - 2, 2<<20 - 1, 3 << 20, len(b) - 3} {
		copy(b[off:], "aba")
	}
	for i := range b {
		if bytes.HasPrefix(b[i:], []byte("aba")) {
			fmt.Fprintf(&want, "%s:%d\n", name, i)
		}
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, block := range []string{"4096", "1048576", "16777216"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"-block", block, "-workers", "3", "aba", name}, &out, &errs); code != found {
			t.Errorf("block %s: exit %d, %s", block, code, &errs)
		}
		if out.String() != want.String() {
			t.Errorf("block %s: found\n%swant\n%s", block, &out, &want)
		}
	}
}

// TestExitCodes: nothing found, no such file, wrong use, interrupted.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	full, empty := filepath.Join(dir, "full"), filepath.Join(dir, "empty")
	for name, b := range map[string]string{full: "hello", empty: ""} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	unsized, code := "/proc/self/status", failed // not empty, though its size is 0
	if _, err := os.Stat(unsized); err != nil {
		unsized, code = full, found
	}
	for _, c := range []struct {
		ctx  context.Context
		args []string
		want int
	}{
		{t.Context(), []string{"e", unsized}, code},
		{t.Context(), []string{"hello", full}, found},
		{t.Context(), []string{"longer than the file", full}, notFound},
		{t.Context(), []string{"a", empty}, notFound},
		{t.Context(), []string{"hello", full + ".none", full}, failed},
		{t.Context(), []string{"hello", dir}, failed},
		{t.Context(), []string{"", full}, failed},
		{t.Context(), []string{"-block", "0", "hello", full}, failed},
		{stopped, []string{"hello", full}, interrupted},
	} {
		var out, errs bytes.Buffer
		if got := run(c.ctx, c.args, &out, &errs); got != c.want || (got == failed) != (errs.Len() > 0) {
			t.Errorf("%q: exit %d, want %d; standard error: %q", c.args, got, c.want, &errs)
		}
	}
}
