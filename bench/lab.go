//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	kiB  = 1 << 10
	miB  = 1 << 20
	giB  = 1 << 30
	page = 4 * kiB
)

// lab is where the rows are measured: a directory with their files, and what
// has to be taken away at the end.
type lab struct {
	dir          string
	quick        bool
	draws        bool // plots are wanted, and measured
	fsName       string
	disk         bool // cold files can be had
	loadBefore   string
	loads        []string // after each row
	files        map[string]string
	programFiles []string           // keys of files, of those that a program made
	curves       map[string][]curve // of the plots, by file
	c            *reference
	seed         uint64

	closing sync.Mutex // held while things are taken away

	mu    sync.Mutex
	undo  map[int]func() // in the order of their numbers
	undos int
}

// newLab makes a directory of its own in dir.
func newLab(dir string, quick bool) (*lab, error) {
	own, err := os.MkdirTemp(dir, "mmap-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{dir: own, quick: quick, files: map[string]string{}, curves: map[string][]curve{}, undo: map[int]func(){}}
	l.fsName, l.disk = fileSystem(own)
	l.loadBefore = loadAverage()
	l.atEnd(func() { os.RemoveAll(own) })
	return l, nil
}

// atEnd has fn called when the lab closes, last come first, unless it was
// forgotten before.
func (l *lab) atEnd(fn func()) (forget func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.undos
	l.undo[n] = fn
	l.undos++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.undo, n)
	}
}

// close takes everything away, once; who comes second waits until it is gone.
func (l *lab) close() {
	l.closing.Lock()
	defer l.closing.Unlock()
	l.mu.Lock()
	undo, n := l.undo, l.undos
	l.undo = map[int]func(){}
	l.mu.Unlock()
	for i := n - 1; i >= 0; i-- {
		if fn, ok := undo[i]; ok {
			fn()
		}
	}
}

// pick chooses a number by how much time there is.
func pick[T any](l *lab, full, quick T) T {
	if l.quick {
		return quick
	}
	return full
}

// rng returns random numbers that nobody else in this run gets.
func (l *lab) rng() *rand.Rand {
	l.seed++
	return rand.New(rand.NewPCG(l.seed, 1))
}

// path is a place for a file.
func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// file returns a file of size bytes that was written in pieces of that many
// bytes, which decides the size of its folios in the cache. It is made once.
func (l *lab) file(size int64, piece int) string {
	key := fmt.Sprintf("data-%d-%d", size, piece)
	if name, ok := l.files[key]; ok {
		return name
	}
	name := l.path(key)
	writeFile(name, size, piece)
	l.files[key] = name
	return name
}

// big is the file that most rows read.
func (l *lab) big() (name string, size int64) {
	size = pick[int64](l, giB, 256*miB)
	return l.file(size, miB), size
}

// writeFile writes a file of bytes that no disk can compress, and syncs it.
func writeFile(name string, size int64, piece int) {
	f := must1(os.Create(name))
	defer f.Close()
	buf := make([]byte, miB)
	rand.NewChaCha8([32]byte{7}).Read(buf)
	for off := int64(0); off < size; off += int64(piece) {
		at := int(off % miB)
		must1(f.Write(buf[at : at+piece]))
	}
	must(f.Sync())
}

// warm reads all of the file, so that it is in the page cache.
func warm(name string) {
	f := must1(os.Open(name))
	defer f.Close()
	must1(io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, miB)))
}

// sync puts the file's dirty pages on the disk, so that they are clean.
func syncFile(name string) {
	f := must1(os.OpenFile(name, os.O_RDWR, 0))
	defer f.Close()
	must(f.Sync())
}

// cold takes the file out of the page cache and makes sure of it. Nobody may
// have it mapped: pages that a mapping touched do not go.
func (l *lab) cold(name string) {
	if !l.disk {
		panic(skip("files cannot be made cold on " + l.fsName + "; choose another -dir"))
	}
	f := must1(os.OpenFile(name, os.O_RDWR, 0))
	defer f.Close()
	must(f.Sync())
	var left, all int
	for try := range 20 {
		must(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		if left, all = residentPages(f); left*1000 <= all {
			return
		}
		time.Sleep(time.Duration(try) * 5 * time.Millisecond)
	}
	panic(skip(fmt.Sprintf("the file could not be made cold: %d of %d pages stayed", left, all)))
}

// residentPages counts, by mincore(2), the pages of f that are in the cache.
func residentPages(f *os.File) (in, all int) {
	info := must1(f.Stat())
	m := must1(unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED))
	defer unix.Munmap(m)
	vec := make([]byte, (len(m)+page-1)/page)
	must(mincore(m, vec))
	for _, v := range vec {
		in += int(v & 1)
	}
	return in, len(vec)
}

// ticker measures, until stop is called, by how much a goroutine that sleeps
// 1 ms at a time oversleeps, in milliseconds.
type ticker struct {
	quit, done chan struct{}
	over       series
}

func startTicker() *ticker {
	t := &ticker{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		for {
			select {
			case <-t.quit:
				return
			default:
			}
			begin := time.Now()
			time.Sleep(time.Millisecond)
			t.over = append(t.over, ms(time.Since(begin)-time.Millisecond))
		}
	}()
	return t
}

// stop returns how long each sleep was overrun.
func (t *ticker) stop() series {
	close(t.quit)
	<-t.done
	return t.over
}

// ms is a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// each is what one of n operations took, in nanoseconds.
func each(d time.Duration, n int) float64 { return float64(d) / float64(n) }

// perSecond is how many of n operations fit into a second.
func perSecond(d time.Duration, n int) float64 { return float64(n) / d.Seconds() }

// gbPerSecond is a throughput in 10^9 bytes a second.
func gbPerSecond(d time.Duration, n int64) float64 { return float64(n) / d.Seconds() / 1e9 }
