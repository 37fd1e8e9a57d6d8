package difftest

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/seed-93fed273/mmap"
)

// How a Region comes to its file.
type way uint8

const (
	byOpenFile way = iota
	byOpen
	byCreate
	byMap
	byAnonymous
)

// setup is the file of a play and how it is opened.
type setup struct {
	name string
	way  way
	flag int // of OpenFile, or of the file given to Map
	opts *mmap.Options
	size int64 // of the file before it is opened
	fill byte

	memory bool // a file of memory
}

// setup decodes how a Case begins.
func (c Case) setup() setup {
	r := c.at(0)
	s := setup{size: fileSize(r[1], r[2]), fill: r[3]}
	off := int64(r[4]) * 37 % (s.size + 1)
	if r[4]%4 == 0 {
		off &^= page - 1
	}
	n := 1 + int64(r[5])*97%max(s.size-off, 1)
	inside := min(n, max(s.size-off, 0))
	switch r[0] % 32 {
	default: // 0 to 9
		s.name, s.flag = "OpenFile(O_RDWR)", os.O_RDWR
	case 10, 11:
		s.name, s.flag, s.way = "Open", os.O_RDONLY, byOpen
	case 12, 13:
		s.name, s.flag = "OpenFile(O_APPEND)", os.O_RDWR|os.O_APPEND
	case 14:
		s.name, s.flag = "OpenFile(O_SYNC)", os.O_RDWR|os.O_SYNC
		s.size = min(s.size, 2*page)
	case 15:
		s.name, s.flag, s.way = "Create", os.O_RDWR|os.O_CREATE|os.O_TRUNC, byCreate
	case 16:
		s.name, s.flag = "OpenFile(O_CREATE|O_EXCL)", os.O_RDWR|os.O_CREATE|os.O_EXCL
		s.size = -1
	case 17, 18:
		s.name, s.flag, s.way = "Map(O_RDWR)", os.O_RDWR, byMap
	case 19:
		s.name, s.flag, s.way = "Map(O_RDONLY)", os.O_RDONLY, byMap
	case 20:
		s.name, s.flag, s.way = "Map(O_APPEND)", os.O_RDWR|os.O_APPEND, byMap
	case 21, 22:
		s.part("from an offset", os.O_RDWR, off, 0)
	case 23:
		s.part("from an offset, O_RDONLY", os.O_RDONLY, off, 0)
	case 24:
		s.part("window", os.O_RDWR, off, max(inside, 1))
	case 25:
		s.part("window past the end", os.O_RDWR, off, n+2*page)
	case 26:
		s.part("window, O_RDONLY", os.O_RDONLY, min(off, max(s.size-1, 0)), max(inside, 1))
		s.size = max(s.size, off+inside, 1)
	case 27:
		s.part("private", os.O_RDWR, 0, 0)
		s.opts.Private = true
	case 28:
		s.part("private, O_RDONLY", os.O_RDONLY, off, 0)
		s.opts.Private = true
	case 29:
		s.part("private window", os.O_RDWR, min(off, max(s.size-1, 0)), max(inside, 1))
		s.size = max(s.size, off+inside, 1)
		s.opts.Private = true
	case 30:
		s.part("ProtRead", os.O_RDWR, 0, 0)
		s.opts.Prot = mmap.ProtRead
	case 31:
		s.name, s.flag, s.way = "Anonymous", os.O_RDWR, byAnonymous
		s.size, s.opts = max(s.size, 1), &mmap.Options{}
	}
	return s
}

// part makes s one of a part of the file.
func (s *setup) part(name string, flag int, off, n int64) {
	s.opts = &mmap.Options{Offset: off, Length: n, Populate: s.fill%4 == 0}
	s.flag = flag
	s.name = fmt.Sprintf("%s [%d:+%d]", name, off, n)
}

// fileSize returns the size of the file to begin with.
func fileSize(class, v byte) int64 {
	switch class % 8 {
	case 0:
		return 0
	case 1:
		return 1
	case 2:
		return page + int64(v%3) - 1
	case 3:
		return 4*page + int64(v%3) - 1
	case 4:
		return 300_000
	case 5:
		return piece + int64(v%3) - 1
	default:
		return int64(v) * 50
	}
}

// private reports that the Region's size is fixed and its bytes are its own.
func (s *setup) private() bool { return s.way == byAnonymous || s.opts != nil && s.opts.Private }

// again is the flag for opening the file a second time.
func (s *setup) again() setup {
	t := *s
	t.flag &^= os.O_CREATE | os.O_EXCL | os.O_TRUNC
	if t.way == byCreate {
		t.way = byOpenFile
	}
	return t
}

// open makes the Region.
func (s *setup) open(name string) (*mmap.Region, error) {
	const perm fs.FileMode = 0o600
	switch s.way {
	case byOpen:
		return mmap.Open(name)
	case byCreate:
		return mmap.Create(name)
	case byAnonymous:
		return mmap.Anonymous(s.size, s.opts)
	case byMap:
		f, err := os.OpenFile(name, s.flag, perm)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return mmap.Map(f, s.opts)
	}
	return mmap.OpenFile(name, s.flag, perm, s.opts)
}
