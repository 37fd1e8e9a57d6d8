package difftest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-93fed273/mmap"
)

// Lab is a directory where Cases are played, one after the other. It belongs
// to one goroutine; several Labs may share a directory.
type Lab struct {
	dir    string
	source *os.File // what ReadFrom reads
	sinks  [2]*os.File
	plays  int
	use    *Setup // of every play, if set

	noMemory bool // files cannot be mapped shared
	// Log, if set, is told every call and its results.
	Log func(format string, args ...any)
}

// NewLab makes a Lab below dir.
func NewLab(dir string) (*Lab, error) {
	dir, err := os.MkdirTemp(dir, "model")
	if err != nil {
		return nil, err
	}
	l := &Lab{dir: dir}
	for _, f := range []struct {
		at   **os.File
		name string
	}{{&l.source, "source"}, {&l.sinks[0], "sink0"}, {&l.sinks[1], "sink1"}} {
		if *f.at, err = os.Create(filepath.Join(dir, f.name)); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	if _, err = l.source.Write(pattern(make([]byte, 300_000), 99)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close removes what the Lab made.
func (l *Lab) Close() error {
	var errs []error
	for _, f := range []*os.File{l.source, l.sinks[0], l.sinks[1]} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// Play plays c and returns the first difference, or nil. An error is that of
// the Lab, not of the Region.
func (l *Lab) Play(c Case) (*Difference, error) {
	p, err := l.newPlay(c)
	if err != nil {
		return nil, fmt.Errorf("model: cannot begin: %w", err)
	}
	defer p.end()
	for i := range c.Calls() {
		if p.step(c.call(i)) {
			return p.difference(c, i), nil
		}
	}
	p.did = fmt.Sprintf("the end (%s)", p.s.name)
	if p.lookAtFile(); p.got != p.want {
		return p.difference(c, c.Calls()), nil
	}
	return nil, nil
}

// Shrink returns the shortest part of c that it finds to differ still.
func (l *Lab) Shrink(c Case) Case {
	d, err := l.Play(c)
	if d == nil || err != nil {
		return c
	}
	c = c.first(d.Step + 1)
	for n := c.Calls() / 2; n > 0; n /= 2 {
		for i := c.Calls() - n; i >= 0; i -= n {
			shorter := c.without(i, n)
			if d, err := l.Play(shorter); err == nil && d != nil {
				c = shorter.first(d.Step + 1)
				i = min(i, c.Calls())
			}
		}
	}
	return c
}

// Explain plays c once more and returns what it did, a line a call.
func (l *Lab) Explain(c Case) string {
	old := l.Log
	defer func() { l.Log = old }()
	text := ""
	l.Log = func(format string, args ...any) { text += fmt.Sprintf(format, args...) + "\n" }
	_, _ = l.Play(c)
	return text
}

// Difference is a call on whose results Region and oracle do not agree.
type Difference struct {
	Case Case
	Step int    // the number of the call, from 0 on
	Call string // what was called
	Got  Result // from the Region
	Want Result // from the oracle
}

// Result is what a call and a look at the file afterwards give. Two Results
// that mean the same are equal.
type Result struct {
	N      int64  // the count, or the place for Seek
	Err    string // type, operation and text, with the name of the file replaced
	Data   string // the bytes read, or a digest of them
	Cursor int64  // -1: not looked at
	Size   int64  // of the file
	Known  int64  // what Size says of the Region, or should
	File   string // what is wrong with the file's bytes
}

// newPlay makes the two files and opens them.
func (l *Lab) newPlay(c Case) (*play, error) {
	p := &play{lab: l, s: c.setup()}
	if l.use != nil {
		p.s = l.use.setup(c)
	}
	if err := p.makeFiles(); err != nil {
		p.end()
		return nil, err
	}
	if err := p.open(); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// makeFiles makes the two files.
func (p *play) makeFiles() error {
	l := p.lab
	l.plays++
	p.names[0] = filepath.Join(l.dir, fmt.Sprintf("%d.region", l.plays))
	p.names[1] = filepath.Join(l.dir, fmt.Sprintf("%d.oracle", l.plays))
	first := pattern(make([]byte, max(p.s.size, 0)), p.s.fill)
	if p.s.way == byAnonymous {
		clear(first)
	}
	p.first = string(first)
	if p.s.flag&os.O_TRUNC != 0 {
		p.first = ""
	}
	for side, name := range p.names {
		if p.s.size < 0 {
			break // O_EXCL wants to make it
		}
		var err error
		if p.s.memory {
			err = p.memoryFile(side, name, first)
		} else {
			err = os.WriteFile(name, first, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// open opens both sides.
func (p *play) open() (err error) {
	if p.region, err = p.s.open(p.names[0]); err != nil {
		return err
	}
	flag := p.s.flag
	if p.s.private() {
		// The oracle's file is the private copy.
		flag = os.O_RDWR | os.O_CREATE | p.s.flag&os.O_TRUNC
	}
	f, err := os.OpenFile(p.names[1], flag, 0o600)
	if err != nil {
		return err
	}
	for i := range p.others {
		if p.others[i] != nil {
			continue
		}
		if p.others[i], err = os.OpenFile(p.names[i], os.O_RDWR, 0); err != nil {
			f.Close()
			return err
		}
	}
	b := beside{name: p.names[1], s: p.s, file: f, other: p.others[1], known: func() int64 { return p.known }}
	if !p.s.private() && b.base() == 0 && b.window() == 0 {
		p.oracle = &whole{f, b}
	} else {
		o := &part{f: f, beside: b}
		// Private memory has the size of the part at opening.
		o.s.opts, o.s.way = &mmap.Options{Offset: b.base(), Length: b.window()}, byOpenFile
		o.size = o.visible()
		o.s = p.s
		p.oracle = o
	}
	p.known, p.raw = p.region.Size(), nil
	return nil
}

// end closes and removes everything.
func (p *play) end() {
	if p.region != nil {
		_ = p.region.Close()
	}
	if p.oracle != nil {
		_ = p.oracle.Close()
	}
	for i, f := range p.others {
		if f != nil {
			_ = f.Close()
		}
		_ = os.Remove(p.names[i])
	}
	for _, f := range p.memory {
		if f != nil {
			_ = f.Close()
		}
	}
}
