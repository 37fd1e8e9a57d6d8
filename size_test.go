package mmap_test

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// TestOffsetInPage: with an Offset inside a page, what was protected or released
// begins and ends where the file's pages do, to the byte.
func TestOffsetInPage(t *testing.T) {
	needsMemory(t)
	page := mmap.PageSize()
	for _, private := range []bool{false, true} {
		data := pattern(1, int(4*page))
		r := openRegion(t, newFile(t, data), os.O_RDWR, &mmap.Options{Offset: 101, Private: private})
		data = data[101:]
		from, to := page-101, 2*page-101
		if err := r.Protect(from, page, mmap.ProtNone); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 10)
		for _, c := range []struct {
			at int64
			n  int
		}{{from - 10, 10}, {from - 9, 9}, {from - 1, 1}, {from, 0}, {to - 1, 0}, {to, 10}} {
			n, err := r.ReadAt(p, c.at)
			if n != c.n || (err == nil) != (n == len(p)) || !bytes.Equal(p[:n], data[c.at:int(c.at)+n]) {
				t.Errorf("ReadAt(%d) = %d, %v; want %d bytes", c.at, n, err, c.n)
			}
			n, err = r.WriteAt(data[c.at:c.at+10], c.at)
			if n != c.n || (err == nil) != (n == len(p)) {
				t.Errorf("WriteAt(%d) = %d, %v; want %d bytes", c.at, n, err, c.n)
			}
		}
	}
}

// TestRoomWithOffset: a file that grows by one byte more than its mapping has
// room for is mapped anew, with an Offset inside a page too.
func TestRoomWithOffset(t *testing.T) {
	needsMemory(t)
	r := openRegion(t, newFile(t, pattern(1, 5000)), os.O_RDWR, &mmap.Options{Offset: 100})
	if r.Bytes() == nil {
		t.Fatal("not mapped")
	}
	_, n, hold := mmap.Memory(r)
	for _, size := range []int64{int64(n) - 101, int64(n) - 100, int64(n) - 99, int64(n) + 1} {
		if err := r.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := r.View(size-1, 1, func(b []byte) error { b[0]++; return nil }); err != nil {
			t.Errorf("the last of %d bytes: %v", size, err)
		}
	}
	runtime.KeepAlive(hold)
}

// TestToEndGrown: a range to the end that begins past the known one reaches to
// where the file ends now.
func TestToEndGrown(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDONLY, nil)
	if r.Size() != 100 {
		t.Fatal("not opened")
	}
	appendFile(t, name, pattern(1, 9000)[100:])
	if err := r.View(101, mmap.ToEnd, func(b []byte) error {
		if !bytes.Equal(b, pattern(1, 9000)[101:]) {
			t.Errorf("it has %d bytes, or others", len(b))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestNoticesSize: a read past the known end notices what others appended, and
// one that comes to the end what they cut off.
func TestNoticesSize(t *testing.T) {
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDONLY, nil)
	for _, c := range []struct {
		size, off int64
		n         int
	}{{200, 100, 50}, {300, 200, 1}, {400, 300, 100}, {350, 340, 20}, {349, 349, 1}} {
		cutFile(t, name, c.size)
		if n, err := r.ReadAt(make([]byte, c.n), c.off); n != int(min(int64(c.n), c.size-c.off)) || (err == io.EOF) != (n < c.n) {
			t.Errorf("ReadAt(%d, %d) of %d bytes = %d, %v", c.n, c.off, c.size, n, err)
		}
		if n := r.Size(); n != c.size {
			t.Errorf("Size is %d, not %d", n, c.size)
		}
	}
}

// TestSizeIsTheFiles: after this Region changed the size it knows the file's
// own, whatever others did meanwhile.
func TestSizeIsTheFiles(t *testing.T) {
	calls := map[string]func(r *mmap.Region) error{
		"WriteAt":  func(r *mmap.Region) error { _, err := r.WriteAt(make([]byte, 10), 105); return err },
		"Write":    func(r *mmap.Region) error { _, err := r.Write(make([]byte, 110)); return err },
		"ReadFrom": func(r *mmap.Region) error { _, err := r.ReadFrom(bytes.NewReader(make([]byte, 110))); return err },
		"Truncate": func(r *mmap.Region) error { return r.Truncate(150) },
	}
	for what, call := range calls {
		for _, mode := range []string{"RDWR", "APPEND"} {
			for _, size := range []int64{0, 50, 8000} { // that others give it
				if mode == "APPEND" && what == "WriteAt" {
					continue
				}
				name := newFile(t, pattern(1, 100))
				r := openRegion(t, name, modes[mode], nil)
				r.Bytes()
				if err := os.Truncate(name, size); err != nil {
					t.Skip("a mapped file cannot be cut here: ", err)
				}
				if err := call(r); err != nil {
					t.Fatal(err)
				}
				info, err := r.Stat()
				if err != nil || info.Size() != r.Size() {
					t.Errorf("%s %s, others set %d: Size is %d, the file's is %d, %v", mode, what, size, r.Size(), info.Size(), err)
				}
			}
		}
	}
}

// TestGrowthKeepsWhatOthersWrote: when this Region once made the file shorter
// and somebody else made it longer, what they wrote stays.
func TestGrowthKeepsWhatOthersWrote(t *testing.T) {
	grow := map[string]func(r *mmap.Region) error{
		"WriteAt":       func(r *mmap.Region) error { _, err := r.WriteAt([]byte{1}, 9000); return err },
		"Truncate":      func(r *mmap.Region) error { return r.Truncate(9001) },
		"ReadFrom file": func(r *mmap.Region) error { return copyFile(t, r, newFile(t, make([]byte, 10)), -1) },
	}
	for what, call := range grow {
		name := newFile(t, pattern(1, 10_000))
		r := openRegion(t, name, os.O_RDWR, nil)
		r.Bytes()
		if err := r.Truncate(4); err != nil {
			t.Fatal(err)
		}
		theirs := pattern(4, 8000)
		if err := os.WriteFile(name, theirs, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Seek(9000, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if err := call(r); err != nil {
			t.Fatal(err)
		}
		if at := firstDifference([]byte(contents(t, name).Data)[:8000], theirs); at >= 0 {
			t.Errorf("%s destroyed what others wrote, from byte %d on", what, at)
		}
	}
}

// overwritten returns data with p at off, made longer where p needs that.
func overwritten(data, p []byte, off int64) []byte {
	if len(p) == 0 {
		return data
	}
	end := off + int64(len(p))
	all := append(bytes.Clone(data), make([]byte, max(end-int64(len(data)), 0))...)
	copy(all[off:], p)
	return all
}

// TestBytesSurviveGrowth: a slice handed out before the file grew shows the
// same bytes as the file afterwards, and none that were not there.
func TestBytesSurviveGrowth(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 100))
	r := openRegion(t, name, os.O_RDWR, nil)
	b := r.Bytes()
	for _, size := range []int64{5000, 1 << 20, 5 << 20} {
		if err := r.Truncate(size); err != nil {
			t.Fatal(err)
		}
		b[7]++
		got := r.Bytes()
		if int64(len(got)) != size || got[7] != b[7] {
			t.Errorf("at %d bytes: Bytes has %d, and shows %d for %d", size, len(got), got[7], b[7])
		}
		if fresh := contents(t, name).Data; fresh[7] != b[7] || int64(len(fresh)) != size {
			t.Errorf("at %d bytes the file shows %d for %d", size, fresh[7], b[7])
		}
	}
	if len(b) != 100 || cap(b) != 100 {
		t.Errorf("the slice has %d bytes, capacity %d", len(b), cap(b))
	}
}

// storeHot writes often enough that the write goes to memory, and that others to
// the same page do too.
func storeHot(t *testing.T, r *mmap.Region, p []byte, off int64) {
	t.Helper()
	for range 3 {
		if n, err := r.WriteAt(p, off); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
}

// TestGrowthKeepsFastPath: when a file has outgrown its mapping, and nobody may
// know addresses of it, memory serves by the new one at once, without a
// collection.
func TestGrowthKeepsFastPath(t *testing.T) {
	needsLearning(t)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	r := openRegion(t, newFile(t, pattern(0, 50_000)), os.O_RDWR, nil)
	readKnown(t, r)
	if _, err := r.WriteAt(pattern(1, 3<<20), r.Size()); err != nil {
		t.Fatal(err)
	}
	readKnown(t, r)
}

// TestTruncateWhatOthersGrew: a file that somebody else made longer is cut to what
// the Region still holds for its size, also where a mapping pins it.
func TestTruncateWhatOthersGrew(t *testing.T) {
	needsMemory(t)
	for _, flag := range []int{os.O_RDWR, os.O_RDWR | os.O_APPEND} {
		name := newFile(t, pattern(0, 100))
		r := openRegion(t, name, flag, nil)
		if err := r.View(0, 100, func([]byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 200); err != nil {
			t.Fatal(err)
		}
		if err := r.Truncate(100); err != nil {
			t.Errorf("flag %#x: %v", flag, err)
		}
		if info, err := os.Stat(name); err != nil || info.Size() != 100 {
			t.Errorf("flag %#x: the file has %d bytes, %v", flag, info.Size(), err)
		}
	}
}
