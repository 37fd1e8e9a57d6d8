package programs

import (
	"encoding/binary"
	"io"
	"slices"
	"sort"
)

// A tree of pages, as databases have them: three levels of 4 KiB pages, 256
// keys in each, all of them full. A page is its entries, of key and value: the
// value of an inner page is the number of a page below.
//
//	page 0            the root
//	pages 1 to inner  the level below
//	the next ones     leaves
//	the last ones     the journal: a copy of what a commit is about to change
const (
	fan     = block / 16
	journal = 64 // pages
)

// Tree is the place of a tree in a file.
type Tree struct {
	s     Store
	inner int64 // pages below the root
}

// TreeSize is how many bytes a tree with that many inner pages has, 256 at most.
func TreeSize(inner int64) int64 { return (1 + inner + inner*fan + journal) * block }

// MakeTree writes a tree with that many inner pages to w.
func MakeTree(w io.Writer, inner int64) error {
	put := func(n int64, entry func(i int64) (key, value uint64)) error {
		b := make([]byte, block)
		for i := range n {
			key, value := entry(i)
			binary.LittleEndian.PutUint64(b[16*i:], key)
			binary.LittleEndian.PutUint64(b[16*i+8:], value)
		}
		_, err := w.Write(b)
		return err
	}
	if err := put(inner, func(i int64) (uint64, uint64) { return uint64(i * fan * fan), uint64(1 + i) }); err != nil {
		return err
	}
	for page := range inner {
		err := put(fan, func(i int64) (uint64, uint64) {
			return uint64((page*fan + i) * fan), uint64(1 + inner + page*fan + i)
		})
		if err != nil {
			return err
		}
	}
	for leaf := range inner * fan {
		err := put(fan, func(i int64) (uint64, uint64) { return uint64(leaf*fan + i), 1 })
		if err != nil {
			return err
		}
	}
	_, err := w.Write(make([]byte, journal*block))
	return err
}

// OpenTree opens a tree of MakeTree.
func OpenTree(s Store) *Tree {
	return &Tree{s, (s.Size()/block - 1 - journal) / (1 + fan)}
}

// keys is how many keys there are: 0 to keys-1.
func (t *Tree) keys() int64 { return t.inner * fan * fan }

// find returns the entry of a page of n entries in which key is or below which
// it would be, and its value.
func find(b []byte, n int64, key uint64) (at int, value uint64) {
	at = sort.Search(int(n), func(i int) bool { return binary.LittleEndian.Uint64(b[16*i:]) > key }) - 1
	return at, binary.LittleEndian.Uint64(b[16*at+8:])
}

// leaf returns the number of the page that has the key.
func (t *Tree) leaf(key uint64, buf []byte) (page int64, err error) {
	for level := range 2 {
		n := int64(fan)
		if level == 0 {
			n = t.inner
		}
		err := look(t.s, page*block, block, buf, func(b []byte) error {
			_, v := find(b, n, key)
			page = int64(v)
			return nil
		})
		if err != nil {
			return 0, err
		}
		if page <= 0 || page > t.inner*(1+fan) {
			return 0, errWrong
		}
	}
	return page, nil
}

// Lookups gets values of keys at random in n goroutines, calls in all.
func (t *Tree) Lookups(n, calls int, seed uint64) error {
	return workers(n, func(w int) error {
		rng, buf := newRand(seed, uint64(w)), make([]byte, block)
		for range calls / n {
			key := uint64(rng.Int64N(t.keys()))
			page, err := t.leaf(key, buf)
			if err != nil {
				return err
			}
			err = look(t.s, page*block, block, buf, func(b []byte) error {
				at, value := find(b, fan, key)
				if binary.LittleEndian.Uint64(b[16*at:]) != key || value == 0 {
					return errWrong
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Commits makes n transactions, one after the other: each adds 1 to the values
// of a few keys at random. The pages as they will be go to the journal, which is
// flushed; then they go to their places.
func (t *Tree) Commits(n int, seed uint64) error {
	const each = 8
	rng := newRand(seed, 9)
	pages := make([]byte, each*block)
	for range n {
		var at []int64
		for range each {
			key := uint64(rng.Int64N(t.keys()))
			page, err := t.leaf(key, pages[:block])
			if err != nil {
				return err
			}
			if !slices.Contains(at, page) {
				at = append(at, page)
			}
		}
		if err := t.commit(at, pages[:int64(len(at))*block]); err != nil {
			return err
		}
	}
	return nil
}

// commit changes the pages at these places. b has room for them.
func (t *Tree) commit(at []int64, b []byte) error {
	for i, page := range at {
		p := b[i*block : (i+1)*block]
		if n, err := t.s.ReadAt(p, page*block); n < len(p) {
			return err
		}
		binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])+1)
	}
	if _, err := t.s.WriteAt(b, t.s.Size()-journal*block); err != nil {
		return err
	}
	if err := t.s.Flush(); err != nil {
		return err
	}
	for i, page := range at {
		if _, err := t.s.WriteAt(b[i*block:(i+1)*block], page*block); err != nil {
			return err
		}
	}
	return nil
}
