//go:build !js && !wasip1

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// start runs the program and returns its address, and what ends it.
func start(t *testing.T, args ...string) (url string, stop func() (code int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		code := run(ctx, args, in, &errs)
		in.Close()
		done <- code
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("it does not begin: %v, %s", err, &errs)
	}
	return strings.TrimSpace(line), func() int { cancel(); return <-done }
}

// get returns the answer to a request for a range ("" is all).
func get(url, span string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if span != "" {
		req.Header.Set("Range", "bytes="+span)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// TestServer: the folder, the file, its ranges, and what is refused.
func TestServer(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "big")
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for file, text := range map[string]string{"big": big, "a.txt": "hello"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url, stop := start(t, "-dir", dir, name)
	if !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Fatalf("it listens at %s", url)
	}
	for _, c := range []struct {
		path, span string
		status     int
		want       string
	}{
		{"/files/a.txt", "", 200, "hello"},
		{"/files/a.txt", "1-2", 206, "el"},
		{"/files/none", "", 404, ""},
		{"/files/%2e%2e/" + filepath.Base(dir), "", 404, ""},
		{"/file", "", 200, big},
		{"/file", "16-31", 206, "0123456789abcdef"},
		{"/file", "-3", 206, "def"},
		{"/file", "99999999-", 416, ""},
		{"/other", "", 404, ""},
	} {
		status, body, err := get(url+c.path, c.span)
		if err != nil || status != c.status || status < 300 && body != c.want {
			t.Errorf("%s %s: %d, %d bytes, %v", c.path, c.span, status, len(body), err)
		}
	}
	var all sync.WaitGroup
	for i := range 16 { // they share the Region, and no cursor
		all.Go(func() {
			from := i * 50_001
			status, body, err := get(url+"/file", fmt.Sprintf("%d-%d", from, from+99_999))
			if err != nil || status != 206 || body != big[from:from+100_000] {
				t.Errorf("from %d: %d, %d bytes, %v", from, status, len(body), err)
			}
		})
	}
	all.Wait()
	http.DefaultClient.CloseIdleConnections()
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestGrowth: the next request has what was added to the file.
func TestGrowth(t *testing.T) {
	name := filepath.Join(t.TempDir(), "growing")
	appendTo(t, name, "one", os.O_CREATE)
	url, stop := start(t, name)
	for _, want := range []string{"one", "onetwo"} {
		if _, body, err := get(url+"/file", ""); err != nil || body != want {
			t.Errorf("%q, %v; want %q", body, err, want)
		}
		appendTo(t, name, "two", 0)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
}

// appendTo adds text to a file.
func appendTo(t *testing.T, name, text string, flag int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestExitCodes: what cannot be served is said before it listens.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{filepath.Join(dir, "none")}, 1},
		{[]string{dir}, 1},
		{[]string{"-dir", filepath.Join(dir, "none"), os.Args[0]}, 1},
		{[]string{"-port", "99999", os.Args[0]}, 1},
		{nil, 2},
	} {
		var out, errs bytes.Buffer
		if got := run(t.Context(), c.args, &out, &errs); got != c.want || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("%q: exit %d, want %d; %q, %q", c.args, got, c.want, &out, &errs)
		}
	}
}
