package programs

import (
	"encoding/binary"
	"io"
	"slices"
	"sort"
)

// A sorted table: records of 64 bytes, of which the first eight are the key,
// in blocks of 4 KiB. The first key of each block is kept in memory, as databases
// keep the index of a table.
const (
	record    = 64
	block     = 4096
	inBlock   = block / record
	keyStride = 3 // keys are this far apart: most are not there
)

// Table is the index of such a file.
type Table struct {
	First   []uint64 // key of each block
	Records int64
}

// MakeTable writes a table of size bytes, a multiple of 4 KiB, to w.
func MakeTable(w io.Writer, size int64) error {
	b := make([]byte, 256*block)
	key := uint64(1)
	for size > 0 {
		n := min(int64(len(b)), size)
		for at := int64(0); at < n; at += record {
			putRecord(b[at:at+record], key)
			key += keyStride
		}
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// putRecord makes the record of a key.
func putRecord(b []byte, key uint64) {
	binary.BigEndian.PutUint64(b, key)
	for i := 8; i < record; i += 8 {
		binary.BigEndian.PutUint64(b[i:], key*uint64(i))
	}
}

// NewTable makes the index of a table of that many bytes.
func NewTable(size int64) *Table {
	t := &Table{First: make([]uint64, size/block), Records: size / record}
	for i := range t.First {
		t.First[i] = 1 + uint64(i)*inBlock*keyStride
	}
	return t
}

// Get returns whether the key is in the table, and a value of its record. buf
// has room for a block.
func (t *Table) Get(s Source, key uint64, buf []byte) (value uint64, ok bool, err error) {
	at, found := slices.BinarySearch(t.First, key)
	if !found {
		at--
	}
	if at < 0 {
		return 0, false, nil
	}
	err = look(s, int64(at)*block, block, buf, func(b []byte) error {
		i := sort.Search(inBlock, func(i int) bool { return binary.BigEndian.Uint64(b[i*record:]) >= key })
		if ok = i < inBlock && binary.BigEndian.Uint64(b[i*record:]) == key; ok {
			value = binary.BigEndian.Uint64(b[i*record+56:])
		}
		return nil
	})
	return value, ok, err
}

// Lookups looks up keys at random in n goroutines, calls times in all. done is
// asked now and then, and may end it before; it may be nil. It returns how many
// were made.
func (t *Table) Lookups(s Source, n, calls int, seed uint64, done func() bool) (made int64, err error) {
	counts := make([]int64, n)
	err = workers(n, func(w int) error {
		rng, buf := newRand(seed, uint64(w)), make([]byte, block)
		for i := range calls / n {
			if i%16 == 0 && done != nil && done() {
				return nil
			}
			at := rng.Int64N(t.Records)
			key := 1 + uint64(at)*keyStride
			value, ok, err := t.Get(s, key, buf)
			if err != nil {
				return err
			}
			if !ok || value != key*56 {
				return errWrong
			}
			counts[w]++
		}
		return nil
	})
	for _, c := range counts {
		made += c
	}
	return made, err
}
