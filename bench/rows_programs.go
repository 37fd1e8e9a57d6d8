//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"

	edsrzfmmap "github.com/edsrzf/mmap-go"
	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/bench/programs"
	expmmap "golang.org/x/exp/mmap"
	"golang.org/x/sys/unix"
)

// P30 are real programs, in the package of that name. Each plays with os.File,
// x/exp/mmap, edsrzf/mmap-go and Region, by the same code. A Region is to be no
// more than a twentieth behind the best of the others, whichever that is.

// bestOther is that one, round by round.
const bestOther = "best of the others"

// fileStore is an os.File.
type fileStore struct {
	*os.File
	size int64
}

func (f fileStore) Size() int64  { return f.size }
func (f fileStore) Flush() error { return unix.Fdatasync(int(f.Fd())) }

// expSource is a ReaderAt of x/exp/mmap.
type expSource struct{ *expmmap.ReaderAt }

func (e expSource) Size() int64 { return int64(e.Len()) }

// mapStore is a map of edsrzf/mmap-go, which shows its bytes unguarded.
type mapStore struct{ *edsrzfMap }

func (m mapStore) Size() int64  { return int64(len(m.m)) }
func (m mapStore) Flush() error { return m.m.Flush() }
func (m mapStore) View(off, n int64, fn func([]byte) error) error {
	return fn(m.m[off : off+n : off+n])
}

// way is a way of opening a file for the programs.
type way struct {
	name  string
	open  func(name string) programs.Source
	store func(name string) programs.Store // nil: files cannot be written so
}

var ways = []way{
	{osFile, func(name string) programs.Source { return openStore(name, os.O_RDONLY) },
		func(name string) programs.Store { return openStore(name, os.O_RDWR) }},
	{xExp, func(name string) programs.Source { return expSource{must1(expmmap.Open(name))} }, nil},
	{edsrzf, func(name string) programs.Source { return mapStore{mapEdsrzf(name, edsrzfmmap.RDONLY)} },
		func(name string) programs.Store { return mapStore{mapEdsrzf(name, edsrzfmmap.RDWR)} }},
	{region, func(name string) programs.Source { return must1(mmap.Open(name)) },
		func(name string) programs.Store { return must1(mmap.OpenFile(name, os.O_RDWR, 0, nil)) }},
}

// openStore opens an os.File.
func openStore(name string, flag int) programs.Store {
	f := must1(os.OpenFile(name, flag, 0))
	return fileStore{f, must1(f.Stat()).Size()}
}

// wayOf finds a way by its name.
func wayOf(name string) way {
	return ways[slices.IndexFunc(ways, func(w way) bool { return w.name == name })]
}

// made returns the name of a file that make wrote once.
func (l *lab) made(key string, make func(w io.Writer) error) string {
	if name, ok := l.files[key]; ok {
		return name
	}
	name := l.path(key)
	f := must1(os.Create(name))
	defer f.Close()
	w := bufio.NewWriterSize(f, miB)
	must(make(w))
	must(w.Flush())
	must(f.Sync())
	l.files[key] = name
	l.programFiles = append(l.programFiles, key)
	return name
}

// unmake removes the files that programs made, so that all of them need no more
// disk than the largest.
func (l *lab) unmake() {
	for _, key := range l.programFiles {
		os.Remove(l.files[key])
		delete(l.files, key)
	}
	l.programFiles = nil
}

// program reports a program's figure, with the claims that all have.
func program(workload, unit string, entrants []entrant, got figures, report func(cell)) {
	c := cell{id: "P30", workload: workload, unit: unit, order: names(entrants), figures: got}
	got[bestOther] = got.best(!c.small(), osFile, xExp, edsrzf)
	c.claims = []claim{atLeast(region, bestOther, 0.95)}
	if c.small() {
		c.claims = []claim{asFast(region, bestOther, 0.95)}
	}
	c.claims = append(c.claims, inform(region, osFile))
	if c.small() {
		c.claims[1] = claim{num: osFile, den: region}
	}
	report(c)
}

// sources lets the program run play with each way of reading, the file being
// hot or cold. run returns its figures; unit and workload are of the first.
func (l *lab) sources(workload, unit, name string, cold bool, rounds int, run func(s programs.Source) float64, report func(cell), extra ...entrant) {
	var entrants []entrant
	for _, w := range ways {
		entrants = append(entrants, one(w.name, func() float64 {
			if cold {
				l.cold(name)
			}
			s := w.open(name)
			defer s.Close()
			return run(s)
		}))
	}
	if !cold {
		warm(name)
	}
	entrants = append(entrants, extra...)
	got := play(rounds, entrants...)
	if cold {
		workload += ", cold"
	} else {
		workload += ", hot"
	}
	program(workload, unit, entrants, got[0], report)
}

// timed returns how many ms fn takes.
func timed(fn func() error) float64 {
	begin := time.Now()
	must(fn())
	return ms(time.Since(begin))
}

// same fails the row if a program has another result than it must have.
func same[T comparable](got, want T) {
	if got != want {
		panic(failure{fmt.Errorf("the result is %v, not %v", got, want)})
	}
}

// rowPrograms is P30.
func rowPrograms(l *lab, report func(cell)) {
	for _, run := range []func(*lab, func(cell)){
		programZip, programSearch, programLookups, programParquet, programArrow,
		programTree, programVectors, programSort, programServe,
	} {
		cells := l.runRow(row{ids: []string{"P30"}, workload: "a program", run: run})
		l.unmake()
		for _, c := range cells {
			report(c)
		}
	}
}

// programZip reads all members of an archive in parallel.
func programZip(l *lab, report func(cell)) {
	size := pick[int64](l, giB, 24*miB)
	name := l.made("zip", func(w io.Writer) error { return programs.MakeZip(w, size) })
	l.sources("all members of a zip of "+sizeName(size)+" in parallel", "ms", name, false, pick(l, 5, 1),
		func(s programs.Source) float64 {
			return timed(func() error { _, err := programs.Unzip(s, 2*runtime.GOMAXPROCS(0)); return err })
		}, report)
}

// programSearch looks for a word, beside grep.
func programSearch(l *lab, report func(cell)) {
	size := pick[int64](l, giB, 128*miB)
	want := 0
	name := l.made("text", func(w io.Writer) (err error) { want, err = programs.MakeText(w, size); return err })
	grep := one("grep", func() float64 {
		return timed(func() error {
			cmd := exec.Command("grep", "-F", "-c", "-a", "-e", programs.Word, name)
			cmd.Env = append(os.Environ(), "LC_ALL=C")
			out, err := cmd.Output()
			if err == nil {
				same(must1(strconv.Atoi(string(bytes.TrimSpace(out)))), want) // the word ends its line
			}
			return err
		})
	})
	for _, cold := range []bool{false, true} {
		g := grep
		if cold {
			g = one("grep", func() float64 { l.cold(name); return grep.run()[0] })
		}
		l.sources("a word in "+sizeName(size)+" of text", "ms", name, cold, pick(l, 7, 1),
			func(s programs.Source) float64 {
				return timed(func() error {
					got, err := programs.Search(s, programs.Word)
					same(got, want)
					return err
				})
			}, report, g)
	}
}

// lookup is a job: point lookups in a table larger than memory.
type lookup struct {
	Way, File string
	Size      int64
	Time      time.Duration
	Seed      uint64
}

// run is the job. Its figure is thousand lookups a second.
func (j lookup) run() []float64 {
	t := programs.NewTable(j.Size)
	s := wayOf(j.Way).open(j.File)
	defer s.Close()
	begin := time.Now()
	n := must1(t.Lookups(s, 64, 1<<30, j.Seed, func() bool { return time.Since(begin) > j.Time }))
	return []float64{perSecond(time.Since(begin), int(n)) / 1000}
}

// programLookups is 64 goroutines at a sorted table: hot, cold, and larger than
// the memory there is.
func programLookups(l *lab, report func(cell)) {
	size := pick[int64](l, giB, 128*miB)
	name := l.made("table", func(w io.Writer) error { return programs.MakeTable(w, size) })
	t := programs.NewTable(size)
	run := func(calls int) func(s programs.Source) float64 {
		return func(s programs.Source) float64 {
			l.seed++
			begin := time.Now()
			n := must1(t.Lookups(s, 64, calls, l.seed, nil))
			return perSecond(time.Since(begin), int(n)) / 1000
		}
	}
	words := "64 goroutines of point lookups in a table of " + sizeName(size)
	l.sources(words, "k/s", name, false, pick(l, 5, 1), run(pick(l, 3_000_000, 300_000)), report)
	l.sources(words, "k/s", name, true, pick(l, 5, 1), run(pick(l, 20_000, 2_000)), report)

	allowed := pick[int64](l, 350*miB, 48*miB)
	group := l.memoryGroup(allowed)
	defer group.remove()
	var entrants []entrant
	for _, w := range ways {
		entrants = append(entrants, entrant{w.name, func() []float64 {
			l.cold(name)
			l.seed++
			return l.runJob(group, "lookup", lookup{w.name, name, size, pick(l, 5*time.Second, time.Second), l.seed})
		}})
	}
	got := play(pick(l, 5, 1), entrants...)
	program(words+", with "+sizeName(allowed)+" of memory", "k/s", entrants, got[0], report)
}

// programParquet scans a column.
func programParquet(l *lab, report func(cell)) {
	rows := pick(l, 4_000_000, 400_000)
	var want float64
	name := l.made("parquet", func(w io.Writer) (err error) { want, err = programs.MakeParquet(w, rows); return err })
	for _, cold := range []bool{false, true} {
		l.sources(fmt.Sprintf("a column of a Parquet file of %d rows", rows), "ms", name, cold, pick(l, 7, 1),
			func(s programs.Source) float64 {
				return timed(func() error {
					got, err := programs.ScanParquet(s, runtime.GOMAXPROCS(0))
					same(got, want)
					return err
				})
			}, report)
	}
}

// programArrow scans a column of an Arrow file, in place where that can be.
func programArrow(l *lab, report func(cell)) {
	rows := pick(l, 16_000_000, 2_000_000)
	var want float64
	name := l.made("arrow", func(w io.Writer) (err error) { want, err = programs.MakeArrow(w, rows); return err })
	for _, cold := range []bool{false, true} {
		l.sources(fmt.Sprintf("a column of an Arrow file of %d rows", rows), "ms", name, cold, pick(l, 7, 1),
			func(s programs.Source) float64 {
				return timed(func() error {
					got, err := programs.ScanArrow(s)
					same(got, want)
					return err
				})
			}, report)
	}
}

// programTree gets values from a tree of pages, and commits changes to it.
func programTree(l *lab, report func(cell)) {
	inner := pick[int64](l, 256, 32)
	size := programs.TreeSize(inner)
	name := l.made("tree", func(w io.Writer) error { return programs.MakeTree(w, inner) })
	warm(name)
	gets, commits := pick(l, 1_000_000, 100_000), pick(l, 1000, 50)
	var entrants []entrant
	for _, w := range ways {
		if w.store == nil {
			continue
		}
		entrants = append(entrants, entrant{w.name, func() []float64 {
			syncFile(name)
			s := w.store(name)
			defer s.Close()
			t := programs.OpenTree(s)
			l.seed++
			begin := time.Now()
			must(t.Lookups(16, gets, l.seed))
			read := time.Since(begin)
			begin = time.Now()
			must(t.Commits(commits, l.seed))
			return []float64{perSecond(read, gets) / 1000, perSecond(time.Since(begin), commits)}
		}})
	}
	got := play(pick(l, 5, 1), entrants...)
	words := fmt.Sprintf("a tree of pages, %s: ", sizeName(size))
	program(words+"16 goroutines get values", "k/s", entrants, got[0], report)
	program(words+"commits of 8 changes", "/s", entrants, got[1], report)
}

// programVectors finds the vector that is nearest, the first time and again.
func programVectors(l *lab, report func(cell)) {
	size := pick[int64](l, 500*miB, 64*miB)
	name := l.made("vectors", func(w io.Writer) error { return programs.MakeVectors(w, size) })
	q := make([]float32, programs.Dim)
	for i := range q {
		q[i] = float32(i%7) - 3
	}
	for _, cold := range []bool{false, true} {
		var entrants []entrant
		for _, w := range ways {
			entrants = append(entrants, entrant{w.name, func() []float64 {
				runtime.GC() // of what the last one had loaded
				if cold {
					l.cold(name)
				}
				begin := time.Now()
				s := w.open(name)
				defer s.Close()
				v := must1(programs.OpenVectors(s))
				first, _, err := v.Best(q)
				must(err)
				opened := ms(time.Since(begin))
				begin = time.Now()
				for range 4 {
					again, _, err := v.Best(q)
					must(err)
					same(again, first)
				}
				return []float64{opened, ms(time.Since(begin)) / 4}
			}})
		}
		if !cold {
			warm(name)
		}
		got := play(pick(l, 5, 1), entrants...)
		state := map[bool]string{false: "hot", true: "cold"}[cold]
		words := "the nearest vector in " + sizeName(size) + ", " + state
		program(words+", from opening to the first answer", "ms", entrants, got[0], report)
		if !cold {
			program(words+", each answer after that", "ms", entrants, got[1], report)
		}
	}
}

// sortJob is a job: an external sort with bounded memory.
type sortJob struct {
	Way, File, Dir string
	Memory         int64
}

// run is the job. Its figure is ms.
func (j sortJob) run() []float64 {
	w := wayOf(j.Way)
	var names []string
	defer func() {
		for _, name := range names {
			os.Remove(name)
		}
	}()
	return []float64{timed(func() error {
		in := w.open(j.File)
		defer in.Close()
		return programs.Sort(in, j.Memory, func(n int, size int64) (programs.Store, error) {
			name := fmt.Sprintf("%s/sorted%d", j.Dir, n)
			names = append(names, name)
			f, err := os.Create(name)
			if err == nil && w.name == edsrzf { // what is mapped must be there
				err = f.Truncate(size)
			}
			if err != nil {
				return nil, err
			}
			must(f.Close())
			s := w.store(name)
			if fs, ok := s.(fileStore); ok {
				fs.size = size
				return fs, nil
			}
			return s, nil
		})
	})}
}

// programSort sorts a file that is larger than the memory it may use. x/exp/mmap
// cannot write files.
func programSort(l *lab, report func(cell)) {
	size, allowed := pick[int64](l, giB, 64*miB), pick[int64](l, 256*miB, 48*miB)
	name := l.made("records", func(w io.Writer) error { return programs.MakeRecords(w, size) })
	group := l.memoryGroup(allowed)
	defer group.remove()
	var entrants []entrant
	for _, w := range ways {
		if w.store == nil {
			continue
		}
		entrants = append(entrants, entrant{w.name, func() []float64 {
			l.cold(name)
			return l.runJob(group, "sort", sortJob{w.name, name, l.dir, allowed / 4})
		}})
	}
	got := play(pick(l, 3, 1), entrants...)
	program("external sort of "+sizeName(size)+" with "+sizeName(allowed)+" of memory", "ms", entrants, got[0], report)
}

// sourceFS is a directory whose files are opened in one of the ways that have no
// file system of their own.
type sourceFS struct {
	fs.FS
	dir  string
	open func(name string) programs.Source
}

// Open opens a file.
func (f sourceFS) Open(name string) (fs.File, error) {
	plain, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := plain.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return plain, err
	}
	plain.Close()
	s := f.open(f.dir + "/" + name)
	return &sourceFile{io.NewSectionReader(s, 0, s.Size()), s, info}, nil
}

// sourceFile is such a file.
type sourceFile struct {
	*io.SectionReader
	io.Closer
	info fs.FileInfo
}

func (f *sourceFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// programServe is a server of static files under load.
func programServe(l *lab, report func(cell)) {
	dir := l.path("site")
	must(os.Mkdir(dir, 0o755))
	files, sizes, err := programs.MakeSite(dir, 500)
	must(err)
	calls := pick(l, 20_000, 2_000)
	run := func(files []string, files2 fs.FS) func() float64 {
		return func() float64 {
			s := must1(programs.Serve(files2))
			defer s.Close()
			l.seed++
			begin := time.Now()
			must(s.Fetch(files, sizes, 32, calls, l.seed))
			return perSecond(time.Since(begin), calls)
		}
	}
	plain := os.DirFS(dir)
	entrants := []entrant{
		one(osFile, run(files, plain)),
		one(xExp, run(files, sourceFS{plain, dir, wayOf(xExp).open})),
		one(edsrzf, run(files, sourceFS{plain, dir, wayOf(edsrzf).open})),
		one(region, run(files, mmap.DirFS(dir))),
	}
	got := play(pick(l, 7, 1), entrants...)
	program("a server of static files of 1 KiB to 1 MiB, 32 clients", "/s", entrants, got[0], report)
}
