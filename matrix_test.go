package mmap_test

import (
	"flag"
	"os"
	"testing"

	"github.com/seed-93fed273/mmap/internal/difftest"
)

var (
	matrixAll   = flag.Bool("matrix.all", false, "TestMatrix: every pair on every kind of file, and not on one in turn")
	matrixCalls = flag.Int("matrix.calls", 12, "TestMatrix: how many calls each play makes")
	matrixSeed  = flag.Uint64("matrix.seed", 1, "TestMatrix: the first seed")
)

// TestMatrix: every pair of options, with every flag of opening, on files of
// the temporary directory, of memory, and of tmpfs: see [difftest.Matrix]. It
// prints how many there were. What has no directory is TestMatrixDevices; file
// systems that have to be mounted are in torture.
func TestMatrix(t *testing.T) {
	needsMemory(t)
	dirs := map[string]string{"temporary": t.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "matrix"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		dirs["tmpfs"] = dir
	}
	for name, dir := range dirs {
		t.Run(name, func(t *testing.T) {
			m := &difftest.Matrix{Dir: dir, All: *matrixAll, Calls: *matrixCalls, Seed: *matrixSeed}
			if name == "tmpfs" {
				m.Seed += 3 // on other kinds
			}
			if err := m.Run(); err != nil {
				t.Fatal(err)
			}
			for _, failure := range m.Failures {
				t.Error(failure)
			}
			if t.Log(m); m.Played < 500 || m.Refused < 500 {
				t.Error("that is not what it should be")
			}
		})
	}
}
