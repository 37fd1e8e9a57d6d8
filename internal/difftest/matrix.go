package difftest

import (
	"fmt"
	"os"
	"strings"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// Matrix plays every pair of options, with every flag of opening, on files of a
// directory: each either plays random calls as the oracle does, or is refused
// at opening with an error that names what does not go together.
type Matrix struct {
	Dir   string // on the file system in question
	All   bool   // on every kind of file, and not on one in turn
	Calls int    // of each play
	Seed  uint64 // the first one

	// NoMemory says that files cannot be mapped shared, so that calls which show
	// memory compare nothing: they are reads.
	NoMemory bool

	lab             *Lab
	opens           map[string]bool // whether a single option opens
	Played, Refused int
	Failures        []string // what differed, or was refused without a reason
}

// matrixSize is the size of a file that is not empty.
const matrixSize = 30_000

// matrixOptions are the settings of which every pair is tried.
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

// Option is one of the settings whose pairs a Matrix tries, and Flags are the
// flags that it opens with, for tests of what is no file of a directory.
type Option struct {
	Name string
	Set  func(o *mmap.Options)
}

// Options returns the settings.
func Options() (all []Option) {
	for _, o := range matrixOptions {
		all = append(all, Option{o.name, o.set})
	}
	return all
}

// Flags returns the flags.
func Flags() (all []int) {
	for _, f := range matrixFlags {
		all = append(all, f.flag)
	}
	return all
}

// String says how large the matrix is, and what came of it.
func (m *Matrix) String() string {
	return fmt.Sprintf("%d options in pairs, %d flags, %d kinds of file: %d combinations played %d calls each, %d were refused",
		len(matrixOptions), len(matrixFlags), len(m.kinds()), m.Played, m.Calls, m.Refused)
}

// kinds returns the kinds of file and the ways to them.
func (m *Matrix) kinds() (kinds []Setup) {
	for _, byMap := range []bool{false, true} {
		kinds = append(kinds, Setup{Map: byMap, Size: matrixSize}, Setup{Map: byMap})
		if hasMemoryFiles() {
			kinds = append(kinds, Setup{Map: byMap, Memory: true, Size: matrixSize})
		}
	}
	return kinds
}

// hasMemoryFiles reports whether there are files of memory that can be opened
// by a name.
func hasMemoryFiles() bool {
	f, err := sys.NewMemFile("probe", 1)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = os.Stat(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	return err == nil
}

// Run plays all of it, and stops early when much has failed. An error is not the
// Region's.
func (m *Matrix) Run() (err error) {
	if m.lab, err = NewLab(m.Dir); err != nil {
		return err
	}
	defer m.lab.Close()
	m.lab.noMemory = m.NoMemory
	m.opens = map[string]bool{}
	kinds := m.kinds()
	for f := range matrixFlags {
		for a := range matrixOptions {
			for b := range a + 1 {
				for k, kind := range kinds {
					if !m.All && k != (f+a*3+b+int(m.Seed))%len(kinds) || len(m.Failures) > 5 {
						continue // one fault shows in many
					}
					if err := m.cell(kind, f, a, b); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// setup returns options a and b together.
func (m *Matrix) setup(kind Setup, flag, a, b int) Setup {
	s := kind
	s.Flag = matrixFlags[flag].flag
	s.Opts = new(mmap.Options)
	matrixOptions[b].set(s.Opts)
	matrixOptions[a].set(s.Opts)
	return s
}

// cell tries options a and b together.
func (m *Matrix) cell(kind Setup, flag, a, b int) error {
	s := m.setup(kind, flag, a, b)
	if kind.Memory && (s.Flag&os.O_EXCL != 0 || sys.Direct != 0 && s.Flag&sys.Direct != 0) {
		return nil // there is no name to create, and not every kernel has it
	}
	refused, err := m.lab.Try(s)
	what := fmt.Sprintf("%s with %s: %v", matrixOptions[a].name, matrixOptions[b].name, s)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case refused != nil && m.unsupported(s):
		return nil
	case refused != nil:
		m.Refused++
		return m.named(what, refused, kind, flag, a, b)
	}
	m.Played++
	return m.play(s, what)
}

// unsupported reports whether the file system refuses the flag to os too.
func (m *Matrix) unsupported(s Setup) bool {
	if sys.Direct == 0 || s.Flag&sys.Direct == 0 {
		return false
	}
	f, err := os.OpenFile(m.lab.source.Name(), os.O_RDONLY|sys.Direct, 0)
	if err == nil {
		f.Close()
	}
	return err != nil
}

// single reports whether one option opens with a flag.
func (m *Matrix) single(kind Setup, flag, a int) (opens bool, err error) {
	s := m.setup(kind, flag, a, 0)
	key := s.String()
	if opens, known := m.opens[key]; known {
		return opens, nil
	}
	refused, err := m.lab.Try(s)
	m.opens[key] = refused == nil
	return refused == nil, err
}

// named checks that an error names what does not go together: an option; the
// flag, if the option alone opens without it; and both options, if each of
// them opens alone.
func (m *Matrix) named(what string, refusal error, kind Setup, flag, a, b int) error {
	var opts [2]mmap.Options
	matrixOptions[a].set(&opts[0])
	matrixOptions[b].set(&opts[1])
	both := append(OptionNames(&opts[0]), OptionNames(&opts[1])...)
	aOpens, err := m.single(kind, flag, a)
	if err != nil {
		return err
	}
	bOpens, err := m.single(kind, flag, b)
	if err != nil {
		return err
	}
	alone, err := m.single(kind, 0, a)
	switch {
	case err != nil:
		return err
	case aOpens && bOpens:
		if !names(refusal, both, true) {
			m.fail("%s: %q does not name both options", what, refusal)
		}
	case !names(refusal, both, false):
		m.fail("%s: %q names no option", what, refusal)
	case b == 0 && !aOpens && alone && !names(refusal, strings.Fields(matrixFlags[flag].says), false):
		m.fail("%s: %q does not name the flag", what, refusal)
	}
	return nil
}

// fail notes a failure.
func (m *Matrix) fail(format string, args ...any) {
	m.Failures = append(m.Failures, fmt.Sprintf(format, args...))
}

// play plays random calls on what opens.
func (m *Matrix) play(s Setup, what string) error {
	m.lab.Use(s)
	calls := m.Calls
	if s.Flag&(os.O_SYNC|sys.DataSync) != 0 {
		calls = min(calls, 5) // each waits for a disk
	}
	d, err := m.lab.Play(Random(m.Seed+uint64(m.Played), calls))
	if err != nil || d == nil {
		return err
	}
	c := m.lab.Shrink(d.Case)
	if again, err := m.lab.Play(c); err == nil && again != nil {
		d = again
	}
	m.fail("%s\n%s:\n  region %+v\n  oracle %+v\n%s", what, d.Call, d.Got, d.Want, m.lab.Explain(d.Case))
	return nil
}

// names reports whether err says every one of the names, or any of them if all
// is false.
func names(err error, names []string, all bool) bool {
	for _, name := range names {
		if strings.Contains(err.Error(), name) != all {
			return !all
		}
	}
	return all
}
