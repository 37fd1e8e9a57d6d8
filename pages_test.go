package mmap_test

import (
	"bytes"
	"errors"
	"os/exec"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// What the library knows of pages is advisory: it must not change a result,
// whatever it is. The tests of what a call returns, of faults and of Close run
// once more with no page ever known, and with every page taken for known.

// pageTests are those tests.
const pageTests = "^(TestBug|TestClose|TestCopy|TestCut|TestDiff|TestExtend|TestFault|TestFlush|TestForeign|TestGrowth|TestNested|TestRead|TestSeek|TestShrink|TestStale|TestTruncate|TestView|TestWrite)"

// pagesEnv tells a child which it is.
const pagesEnv = "MMAP_TEST_PAGES"

// assumePages does what the environment says.
func assumePages(how string) {
	switch how {
	case "cold":
		mmap.AssumeCold()
	case "hot":
		mmap.AssumeHot()
	}
}

// TestPagesAllCold: every access goes the long way.
func TestPagesAllCold(t *testing.T) { againWith(t, "cold") }

// TestPagesAllHot: memory is touched without another look, and what is wrong
// about that is found by a fault.
func TestPagesAllHot(t *testing.T) { againWith(t, "hot") }

// againWith runs the tests again.
func againWith(t *testing.T, how string) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	needsMemory(t)
	exe := child(t).Path
	cmd := exec.Command(exe, "-test.run="+pageTests, "-test.short", "-test.timeout=5m", "-test.v")
	dir := t.TempDir()
	cmd.Env = append(cmd.Environ(), pagesEnv+"="+how, "TMPDIR="+dir, "TMP="+dir, "TEMP="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skip("no child processes: ", err)
	}
	if err != nil {
		t.Fatalf("%v:\n%s", err, failed(out))
	}
	if n := bytes.Count(out, []byte("\n--- PASS")); n < 20 {
		t.Fatalf("%d tests passed, which cannot be all:\n%s", n, out)
	}
}

// failed leaves out of a test's output what went well.
func failed(out []byte) (kept []byte) {
	for line := range bytes.Lines(out) {
		text := bytes.TrimSpace(line)
		if !bytes.HasPrefix(text, []byte("=== ")) && !bytes.HasPrefix(text, []byte("--- PASS")) {
			kept = append(kept, line...)
		}
	}
	return kept
}
