//go:build !js && !wasip1

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-93fed273/mmap"
)

// TestEveryFigure: each field of mmap.Stats is a metric, once; the names follow
// the conventions of Prometheus.
func TestEveryFigure(t *testing.T) {
	var s mmap.Stats
	fields := reflect.ValueOf(&s).Elem()
	for i := range fields.NumField() {
		f := fields.Field(i)
		f.Set(reflect.ValueOf(1000 + i).Convert(f.Type()))
	}
	registry := prometheus.NewPedanticRegistry()
	c := collector{func() mmap.Stats { return s }}
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[float64]int{}
	for _, family := range families {
		for _, m := range family.Metric {
			shown[m.GetCounter().GetValue()+m.GetGauge().GetValue()]++
		}
	}
	for i := range fields.NumField() {
		if n := shown[float64(1000+i)]; n != 1 {
			t.Errorf("%s is shown %d times", fields.Type().Field(i).Name, n)
		}
	}
	if len(shown) != fields.NumField() {
		t.Errorf("%d figures of %d", len(shown), fields.NumField())
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestAlerts: the rules use metrics that there are, and every metric that the
// library's operation hangs on has a rule.
func TestAlerts(t *testing.T) {
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range metrics {
		names[regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(m.desc.String())[1]] = true
	}
	used := map[string]bool{}
	for _, name := range regexp.MustCompile(`\bmmap_\w+`).FindAllString(string(rules), -1) {
		used[name] = true
		if !names[name] {
			t.Errorf("the rules use %s, which there is not", name)
		}
	}
	for _, name := range []string{"mmap_vmas", "mmap_vmas_limit", "mmap_failed_flushes_total"} {
		if !used[name] {
			t.Errorf("no rule looks at %s", name)
		}
	}
}

// TestServe: the program shows what it has open, and ends with 0.
func TestServe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		code := run(ctx, []string{name, name}, in, &errs)
		in.Close()
		done <- code
	}()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Fatalf("%q, %v, %s", url, err, &errs)
	}
	resp, err := http.Get(strings.TrimSpace(url))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	mapped := "2"
	if runtime.GOOS == "plan9" {
		mapped = "0"
	}
	for _, line := range []string{"mmap_regions_open 2", "mmap_regions_mapped " + mapped, `mmap_faults_total{cause="cut"} 0`, "# TYPE mmap_mappings_made_total counter"} {
		if !strings.Contains(string(body), line+"\n") {
			t.Errorf("no line %q in\n%s", line, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit %d: %s", code, &errs)
	}
}

// TestExitCodes: what cannot be served is said before it listens.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{filepath.Join(t.TempDir(), "none")}, 1},
		{[]string{"-port", "99999"}, 1},
		{[]string{"-prot", "1"}, 2},
	} {
		var out, errs bytes.Buffer
		if got := run(t.Context(), c.args, &out, &errs); got != c.want || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("%q: exit %d, want %d; %q, %q", c.args, got, c.want, &out, &errs)
		}
	}
}
