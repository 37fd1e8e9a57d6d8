package difftest

import (
	"fmt"
	"math/bits"
	"os"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// Setup is a file and a way to open it, for plays of random calls on what a Case
// does not come to: see [Lab.Use].
type Setup struct {
	Flag   int           // of OpenFile
	Opts   *mmap.Options // nil stands for none
	Map    bool          // open the file with os.OpenFile, and give it to Map
	Memory bool          // a file of memory (memfd), opened by its entry in /proc
	Size   int64         // of the file before it is opened
}

// String describes the Setup.
func (s Setup) String() string {
	name := "OpenFile"
	if s.Map {
		name = "Map"
	}
	if s.Memory {
		name += " of memory"
	}
	opts := "nil"
	if s.Opts != nil {
		opts = fmt.Sprintf("%+v", *s.Opts)
	}
	return fmt.Sprintf("%s(%#x, %s) of %d bytes", name, s.Flag, opts, s.Size)
}

// Use makes every following play one of s, whatever the Case begins with.
func (l *Lab) Use(s Setup) { l.use = &s }

// Try opens and closes the Region of s on a file of its own, and returns the
// error of the opening. A second error is that of the Lab.
func (l *Lab) Try(s Setup) (refused, err error) {
	p := &play{lab: l, s: s.setup(Case{})}
	defer p.end()
	if err := p.makeFiles(); err != nil {
		return nil, err
	}
	r, err := p.s.open(p.names[0])
	if err != nil {
		return err, nil
	}
	return nil, r.Close()
}

// setup makes of s what a Case has.
func (s Setup) setup(c Case) setup {
	t := setup{name: s.String(), flag: s.Flag, opts: s.Opts, size: s.Size, memory: s.Memory, fill: c.at(0)[3]}
	if s.Map {
		t.way = byMap
	}
	if s.Flag&os.O_EXCL != 0 {
		t.size = -1
	}
	return t
}

// memoryFile gives a file of memory a name.
func (p *play) memoryFile(side int, name string, first []byte) error {
	f, err := sys.NewMemFile("difftest", int64(len(first)))
	if err != nil {
		return err
	}
	p.memory[side] = f
	if _, err := f.WriteAt(first, 0); err != nil {
		return err
	}
	return os.Symlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), name)
}

// direct reports that the file is open with O_DIRECT: such calls are of whole
// blocks, from buffers that begin at one.
func (s *setup) direct() bool { return sys.Direct != 0 && s.flag&sys.Direct != 0 }

// directCall makes of c a call of whole blocks, or one that moves no bytes.
func (p *play) directCall(c call) call {
	switch c.kind {
	case opRead, opReadAt, opWrite, opWriteAt, opSeek, opTruncate, opStat, opSync, opFlush, opClose, opReopen, opBytes:
		return c
	}
	c.kind = opStat
	return c
}

// blocks rounds n down to whole blocks if calls are of such.
func (p *play) blocks(n int64) int64 {
	if p.s.direct() {
		n &^= page - 1
	}
	return n
}

// aligned returns n bytes that begin at a block: the allocator places a power
// of two so, from a block on.
func aligned(n int) []byte {
	return make([]byte, 1<<bits.Len(uint(max(n, int(page))-1)))[:n]
}

// unmapped reports that the Region has no memory, and will have none.
func (o *beside) unmapped() bool {
	return o.s.flag&os.O_WRONLY != 0 || o.s.direct() || o.s.opts != nil && o.s.opts.Access == mmap.AccessDescriptor
}

// OptionNames returns the names of the options that opts sets, as errors say
// them.
func OptionNames(opts *mmap.Options) (names []string) {
	if opts == nil {
		return nil
	}
	for _, o := range []struct {
		name string
		set  bool
	}{
		{"Offset", opts.Offset != 0}, {"Length", opts.Length != 0}, {"Prot", opts.Prot != 0},
		{"Private", opts.Private}, {"Lock", opts.Lock}, {"MapSync", opts.MapSync}, {"Share", opts.Share},
		{"AccessMemory", opts.Access == mmap.AccessMemory}, {"AccessDescriptor", opts.Access == mmap.AccessDescriptor},
	} {
		if o.set {
			names = append(names, o.name)
		}
	}
	return names
}
