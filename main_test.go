package mmap_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// leaveRaw is set by a child whose test is that something is left over.
var leaveRaw bool

// TestMain fails the run when descriptors or maps are left over. Under an
// emulator, which says so in MMAP_TEST_EMULATED, some are not ours.
func TestMain(m *testing.M) {
	assumePages(os.Getenv(pagesEnv))
	if os.Getenv(logEnv) == "" {
		mmap.OpenUnlogged() // as programs do
	}
	before := countResources()
	code := m.Run()
	if code != 0 || leaveRaw || os.Getenv("MMAP_TEST_EMULATED") != "" {
		os.Exit(code)
	}
	if lost := before.leaked(); lost != "" {
		fmt.Fprintln(os.Stderr, "left over after all tests:\n"+lost)
		code = 1
	}
	os.Exit(code)
}

// settle runs the collector until every cleanup it owes the library is done: a
// range that nobody holds is given back. It reports whether that came true.
func settle(done func(mmap.Ledger) bool) bool {
	for range 200 {
		if done(mmap.ReadLedger()) {
			return true
		}
		mmap.Collect()
	}
	return false
}

// given reports that all ranges but those in quarantine are back.
func given(l mmap.Ledger) bool { return l.Held == l.Grave }

// needsMemory skips a test on systems that do not map files.
func needsMemory(t testing.TB) {
	t.Helper()
	if !sys.Mappable {
		t.Skip("this system does not map files")
	}
}

// needsCut skips a test where a mapped file cannot be cut.
func needsCut(t testing.TB) {
	t.Helper()
	needsMemory(t)
	if sys.MappingPinsSize {
		t.Skip("a mapped file cannot be cut on this system")
	}
}

// pattern returns n bytes that tell where they are, no two pages alike. Kind
// tells files apart.
func pattern(kind byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = patternAt(kind, i)
	}
	return b
}

// patternAt is one byte of pattern; it is never 0.
func patternAt(kind byte, i int) byte {
	return byte(uint32(i)*2654435761>>24)%251 + kind%5 + 1
}

// newFile makes a file of data in a directory of its own.
func newFile(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// mapNow maps r, which may be empty, and does not keep its memory where that
// would keep the file from being cut.
func mapNow(r *mmap.Region) {
	if sys.MappingPinsSize {
		_ = r.View(0, mmap.ToEnd, func([]byte) error { return nil })
		return
	}
	r.Bytes()
}

// openMapped opens name, reads until it is mapped, and closes it with the
// test. (A View would map it too, but is a store as far as Flush can tell.)
func openMapped(t testing.TB, name string, flag int, opts *mmap.Options) *mmap.Region {
	t.Helper()
	r := openRegion(t, name, flag, opts)
	if !sys.Coherent {
		mapNow(r) // there reads do not
	}
	for range 100 {
		if _, n, _ := mmap.Memory(r); n > 0 {
			return r
		}
		if _, err := r.ReadAt(make([]byte, 1), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s is not mapped after 100 reads", name)
	return nil
}

// openRegion opens name and closes it with the test.
func openRegion(t testing.TB, name string, flag int, opts *mmap.Options) *mmap.Region {
	t.Helper()
	r, err := mmap.OpenFile(name, flag, 0o666, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// cutFile changes the length of a file as somebody else would.
func cutFile(t testing.TB, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}

// childEnv names the test that a child process is there for.
const childEnv = "MMAP_TEST_CHILD"

// child returns the command that runs this test again in a process of its own,
// or nil in that process. Env is added to the environment.
func child(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		t.Skip("no child processes: ", err)
	}
	pattern := "^" + regexp.QuoteMeta(t.Name()) + "$"
	cmd := exec.Command(exe, "-test.run="+pattern, "-test.v", "-test.timeout=120s", fmt.Sprintf("-test.short=%v", testing.Short()))
	dir := t.TempDir() // a child that dies removes nothing
	cmd.Env = append(os.Environ(), append(env, "TMPDIR="+dir, "TMP="+dir, "TEMP="+dir, childEnv+"="+t.Name())...)
	return cmd
}

// crash runs a child that must die of touching memory that is not there.
func crash(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skip("no child process: ", err)
	}
	if err == nil {
		t.Fatalf("the child process lives:\n%s", out)
	}
	if !strings.Contains(string(out), "unexpected fault address") {
		t.Fatalf("the child process died of something else: %v\n%s", err, out)
	}
}

// parallel runs fns beside one another and waits for all.
func parallel(fns ...func()) {
	done := make(chan struct{})
	for _, fn := range fns {
		go func() {
			defer func() { done <- struct{}{} }()
			fn()
		}()
	}
	for range fns {
		<-done
	}
	runtime.KeepAlive(fns)
}

// succeed runs a child and passes on its result.
func succeed(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skip("no such child process: ", err)
	case err == nil && bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("in the child process: %s", out)
	case err != nil:
		t.Fatalf("the child process: %v\n%s", err, out)
	case !bytes.Contains(out, []byte("--- PASS")):
		t.Fatalf("the child process did not run the test:\n%s", out)
	}
}
