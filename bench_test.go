package mmap_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/seed-93fed273/mmap"
	exp "golang.org/x/exp/mmap"
)

// The benchmarks compare a Region with what it replaces. Their names are
// key=value, so that benchstat can put the ways side by side:
//
//	go test -run '^$' -bench 'ReadAt$' -count 8 | tee new.txt
//	benchstat -col /impl new.txt
//
// The values of impl are region, osfile (an *os.File), xexp (golang.org/x/exp/mmap,
// where it has the call) and slice (the mapped bytes with nothing around them).
// All files are hot: in the page cache before the clock starts. "Mapped" means
// that the Region has its mapping and has touched every page of it once; where
// a benchmark does not say so, the Region decides by itself when to map.
//
// One run of -count repeats a single line several times before the next. For
// ratios on a machine with other work, loop over whole runs instead.

// benchSink takes what a benchmark computed, so that nothing is optimised away.
var benchSink uint64

const (
	kiB = 1 << 10
	miB = 1 << 20
	giB = 1 << 30
)

// benchHandle is what the benchmarks use of *mmap.Region and *os.File alike.
type benchHandle interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Seeker
	io.Closer
	Sync() error
}

// benchImpl opens a file as one of the ways under comparison.
type benchImpl struct {
	impl string
	open func(name string, flag int) (benchHandle, error)
}

// The ways that can read and write.
var (
	benchOSFile = benchImpl{"osfile", func(name string, flag int) (benchHandle, error) { return os.OpenFile(name, flag, 0o666) }}
	benchRegion = benchImpl{"region", func(name string, flag int) (benchHandle, error) { return mmap.OpenFile(name, flag, 0o666, nil) }}

	benchImpls = []benchImpl{benchOSFile, benchRegion}
)

// benchReader is what x/exp has too.
type benchReader interface {
	io.ReaderAt
	io.Closer
}

// benchOpenReader opens name for reading as the way that impl names.
func benchOpenReader(b *testing.B, impl, name string) (r benchReader) {
	b.Helper()
	var err error
	switch impl {
	case "osfile":
		r, err = os.Open(name)
	case "region":
		r, err = mmap.Open(name)
	case "xexp":
		r, err = exp.Open(name)
	}
	benchMust(b, err)
	return r
}

// benchMust ends the benchmark when err is not nil.
func benchMust(b *testing.B, err error) {
	if err != nil {
		b.Helper() // not before: it costs more than what is measured
		b.Fatal(err)
	}
}

// benchFile makes a file of size pseudo-random bytes, on disk, and returns its
// name.
func benchFile(b *testing.B, size int64) string {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	benchMust(b, err)
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, io.LimitReader(rand.NewChaCha8([32]byte{1}), size), make([]byte, miB))
	benchMust(b, err)
	benchMust(b, f.Sync())
	benchMust(b, f.Close())
	return f.Name()
}

// benchHole makes a file of size zeros that takes no disk blocks. It is as fast
// to read as any other once it is in the page cache.
func benchHole(b *testing.B, size int64) string {
	b.Helper()
	name := filepath.Join(b.TempDir(), "hole")
	benchMust(b, os.WriteFile(name, nil, 0o666))
	benchMust(b, os.Truncate(name, size))
	return name
}

// benchOpen opens name and reads size bytes of it; a Region is mapped and has
// touched every page when benchOpen returns.
func benchOpen(b *testing.B, o benchImpl, name string, flag int, size int64) benchHandle {
	b.Helper()
	h, err := o.open(name, flag)
	benchMust(b, err)
	b.Cleanup(func() { h.Close() })
	benchWarm(b, h, size)
	return h
}

// benchWarm maps r, if it is a Region, and reads its first size bytes.
func benchWarm(b *testing.B, r io.ReaderAt, size int64) {
	b.Helper()
	if r, ok := r.(*mmap.Region); ok {
		benchMust(b, r.View(0, 1, func([]byte) error { return nil }))
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.NewSectionReader(r, 0, size), make([]byte, miB))
	benchMust(b, err)
}

// benchWalk yields offsets for reads of size bytes, one after the other, inside the
// first limit bytes.
type benchWalk struct{ off, size, limit int64 }

func (w *benchWalk) next() int64 {
	off := w.off
	w.off += w.size
	if w.off > w.limit-w.size {
		w.off = 0
	}
	return off
}

// benchWindow is the number of bytes that reads of size bytes go round in: few
// enough for the processor's cache while size allows it.
func benchWindow(size int64) int64 { return max(256*kiB, 4*size) }

// BenchmarkReadAt reads mapped pages with one goroutine (P1, P3). The three
// loops are written out because a call through an interface costs a fifth of
// what is measured.
func BenchmarkReadAt(b *testing.B) {
	sizes := []int64{8, 64, 512, 4 * kiB, 64 * kiB, 256 * kiB, miB, 16 * miB}
	name := benchFile(b, benchWindow(sizes[len(sizes)-1]))
	for _, size := range sizes {
		w := benchWindow(size)
		for _, impl := range []string{"osfile", "region", "xexp"} {
			b.Run(fmt.Sprintf("impl=%s/size=%d", impl, size), func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				p := make([]byte, size)
				benchReadAt(b, impl, name, p, &benchWalk{0, size, w})
				benchSink += uint64(p[0])
			})
		}
	}
}

// benchReadAt is the body of BenchmarkReadAt.
func benchReadAt(b *testing.B, impl, name string, p []byte, at *benchWalk) {
	switch impl {
	case "osfile":
		f, err := os.Open(name)
		benchMust(b, err)
		defer f.Close()
		benchWarm(b, f, at.limit)
		for b.Loop() {
			if n, err := f.ReadAt(p, at.next()); n != len(p) {
				b.Fatal(n, err)
			}
		}
	case "region":
		r, err := mmap.Open(name)
		benchMust(b, err)
		defer r.Close()
		benchWarm(b, r, at.limit)
		for b.Loop() {
			if n, err := r.ReadAt(p, at.next()); n != len(p) {
				b.Fatal(n, err)
			}
		}
	case "xexp":
		r, err := exp.Open(name)
		benchMust(b, err)
		defer r.Close()
		benchWarm(b, r, at.limit)
		for b.Loop() {
			if n, err := r.ReadAt(p, at.next()); n != len(p) {
				b.Fatal(n, err)
			}
		}
	}
}

// BenchmarkReadAtParallel reads mapped pages with one goroutine and with one
// for each processor (P2). An operation is one call by anyone, so ns/op falls
// as throughput grows.
func BenchmarkReadAtParallel(b *testing.B) {
	name := benchFile(b, miB)
	for _, size := range []int64{64, 4 * kiB} {
		for _, impl := range []string{"osfile", "region", "xexp"} {
			for _, par := range []int{1, runtime.GOMAXPROCS(0)} {
				b.Run(fmt.Sprintf("impl=%s/size=%d/par=%d", impl, size, par), func(b *testing.B) {
					b.SetBytes(size)
					b.ReportAllocs()
					r := benchOpenReader(b, impl, name)
					defer r.Close()
					benchWarm(b, r, miB)
					benchShare(b, par, func(n int) { benchReadMany(b, r, n, size) })
				})
			}
		}
	}
}

// benchShare runs work on par goroutines that divide b.N among them.
func benchShare(b *testing.B, par int, work func(n int)) {
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range par {
		wg.Go(func() { work((b.N + i) / par) })
	}
	wg.Wait()
}

// benchReadMany reads n times, size bytes each.
func benchReadMany(b *testing.B, r io.ReaderAt, n int, size int64) {
	p := make([]byte, size)
	at := &benchWalk{0, size, benchWindow(size)}
	for range n {
		if got, err := r.ReadAt(p, at.next()); got != len(p) {
			b.Error(got, err)
			return
		}
	}
}

// BenchmarkAt reads single mapped bytes.
func BenchmarkAt(b *testing.B) {
	name := benchFile(b, benchWindow(1))
	b.Run("impl=region", func(b *testing.B) {
		b.ReportAllocs()
		r, err := mmap.Open(name)
		benchMust(b, err)
		defer r.Close()
		benchWarm(b, r, benchWindow(1))
		for i := 0; b.Loop(); i++ {
			benchSink += uint64(r.At(i & 0xffff))
		}
	})
	b.Run("impl=xexp", func(b *testing.B) {
		b.ReportAllocs()
		r, err := exp.Open(name)
		benchMust(b, err)
		defer r.Close()
		for i := 0; b.Loop(); i++ {
			benchSink += uint64(r.At(i & 0xffff))
		}
	})
}

// BenchmarkRead reads a mapped file from its beginning to its end with Read,
// again and again.
func BenchmarkRead(b *testing.B) {
	const length = 16 * miB
	name := benchFile(b, length)
	for _, size := range []int64{64, 4 * kiB, 64 * kiB, miB} {
		for _, o := range benchImpls {
			b.Run(fmt.Sprintf("impl=%s/size=%d", o.impl, size), func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				h := benchOpen(b, o, name, os.O_RDONLY, length)
				p := make([]byte, size)
				for b.Loop() {
					if n, _ := h.Read(p); n == 0 {
						_, err := h.Seek(0, io.SeekStart)
						benchMust(b, err)
					}
				}
			})
		}
	}
}

// benchSum adds up b as little-endian words, at about the speed of memory.
func benchSum(p []byte) (s uint64) {
	var s1, s2, s3 uint64
	for ; len(p) >= 32; p = p[32:] {
		s += binary.LittleEndian.Uint64(p)
		s1 += binary.LittleEndian.Uint64(p[8:])
		s2 += binary.LittleEndian.Uint64(p[16:])
		s3 += binary.LittleEndian.Uint64(p[24:])
	}
	for _, c := range p {
		s += uint64(c)
	}
	return s + s1 + s2 + s3
}

// BenchmarkView sums mapped bytes in place (P4): 1 GiB, 64 MiB with -short,
// and 4 KiB and 2 MiB for the price of the call on either side of the length up to
// which View brings its pages in first. Beside it are the slice of Bytes, and
// an os.File read through a buffer of 1 MiB.
func BenchmarkView(b *testing.B) {
	big := int64(giB)
	if testing.Short() {
		big = 64 * miB
	}
	name := benchHole(b, big)
	for _, size := range []int64{4 * kiB, 2 * miB, big} {
		for _, impl := range []string{"osfile", "region", "slice"} {
			b.Run(fmt.Sprintf("impl=%s/size=%d", impl, size), func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				benchView(b, impl, name, size)
			})
		}
	}
}

// benchView is the body of BenchmarkView.
func benchView(b *testing.B, impl, name string, size int64) {
	if impl == "osfile" {
		h := benchOpen(b, benchOSFile, name, os.O_RDONLY, size)
		p := make([]byte, min(size, miB))
		for b.Loop() {
			for off := int64(0); off < size; off += int64(len(p)) {
				_, err := h.ReadAt(p, off)
				benchMust(b, err)
				benchSink += benchSum(p)
			}
		}
		return
	}
	r := benchOpen(b, benchRegion, name, os.O_RDONLY, size).(*mmap.Region)
	if impl == "slice" {
		p := r.Bytes()[:size]
		for b.Loop() {
			benchSink += benchSum(p)
		}
		return
	}
	add := func(p []byte) error { benchSink += benchSum(p); return nil }
	for b.Loop() {
		benchMust(b, r.View(0, size, add))
	}
}

// BenchmarkCopy hands 16 MiB on with io.Copy: to another file, for which the
// kernel copies, and to a plain writer. Before each copy the cursor goes back
// to the beginning; the Region is mapped.
func BenchmarkCopy(b *testing.B) {
	const length = 16 * miB
	name := benchFile(b, length)
	for _, to := range []string{"file", "writer"} {
		for _, o := range benchImpls {
			b.Run(fmt.Sprintf("impl=%s/to=%s", o.impl, to), func(b *testing.B) {
				b.SetBytes(length)
				b.ReportAllocs()
				h := benchOpen(b, o, name, os.O_RDONLY, length)
				out, err := os.Create(filepath.Join(b.TempDir(), "copy"))
				benchMust(b, err)
				defer out.Close()
				var w io.Writer = out
				if to == "writer" {
					w = struct{ io.Writer }{io.Discard}
				}
				for b.Loop() {
					_, err := h.Seek(0, io.SeekStart)
					benchMust(b, err)
					_, err = out.Seek(0, io.SeekStart)
					benchMust(b, err)
					_, err = io.Copy(w, h)
					benchMust(b, err)
				}
			})
		}
	}
}

// BenchmarkOpen opens a file and closes it again. With do=nothing nobody reads
// (P12), do=read4k reads 4 KiB once (P11), do=map has the Region map the file,
// which x/exp always does (P12, the dear case).
func BenchmarkOpen(b *testing.B) {
	names := map[int64]string{4 * kiB: benchFile(b, 4*kiB), giB: benchHole(b, giB)}
	for _, c := range []struct {
		do   string
		size int64
	}{{"nothing", giB}, {"map", giB}, {"read4k", 4 * kiB}} {
		for _, impl := range []string{"osfile", "region", "xexp"} {
			b.Run(fmt.Sprintf("impl=%s/do=%s/size=%d", impl, c.do, c.size), func(b *testing.B) {
				b.ReportAllocs()
				p := make([]byte, 4*kiB)
				for b.Loop() {
					benchOpenClose(b, impl, names[c.size], c.do, p)
				}
			})
		}
	}
}

// benchOpenClose is one operation of BenchmarkOpen.
func benchOpenClose(b *testing.B, impl, name, do string, p []byte) {
	h := benchOpenReader(b, impl, name)
	var err error
	switch r, ok := h.(*mmap.Region); {
	case do == "read4k":
		_, err = h.ReadAt(p, 0)
	case do == "map" && ok:
		err = r.View(0, mmap.ToEnd, func([]byte) error { return nil })
	}
	benchMust(b, err)
	benchMust(b, h.Close())
}

// BenchmarkWriteAt writes at random places of a mapped file (P13, and P14's
// second pass). When the clock starts each page was written twice, so that it
// is dirty and a Region knows it for writable; the system may write pages back
// meanwhile, and a Region looks again from time to time.
func BenchmarkWriteAt(b *testing.B) {
	for _, c := range []struct{ size, length int64 }{{8, 256 * miB}, {4 * kiB, 64 * miB}, {miB, 64 * miB}} {
		name := benchFile(b, c.length)
		for _, o := range benchImpls {
			b.Run(fmt.Sprintf("impl=%s/size=%d", o.impl, c.size), func(b *testing.B) {
				b.SetBytes(c.size)
				b.ReportAllocs()
				h := benchOpen(b, o, name, os.O_RDWR, c.length)
				p := make([]byte, c.size)
				for off := range 2 * c.length / (4 * kiB) {
					_, err := h.WriteAt(p[:min(c.size, 4*kiB)], off*4*kiB%c.length)
					benchMust(b, err)
				}
				rnd := rand.New(rand.NewPCG(1, 2))
				for b.Loop() {
					if n, err := h.WriteAt(p, rnd.Int64N(c.length/c.size)*c.size); n != len(p) {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}

// BenchmarkWriteAtFirst writes 8 bytes into each page of a mapped file whose
// pages are all clean, in random order (P13, first touches). The clock stands
// while they are made clean again. A multiple of the number of pages
// (-benchtime 16384x) weighs all rounds alike.
func BenchmarkWriteAtFirst(b *testing.B) {
	const length, page = 64 * miB, 4 * kiB
	name := benchFile(b, length)
	order := rand.New(rand.NewPCG(3, 4)).Perm(length / page)
	for _, o := range benchImpls {
		b.Run(fmt.Sprintf("impl=%s/size=8", o.impl), func(b *testing.B) {
			b.ReportAllocs()
			h := benchOpen(b, o, name, os.O_RDWR, length)
			p := make([]byte, 8)
			benchMust(b, h.Sync())
			for i := 0; b.Loop(); i++ {
				if i == len(order) {
					b.StopTimer()
					benchMust(b, h.Sync())
					i = 0
					b.StartTimer()
				}
				_, err := h.WriteAt(p, int64(order[i])*page)
				benchMust(b, err)
			}
		})
	}
}

// BenchmarkWriteNew writes a new file with Write (P15): 64 MiB in pieces of
// 1 MiB and of 4 KiB, and 8 MiB in records of 100 bytes, which end=cursor
// leaves to the cursor and end=append to O_APPEND. Creating and closing count;
// removing does not.
func BenchmarkWriteNew(b *testing.B) {
	for _, c := range []struct {
		size, length int64
		end          string
		flag         int
	}{{miB, 64 * miB, "cursor", 0}, {4 * kiB, 64 * miB, "cursor", 0}, {100, 8 * miB, "cursor", 0}, {100, 8 * miB, "append", os.O_APPEND}} {
		for _, o := range benchImpls {
			b.Run(fmt.Sprintf("impl=%s/size=%d/end=%s", o.impl, c.size, c.end), func(b *testing.B) {
				b.SetBytes(c.length)
				b.ReportAllocs()
				name := filepath.Join(b.TempDir(), "new")
				p := make([]byte, c.size)
				for b.Loop() {
					h, err := o.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|c.flag)
					benchMust(b, err)
					for n := int64(0); n < c.length; n += c.size {
						_, err := h.Write(p)
						benchMust(b, err)
					}
					benchMust(b, h.Close())
					b.StopTimer()
					benchMust(b, os.Remove(name))
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkFlush makes 1, 16 and 256 dirty pages of a mapped file durable
// (P16): Region.Flush, with Region.Sync and os.File.Sync beside it. Every way
// has a file of its own: two that dirty the same pages in turn hit the same
// blocks of the disk, and the second pays for it. The clock stands while the
// pages are made dirty.
func BenchmarkFlush(b *testing.B) {
	const length, page = 256 * miB, 4 * kiB
	for _, impl := range []string{"osfile", "region", "regionsync"} {
		o := benchOSFile
		if impl != "osfile" {
			o = benchRegion
		}
		name := benchFile(b, length)
		for _, pages := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("impl=%s/pages=%d", impl, pages), func(b *testing.B) {
				b.ReportAllocs()
				h := benchOpen(b, o, name, os.O_RDWR, length)
				flush := h.Sync
				if impl == "region" {
					flush = h.(*mmap.Region).Flush
				}
				rnd := rand.New(rand.NewPCG(5, 6))
				for b.Loop() {
					b.StopTimer()
					for range pages {
						_, err := h.WriteAt([]byte("modified"), rnd.Int64N(length/page)*page)
						benchMust(b, err)
					}
					b.StartTimer()
					benchMust(b, flush())
				}
			})
		}
	}
}

// BenchmarkGC times a garbage collection while another goroutine reads 1 GiB
// (64 MiB with -short) of a mapped file in single calls of ReadAt (P23): what
// cannot be interrupted, the collector waits for. impl=none is a collection
// with nobody reading.
func BenchmarkGC(b *testing.B) {
	size := int64(giB)
	if testing.Short() {
		size = 64 * miB
	}
	name := benchHole(b, size)
	buf := make([]byte, size)
	b.Run("impl=none", func(b *testing.B) {
		for b.Loop() {
			runtime.GC()
		}
	})
	for _, o := range benchImpls {
		b.Run(fmt.Sprintf("impl=%s/size=%d", o.impl, size), func(b *testing.B) {
			h := benchOpen(b, o, name, os.O_RDONLY, size)
			_, err := h.ReadAt(buf, 0) // the buffer's pages too
			benchMust(b, err)
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						h.ReadAt(buf, 0)
					}
				}
			}()
			for b.Loop() {
				runtime.GC()
			}
			close(stop)
			<-done
		})
	}
}

// BenchmarkCall calls each method that promises not to allocate (P21), on a
// mapped Region: the column to look at is allocs/op.
func BenchmarkCall(b *testing.B) {
	const length = miB
	name := benchFile(b, length)
	p := make([]byte, 64)
	nothing := func([]byte) error { return nil }
	for _, c := range []struct {
		op   string
		call func(r *mmap.Region) error
	}{
		{"ReadAt", func(r *mmap.Region) error { _, err := r.ReadAt(p, 4000); return err }},
		{"Read+Seek", func(r *mmap.Region) error { r.Seek(0, io.SeekStart); _, err := r.Read(p); return err }},
		{"ReadByte+Seek", func(r *mmap.Region) error { r.Seek(0, io.SeekStart); _, err := r.ReadByte(); return err }},
		{"SeekEnd", func(r *mmap.Region) error { _, err := r.Seek(-1, io.SeekEnd); return err }},
		{"WriteAt", func(r *mmap.Region) error { _, err := r.WriteAt(p, 4000); return err }},
		{"Write+Seek", func(r *mmap.Region) error { r.Seek(0, io.SeekStart); _, err := r.Write(p); return err }},
		{"WriteByte+Seek", func(r *mmap.Region) error { r.Seek(0, io.SeekStart); return r.WriteByte(1) }},
		{"WriteString+Seek", func(r *mmap.Region) error {
			r.Seek(0, io.SeekStart)
			_, err := r.WriteString("modified")
			return err
		}},
		{"At", func(r *mmap.Region) error { benchSink += uint64(r.At(4000)); return nil }},
		{"View", func(r *mmap.Region) error { return r.View(4000, 64, nothing) }},
		{"Flush", func(r *mmap.Region) error { return r.Flush() }},
		{"FlushRange", func(r *mmap.Region) error { return r.FlushRange(0, 4*kiB) }},
		{"FlushAsync", func(r *mmap.Region) error { return r.FlushAsync(0, 4*kiB) }},
		{"Sync", func(r *mmap.Region) error { return r.Sync() }},
	} {
		b.Run("op="+c.op, func(b *testing.B) {
			b.ReportAllocs()
			r := benchOpen(b, benchRegion, name, os.O_RDWR, length).(*mmap.Region)
			for b.Loop() {
				benchMust(b, c.call(r))
			}
		})
	}
}
