package programs

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
)

// mem is a Store in memory. With shows it is a Viewer too.
type mem struct{ b []byte }

func (m *mem) ReadAt(p []byte, off int64) (int, error)  { return bytes.NewReader(m.b).ReadAt(p, off) }
func (m *mem) WriteAt(p []byte, off int64) (int, error) { return copy(m.b[off:], p), nil }
func (m *mem) Size() int64                              { return int64(len(m.b)) }
func (m *mem) Flush() error                             { return nil }
func (m *mem) Close() error                             { return nil }

// shown is a mem that shows its bytes.
type shown struct{ mem }

func (s *shown) View(off, n int64, fn func([]byte) error) error { return fn(s.b[off : off+n]) }

// both are the two kinds of Source over the same bytes.
func both(b []byte) map[string]Store {
	return map[string]Store{"read": &mem{slices.Clone(b)}, "shown": &shown{mem{slices.Clone(b)}}}
}

// broken returns b with one bit changed at off.
func broken(b []byte, off int) []byte {
	b = slices.Clone(b)
	b[off] ^= 1
	return b
}

func TestUnzip(t *testing.T) {
	var w bytes.Buffer
	if err := MakeZip(&w, 5<<20); err != nil {
		t.Fatal(err)
	}
	for name, s := range both(w.Bytes()) {
		n, err := Unzip(s, 3)
		if err != nil || n < 10<<20 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	for name, s := range both(broken(w.Bytes(), 1<<19)) {
		if _, err := Unzip(s, 3); err == nil {
			t.Errorf("%s: a wrong bit is not noticed", name)
		}
	}
}

func TestSearch(t *testing.T) {
	var w bytes.Buffer
	want, err := MakeText(&w, 5<<20+1234)
	if err != nil || want == 0 || want != bytes.Count(w.Bytes(), []byte(Word)) {
		t.Fatalf("%d words, %v", want, err)
	}
	copy(w.Bytes()[1<<20-5:], Word) // across the border of two pieces
	want = bytes.Count(w.Bytes(), []byte(Word))
	for name, s := range both(w.Bytes()) {
		if got, err := Search(s, Word); got != want || err != nil {
			t.Errorf("%s: %d words, %v; want %d", name, got, err, want)
		}
	}
}

func TestTable(t *testing.T) {
	var w bytes.Buffer
	if err := MakeTable(&w, 64*block); err != nil {
		t.Fatal(err)
	}
	table := NewTable(int64(w.Len()))
	buf := make([]byte, block)
	for name, s := range both(w.Bytes()) {
		for i := range table.Records {
			key := 1 + uint64(i)*keyStride
			if v, ok, err := table.Get(s, key, buf); !ok || v != key*56 || err != nil {
				t.Fatalf("%s: key %d: %d, %v, %v", name, key, v, ok, err)
			}
			for _, absent := range []uint64{key - 1, key + 1} {
				if _, ok, err := table.Get(s, absent, buf); ok || err != nil {
					t.Fatalf("%s: key %d is there: %v", name, absent, err)
				}
			}
		}
		if n, err := table.Lookups(s, 4, 1000, 1, nil); n != 1000 || err != nil {
			t.Errorf("%s: %d lookups, %v", name, n, err)
		}
	}
	zero := &mem{make([]byte, 64*block)}
	if _, err := table.Lookups(zero, 4, 100, 1, nil); err == nil {
		t.Error("a table of zeros is not noticed")
	}
}

func TestVectors(t *testing.T) {
	var w bytes.Buffer
	if err := MakeVectors(&w, 5000*vector); err != nil {
		t.Fatal(err)
	}
	all := floatsOf(w.Bytes())
	q := slices.Clone(all[4321*Dim : 4322*Dim])
	for i := range q {
		q[i] *= 10
	}
	copy(all[4567*Dim:], q) // nothing has a larger product with q than it has itself
	for name, s := range both(w.Bytes()) {
		v, err := OpenVectors(s)
		if err != nil {
			t.Fatal(err)
		}
		if at, _, err := v.Best(q); at != 4567 || err != nil {
			t.Errorf("%s: vector %d, %v", name, at, err)
		}
	}
}

func TestSort(t *testing.T) {
	const size = 1 << 20
	var w bytes.Buffer
	if err := MakeRecords(&w, size); err != nil {
		t.Fatal(err)
	}
	var want []uint64
	for b := range slices.Chunk(w.Bytes(), record) {
		want = append(want, binary.BigEndian.Uint64(b))
	}
	slices.Sort(want)
	for name, s := range both(w.Bytes()) {
		files := map[int]*mem{}
		err := Sort(s, size/4, func(n int, size int64) (Store, error) {
			files[n] = &mem{make([]byte, size)}
			return files[n], nil
		})
		if err != nil || len(files) < 5 {
			t.Fatalf("%s: %d files, %v", name, len(files), err)
		}
		var got []uint64
		whole := make([]byte, record)
		for b := range slices.Chunk(files[0].b, record) {
			key := binary.BigEndian.Uint64(b)
			if putRecord(whole, key); !bytes.Equal(b, whole) {
				t.Fatalf("%s: a record is torn", name)
			}
			got = append(got, key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: not sorted, or not the same keys", name)
		}
	}
}

func TestTree(t *testing.T) {
	const inner = 2
	var w bytes.Buffer
	if err := MakeTree(&w, inner); err != nil || int64(w.Len()) != TreeSize(inner) {
		t.Fatalf("%d bytes of %d, %v", w.Len(), TreeSize(inner), err)
	}
	for name, s := range both(w.Bytes()) {
		tree := OpenTree(s)
		if tree.inner != inner {
			t.Fatalf("%d inner pages", tree.inner)
		}
		if err := tree.Lookups(4, 1000, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := tree.Commits(10, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		sum := uint64(0) // of the first values of all leaves: 1 each, and 1 more for each change
		for leaf := int64(1 + inner); leaf < 1+inner+inner*fan; leaf++ {
			b := make([]byte, 16)
			s.ReadAt(b, leaf*block)
			sum += binary.LittleEndian.Uint64(b[8:])
		}
		if more := sum - inner*fan; more < 70 || more > 80 {
			t.Errorf("%s: 10 commits of 8 keys made %d changes", name, more)
		}
	}
}

func TestParquetAndArrow(t *testing.T) {
	for kind, c := range map[string]struct {
		make func(w *bytes.Buffer) (float64, error)
		scan func(s Source) (float64, error)
	}{
		"parquet": {
			func(w *bytes.Buffer) (float64, error) { return MakeParquet(w, rowGroup+1000) },
			func(s Source) (float64, error) { return ScanParquet(s, 2) },
		},
		"arrow": {
			func(w *bytes.Buffer) (float64, error) { return MakeArrow(w, 100_000) },
			ScanArrow,
		},
	} {
		var w bytes.Buffer
		want, err := c.make(&w)
		if err != nil || want == 0 {
			t.Fatalf("%s: %v, %v", kind, want, err)
		}
		for name, s := range both(w.Bytes()) {
			if got, err := c.scan(s); got != want || err != nil {
				t.Errorf("%s, %s: sum %v, %v; want %v", kind, name, got, err, want)
			}
		}
	}
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	names, sizes, err := MakeSite(dir, 20)
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: b}
	}
	for name, f := range map[string]fs.FS{"dir": os.DirFS(dir), "memory": files} {
		s, err := Serve(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Fetch(names, sizes, 4, 100, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Fetch(names, slices.Repeat([]int64{1}, len(names)), 4, 100, 1); err == nil {
			t.Errorf("%s: wrong sizes are not noticed", name)
		}
		s.Close()
	}
}
