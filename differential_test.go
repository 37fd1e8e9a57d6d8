package mmap_test

import (
	"bytes"
	"errors"
	"flag"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/difftest"
)

var (
	modelSeed  = flag.Uint64("model.seed", 1, "the first seed of TestDifferential")
	modelCalls = flag.Int("model.calls", 220_000, "how many calls TestDifferential makes")
)

// playCalls is the length of one play: long enough for a file to be mapped,
// grown, cut, closed and opened again, and short enough for many files.
const playCalls = 200

// TestDifferential plays random calls on Regions and on what they must behave
// like. To see a failure again: go test -run TestDifferential -model.seed=N.
func TestDifferential(t *testing.T) {
	calls := *modelCalls
	if testing.Short() {
		calls /= 10
	}
	const workers = 2
	for w := range uint64(workers) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			lab := newLab(t)
			for i := range uint64(calls / playCalls / workers) {
				seed := *modelSeed + i*workers + w
				if !playOn(t, lab, difftest.Random(seed, playCalls)) {
					t.Fatalf("this was -model.seed=%d", seed)
				}
			}
		})
	}
}

// FuzzDifferential lets the fuzzer choose the calls.
func FuzzDifferential(f *testing.F) {
	for seed := range uint64(32) {
		f.Add([]byte(difftest.Random(seed, 40)))
	}
	lab := newLab(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		playOn(t, lab, difftest.Case(b[:min(len(b), 2000)]))
	})
}

// newLab makes a Lab that lives as long as the test.
func newLab(t testing.TB) *difftest.Lab {
	t.Helper()
	lab, err := difftest.NewLab(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// playOn plays c; when Region and oracle differ it reports the shortest part
// of c that shows it.
func playOn(t testing.TB, lab *difftest.Lab, c difftest.Case) (same bool) {
	t.Helper()
	d, err := lab.Play(c)
	if err != nil {
		t.Fatal(err)
	}
	if d == nil {
		return true
	}
	if short := lab.Shrink(c); short.Calls() <= c.Calls() {
		if again, err := lab.Play(short); err == nil && again != nil {
			d = again
		}
	}
	t.Errorf("%s (-oracle +region):\n%s\n%s\ncase %v", d.Call, cmp.Diff(d.Want, d.Got), lab.Explain(d.Case), d.Case)
	return false
}

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
