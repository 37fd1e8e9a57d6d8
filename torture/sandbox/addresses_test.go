//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestAddressesComeBack: bytes that were handed out keep their addresses from
// being used again only while there are enough. All rounds together want 640 GiB,
// which is more than there is where addresses have 39 bits: 512 GiB on arm64,
// and 256 GiB on riscv64.
func TestAddressesComeBack(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("a mapping of 16 GiB needs more than 32 bits")
	}
	const size, rounds = 16 << 30, 40
	name := filepath.Join(t.TempDir(), "sparse")
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Skip("no sparse file: ", err)
	}
	for round := range rounds {
		r, err := mmap.Open(name)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		b := r.Bytes()
		if len(b) != size {
			t.Fatalf("round %d: %d bytes are mapped", round, len(b))
		}
		if b[size-1] != 0 {
			t.Errorf("round %d: the last byte is %d", round, b[size-1])
		}
		if err := r.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}
