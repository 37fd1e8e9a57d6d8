package programs

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"io"
	"slices"
)

// MakeRecords writes size bytes of records of 64 bytes to w, whose keys are
// random.
func MakeRecords(w io.Writer, size int64) error {
	rng := newRand(5, 5)
	b := make([]byte, 1<<20)
	for size > 0 {
		n := min(int64(len(b)), size)
		for at := int64(0); at < n; at += record {
			putRecord(b[at:at+record], rng.Uint64())
		}
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// Sort writes the records of in to a new file, sorted by their keys, and holds
// no more than about memory bytes of them at a time: it sorts parts of the file
// into files of their own, and merges these. create makes a file of a size, by
// number; 0 is the result.
func Sort(in Source, memory int64, create func(n int, size int64) (Store, error)) error {
	part := memory / 2 / record * record // the rest is for keys, and for what is written
	buf := make([]byte, part)
	var runs []Store
	defer func() {
		for _, r := range runs {
			r.Close()
		}
	}()
	for off := int64(0); off < in.Size(); off += part {
		b := buf[:min(part, in.Size()-off)]
		if n, err := in.ReadAt(b, off); n < len(b) {
			return err
		}
		run, err := create(len(runs)+1, int64(len(b)))
		if err != nil {
			return err
		}
		runs = append(runs, run)
		if err := writeSorted(run, b); err != nil {
			return err
		}
	}
	out, err := create(0, in.Size())
	if err != nil {
		return err
	}
	if err := merge(out, runs, memory/2); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// place is a record's key, and which record it is.
type place struct {
	key uint64
	at  uint32
}

// writeSorted writes the records of b in their order.
func writeSorted(w io.WriterAt, b []byte) error {
	places := make([]place, len(b)/record)
	for i := range places {
		places[i] = place{binary.BigEndian.Uint64(b[i*record:]), uint32(i)}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.key, b.key) })
	out := &appender{w: w}
	for _, p := range places {
		if err := out.add(b[int(p.at)*record:][:record]); err != nil {
			return err
		}
	}
	return out.flush()
}

// appender writes at the end in pieces of 1 MiB.
type appender struct {
	w   io.WriterAt
	off int64
	buf []byte
}

// add writes b, or keeps it for later.
func (a *appender) add(b []byte) error {
	a.buf = append(a.buf, b...)
	if len(a.buf) < 1<<20 {
		return nil
	}
	return a.flush()
}

// flush writes what was kept.
func (a *appender) flush() error {
	n, err := a.w.WriteAt(a.buf, a.off)
	a.off += int64(n)
	a.buf = a.buf[:0]
	return err
}

// run is a sorted file that is being read.
type run struct {
	s        Source
	off      int64
	buf, now []byte // of buf, what is left
	key      uint64
}

// next goes on to the next record; at the end it returns io.EOF.
func (r *run) next() error {
	if len(r.now) > record {
		r.now = r.now[record:]
	} else {
		if r.off >= r.s.Size() {
			return io.EOF
		}
		r.now = r.buf[:min(int64(len(r.buf)), r.s.Size()-r.off)]
		if n, err := r.s.ReadAt(r.now, r.off); n < len(r.now) {
			return err
		}
		r.off += int64(len(r.now))
	}
	r.key = binary.BigEndian.Uint64(r.now)
	return nil
}

// runs are a heap of them, the one with the smallest key first.
type runs []*run

func (h runs) Len() int           { return len(h) }
func (h runs) Less(i, j int) bool { return h[i].key < h[j].key }
func (h runs) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runs) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runs) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// merge writes the records of all sources, each of which is sorted.
func merge(w io.WriterAt, sources []Store, memory int64) error {
	var h runs
	for _, s := range sources {
		size := max(memory/int64(len(sources))/record*record, record)
		r := &run{s: s, buf: make([]byte, min(size, 1<<20))}
		if err := r.next(); err != nil {
			return err
		}
		h = append(h, r)
	}
	heap.Init(&h)
	out := &appender{w: w}
	for len(h) > 0 {
		if err := out.add(h[0].now[:record]); err != nil {
			return err
		}
		switch err := h[0].next(); err {
		case nil:
			heap.Fix(&h, 0)
		case io.EOF:
			heap.Pop(&h)
		default:
			return err
		}
	}
	return out.flush()
}
