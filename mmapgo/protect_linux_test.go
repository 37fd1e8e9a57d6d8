package mmapgo_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/seed-93fed273/mmap/mmapgo"
)

// TestProtection: the kernel has the mapping as the arguments say.
func TestProtection(t *testing.T) {
	f := newFile(t, pattern(page), os.O_RDWR)
	for _, c := range []struct {
		prot int
		want string
	}{
		{mmapgo.RDONLY, "r--s"},
		{mmapgo.RDWR, "rw-s"},
		{mmapgo.COPY, "rw-p"},
		{mmapgo.EXEC, "r-xs"},
		{mmapgo.RDWR | mmapgo.EXEC, "rwxs"},
		{mmapgo.COPY | mmapgo.EXEC, "rwxp"},
		{mmapgo.COPY | mmapgo.RDWR, "rw-p"},
	} {
		m := mapFile(t, f, -1, c.prot, 0)
		if got := protection(t, m); got != c.want {
			t.Errorf("prot %d: the kernel has %s, not %s", c.prot, got, c.want)
		}
		must(t, m.Unmap())
	}
}

// protection returns what /proc says of the memory of m.
func protection(t *testing.T, m mmapgo.MMap) string {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(m)))
	for line := range strings.Lines(string(maps)) {
		var lo, hi uintptr
		var prot string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &lo, &hi, &prot); n == 3 && lo <= at && at < hi {
			return prot
		}
	}
	t.Fatal("the memory is in no line of /proc/self/maps")
	return ""
}
