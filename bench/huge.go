//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/seed-93fed273/mmap"
)

// countHuge opens files without blocks of up to 10 TiB, reads and writes here
// and there, and prints what the Region's own knowledge of their pages costs in
// memory and time. It needs a file system that has files so long.
func countHuge(l *lab) error {
	fmt.Println("| size | open and map | 10 000 reads | memory after them | 1 write, Flush after it | memory | page tables | maps |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, size := range []int64{giB, 64 * giB, 1024 * giB, 10 * 1024 * giB} {
		if err := hugeLine(l, size); err != nil {
			return err
		}
	}
	return nil
}

// hugeLine measures one size.
func hugeLine(l *lab, size int64) error {
	name := l.path("huge")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	f.Close()
	if err := os.Truncate(name, size); err != nil {
		return fmt.Errorf("a file of %d GiB: %w", size/giB, err)
	}
	defer os.Remove(name)
	runtime.GC()
	before := statusKiB("VmRSS")
	rng := rand.New(rand.NewPCG(3, 4))
	p := make([]byte, 64)

	begin := time.Now()
	r := must1(mmap.OpenFile(name, os.O_RDWR, 0, nil))
	mapRegion(r)
	opened := time.Since(begin)

	begin = time.Now()
	for range 10_000 {
		must1(r.ReadAt(p, rng.Int64N(size-64)))
	}
	read := time.Since(begin)
	afterReads := statusKiB("VmRSS") - before

	flush := median(hugeFlushes(r, size, rng))
	fmt.Printf("| %d GiB | %s µs | %s µs each | %s MiB | %s µs | %s MiB | %s MiB | %d |\n", size/giB,
		short(float64(opened)/1e3), short(each(read, 10_000)/1e3), short(float64(afterReads)/1024),
		short(flush/1e3), short(float64(statusKiB("VmRSS")-before)/1024),
		short(float64(statusKiB("VmPTE"))/1024), countMapsOf(name))
	return r.Close()
}

// hugeFlushes returns the times of Flush with one page written since the last,
// a page that was written before.
func hugeFlushes(r *mmap.Region, size int64, rng *rand.Rand) (out series) {
	for range 5 {
		off := rng.Int64N(size - 8)
		for range 3 {
			must1(r.WriteAt([]byte("8 bytes!"), off))
		}
		begin := time.Now()
		must(r.Flush())
		out = append(out, float64(time.Since(begin)))
	}
	return out
}

// countMapsOf counts this process's mappings of a file.
func countMapsOf(name string) int {
	return bytes.Count(must1(os.ReadFile("/proc/self/maps")), []byte(name))
}

// statusKiB reads a field of /proc/self/status.
func statusKiB(field string) int { return int(processNumber("/proc/self/status", field)) }

// processNumber reads a number from a file of lines "field: number" and perhaps
// a unit.
func processNumber(file, field string) float64 {
	for line := range bytes.Lines(must1(os.ReadFile(file))) {
		if rest, ok := bytes.CutPrefix(line, []byte(field+":")); ok {
			return must1(strconv.ParseFloat(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 64))
		}
	}
	return 0
}
