package mmap_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/difftest"
	"github.com/seed-93fed273/mmap/internal/sys"
)

var (
	matrixAll   = flag.Bool("matrix.all", false, "TestMatrix: every pair on every kind of file, and not on one of them")
	matrixCalls = flag.Int("matrix.calls", 12, "TestMatrix: how many calls each play makes")
	matrixSeed  = flag.Uint64("matrix.seed", 1, "TestMatrix: the first seed")
)

// matrixOptions are the settings of which every pair is tried. The file has
// matrixSize bytes.
var matrixOptions = []struct {
	name string
	set  func(o *mmap.Options)
}{
	{"none", func(*mmap.Options) {}},
	{"Offset", func(o *mmap.Options) { o.Offset = 100 }},
	{"Offset at a page", func(o *mmap.Options) { o.Offset = 2 * mmap.Granularity() }},
	{"Length", func(o *mmap.Options) { o.Length = mmap.PageSize() }},
	{"Length past the end", func(o *mmap.Options) { o.Length = matrixSize + 5000 }},
	{"ProtRead", func(o *mmap.Options) { o.Prot = mmap.ProtRead }},
	{"ProtRead|ProtWrite", func(o *mmap.Options) { o.Prot = mmap.ProtRead | mmap.ProtWrite }},
	{"Private", func(o *mmap.Options) { o.Private = true }},
	{"Addr", func(o *mmap.Options) { o.Addr = 0x3000_0000 }},
	{"Populate", func(o *mmap.Options) { o.Populate = true }},
	{"Lock", func(o *mmap.Options) { o.Lock = true }},
	{"HugePages", func(o *mmap.Options) { o.HugePages = true }},
	{"NoReserve", func(o *mmap.Options) { o.NoReserve = true }},
	{"MapSync", func(o *mmap.Options) { o.MapSync = true }},
	{"Share", func(o *mmap.Options) { o.Share = true }},
	{"AccessMemory", func(o *mmap.Options) { o.Access = mmap.AccessMemory }},
	{"AccessDescriptor", func(o *mmap.Options) { o.Access = mmap.AccessDescriptor }},
}

// matrixSize is the size of a file that is not empty.
const matrixSize = 30_000

// matrixFlags are what every pair of options is opened with. Says is how an
// error names the flag; any of several will do.
var matrixFlags = []struct {
	flag int
	says string
}{
	{os.O_RDWR, ""}, {os.O_RDONLY, "O_RDONLY"}, {os.O_WRONLY, "O_WRONLY"},
	{os.O_RDWR | os.O_APPEND, "O_APPEND"}, {os.O_WRONLY | os.O_APPEND, "O_WRONLY O_APPEND"}, {os.O_RDONLY | os.O_APPEND, "O_RDONLY O_APPEND"},
	{os.O_RDWR | os.O_SYNC, "O_SYNC"}, {os.O_RDWR | sys.DataSync, "O_DSYNC"}, {os.O_RDONLY | os.O_SYNC, "O_RDONLY O_SYNC"},
	{os.O_RDWR | sys.Direct, "O_DIRECT"}, {os.O_RDONLY | sys.Direct, "O_RDONLY O_DIRECT"}, {os.O_WRONLY | sys.Direct, "O_WRONLY O_DIRECT"},
	{os.O_RDWR | os.O_TRUNC, "O_TRUNC"}, {os.O_WRONLY | os.O_TRUNC, "O_WRONLY O_TRUNC"},
	{os.O_RDWR | os.O_CREATE | os.O_EXCL, "O_EXCL"}, {os.O_WRONLY | os.O_CREATE | os.O_EXCL, "O_WRONLY"},
}

// matrixKind is a kind of file, and a way to it.
type matrixKind struct {
	name string
	dir  string // where its files are; "" for the test's own directory
	difftest.Setup
}

// matrixKinds returns the kinds that need no special rights. Devices, pipes
// and what the kernel makes up have tests of their own: TestMatrixDevices.
func matrixKinds() (kinds []matrixKind) {
	for _, byMap := range []bool{false, true} {
		kinds = append(kinds,
			matrixKind{"regular", "", difftest.Setup{Map: byMap, Size: matrixSize}},
			matrixKind{"empty", "", difftest.Setup{Map: byMap}})
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			kinds = append(kinds, matrixKind{"tmpfs", "/dev/shm", difftest.Setup{Map: byMap, Size: matrixSize}})
		}
		if f, err := sys.NewMemFile("probe", 1); err == nil {
			f.Close()
			if _, err := os.Stat("/proc/self/fd"); err == nil {
				kinds = append(kinds, matrixKind{"memfd", "", difftest.Setup{Map: byMap, Memory: true, Size: matrixSize}})
			}
		}
	}
	return kinds
}

// TestMatrix: every pair of options, with every flag of opening, on every kind
// of file, either plays random calls as the oracle does, or is refused at opening with an
// error that names what does not go together. It prints how many there were.
func TestMatrix(t *testing.T) {
	needsMemory(t)
	m := &matrix{t: t, labs: map[string]*difftest.Lab{}}
	kinds := matrixKinds()
	for fi := range matrixFlags {
		for a := range matrixOptions {
			for b := range a + 1 {
				for ki, kind := range kinds {
					if *matrixAll || ki == (fi+a*3+b+int(*matrixSeed))%len(kinds) {
						m.cell(kind, fi, a, b)
					}
				}
			}
		}
	}
	t.Logf("%d options in pairs, %d flags, %d kinds of file: %d combinations played %d calls each, %d were refused",
		len(matrixOptions), len(matrixFlags), len(kinds), m.played, *matrixCalls, m.refused)
	if m.played < 500 || m.refused < 500 {
		t.Error("that is not what it should be")
	}
}

// matrix is the run of TestMatrix.
type matrix struct {
	t               *testing.T
	failures        int
	labs            map[string]*difftest.Lab
	played, refused int
	opens           map[string]bool // whether a single option opens
}

// errorf reports a failure.
func (m *matrix) errorf(format string, args ...any) {
	m.t.Helper()
	m.failures++
	m.t.Errorf(format, args...)
}

// lab returns the Lab of a directory.
func (m *matrix) lab(kind matrixKind) *difftest.Lab {
	if m.labs[kind.dir] != nil {
		return m.labs[kind.dir]
	}
	dir := kind.dir
	if dir == "" {
		dir = m.t.TempDir()
	}
	lab, err := difftest.NewLab(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { lab.Close() })
	m.labs[kind.dir] = lab
	return lab
}

// cell tries options a and b together.
func (m *matrix) cell(kind matrixKind, flag, a, b int) {
	if m.failures > 5 {
		return // one fault shows in many
	}
	f := matrixFlags[flag]
	if kind.Memory && f.flag&os.O_EXCL != 0 {
		return // there is no name to create
	}
	if sys.Direct != 0 && f.flag&sys.Direct != 0 && kind.dir == "" && kind.Memory {
		return // not every kernel has it
	}
	s := m.setup(kind, flag, a, b)
	lab := m.lab(kind)
	refused, err := lab.Try(s)
	what := fmt.Sprintf("%s, %s with %s: %v", kind.name, matrixOptions[a].name, matrixOptions[b].name, s)
	switch {
	case err != nil:
		m.t.Fatalf("%s: %v", what, err)
	case refused != nil:
		m.refused++
		m.named(what, refused, kind, flag, a, b)
	default:
		m.played++
		m.play(lab, s, what)
	}
}

// setup returns options a and b together.
func (m *matrix) setup(kind matrixKind, flag, a, b int) difftest.Setup {
	s := kind.Setup
	s.Flag = matrixFlags[flag].flag
	s.Opts = new(mmap.Options)
	matrixOptions[b].set(s.Opts)
	matrixOptions[a].set(s.Opts)
	return s
}

// single reports whether one option opens with a flag.
func (m *matrix) single(kind matrixKind, flag, a int) bool {
	s := m.setup(kind, flag, a, 0)
	key := fmt.Sprint(kind.name, s)
	if _, known := m.opens[key]; !known {
		refused, err := m.lab(kind).Try(s)
		if err != nil {
			m.t.Fatal(err)
		}
		if m.opens == nil {
			m.opens = map[string]bool{}
		}
		m.opens[key] = refused == nil
	}
	return m.opens[key]
}

// named checks that an error names what does not go together: an option; the
// flag, if the option alone opens without it; and both options, if each of
// them opens alone.
func (m *matrix) named(what string, err error, kind matrixKind, flag, a, b int) {
	var opts [2]mmap.Options
	matrixOptions[a].set(&opts[0])
	matrixOptions[b].set(&opts[1])
	one, two := difftest.OptionNames(&opts[0]), difftest.OptionNames(&opts[1])
	aOpens, bOpens := m.single(kind, flag, a), m.single(kind, flag, b)
	switch {
	case aOpens && bOpens:
		if !difftest.Names(err, append(one, two...), true) {
			m.errorf("%s: %q does not name both options", what, err)
		}
	case !difftest.Names(err, append(one, two...), false):
		m.errorf("%s: %q names no option", what, err)
	case !aOpens && m.single(kind, 0, a) && b == 0, !bOpens && m.single(kind, 0, b) && aOpens && a == 0:
		if !difftest.Names(err, strings.Fields(matrixFlags[flag].says), false) {
			m.errorf("%s: %q does not name the flag", what, err)
		}
	}
}

// play plays random calls on what opens.
func (m *matrix) play(lab *difftest.Lab, s difftest.Setup, what string) {
	lab.Use(s)
	seed := *matrixSeed + uint64(m.played)
	calls := *matrixCalls
	if s.Flag&(os.O_SYNC|sys.DataSync) != 0 {
		calls = min(calls, 5) // each waits for a disk
	}
	d, err := lab.Play(difftest.Random(seed, calls))
	if err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
	if d != nil {
		c := lab.Shrink(d.Case)
		if again, err := lab.Play(c); err == nil && again != nil {
			d = again
		}
		m.errorf("%s\n%s (-oracle +region):\n%s\n%s", what, d.Call, cmp.Diff(d.Want, d.Got), lab.Explain(d.Case))
	}
}
