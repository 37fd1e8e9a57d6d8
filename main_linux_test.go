package mmap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-93fed273/mmap"
)

// resources is what a process holds of the system.
type resources struct {
	fds  map[string]string // number to what it is
	maps []string          // those of files
}

// countResources counts what this process holds. The poller of the runtime
// opens descriptors at its first use, so that comes first.
func countResources() resources {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	return resources{fds: descriptors(), maps: fileMaps()}
}

// leaked says what is there now and was not, or nothing.
func (before resources) leaked() (lost string) {
	for range 20 { // what package poll keeps in pools goes in two collections
		if lost = before.left(); lost == "" {
			break
		}
		mmap.Collect()
	}
	return lost
}

// left says what is there and was not.
func (before resources) left() string {
	var lost []string
	if !settle(given) {
		lost = append(lost, fmt.Sprintf("ranges: %+v", mmap.ReadLedger()))
	}
	for fd, what := range descriptors() {
		if _, was := before.fds[fd]; !was && what != "/dev/urandom" { // which Go keeps where getrandom(2) is not
			lost = append(lost, "descriptor "+fd+": "+what)
		}
	}
	for _, line := range fileMaps() {
		if !slices.Contains(before.maps, line) {
			lost = append(lost, "map: "+line)
		}
	}
	slices.Sort(lost)
	return strings.Join(lost, "\n")
}

// descriptors returns the open descriptors and what they lead to.
func descriptors() map[string]string {
	open := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			open[e.Name()] = to
		}
	}
	return open
}

// mapLines returns the lines of /proc/self/maps.
func mapLines() []string {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		panic(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// fileMaps returns the maps of files outside the program itself.
func fileMaps() []string {
	exe, _ := os.Executable()
	return slices.DeleteFunc(mapLines(), func(line string) bool {
		f := strings.Fields(line)
		return len(f) < 6 || !filepath.IsAbs(f[5]) || f[5] == exe || strings.Contains(f[5], ".so")
	})
}

// mapsOf returns the maps of one file.
func mapsOf(name string) []string {
	return slices.DeleteFunc(mapLines(), func(line string) bool {
		return !strings.HasSuffix(strings.TrimSuffix(line, " (deleted)"), " "+name)
	})
}

// protections returns those of the maps that touch the range, each once.
func protections(t testing.TB, addr uintptr, n int) (found []string) {
	t.Helper()
	for _, line := range mapLines() {
		f := strings.Fields(line)
		from, to, _ := strings.Cut(f[0], "-")
		lo, err1 := strconv.ParseUint(from, 16, 64)
		hi, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("no range in %q", line)
		}
		if lo < uint64(addr)+uint64(n) && uint64(addr) < hi && !slices.Contains(found, f[1]) {
			found = append(found, f[1])
		}
	}
	return found
}

// checkRevoked fails unless nothing at the addresses can be touched.
func checkRevoked(t testing.TB, addr uintptr, n int) {
	t.Helper()
	for _, p := range protections(t, addr, n) {
		if !strings.HasPrefix(p, "---") {
			t.Errorf("the memory of a closed Region is %s", p)
		}
	}
}

// smaps returns what the kernel tells about the map that holds addr; "map" is
// its first line from the protection on.
func smaps(t testing.TB, addr uintptr) map[string]string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("no smaps: ", err)
	}
	fields, inside := map[string]string{}, false
	for line := range strings.Lines(string(text)) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if from, to, ok := strings.Cut(first, "-"); ok {
			lo, _ := strconv.ParseUint(from, 16, 64)
			hi, _ := strconv.ParseUint(to, 16, 64)
			inside, first = lo <= uint64(addr) && uint64(addr) < hi, "map"
		}
		if inside {
			fields[strings.TrimSuffix(first, ":")] = strings.TrimSpace(rest)
		}
	}
	if len(fields) == 0 {
		t.Fatalf("nothing is mapped at %#x", addr)
	}
	return fields
}

// cpuTime returns the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rssOf returns how much of the Regions' mappings is in the process's memory.
func rssOf(t testing.TB, regions ...*mmap.Region) (rss int64) {
	t.Helper()
	for _, r := range regions {
		addr, _, _ := mmap.Memory(r)
		kb, _, _ := strings.Cut(smaps(t, addr)["Rss"], " ")
		n, err := strconv.ParseInt(kb, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		rss += n << 10
	}
	return rss
}
