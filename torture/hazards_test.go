//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// testNames returns the names of all tests and examples of the library and of
// this module.
func testNames(t *testing.T) (names []string) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Example)\w+)\(`)
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(name)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			names = append(names, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// benchRows returns the source of the rows of the command bench.
func benchRows(t *testing.T) string {
	source, err := os.ReadFile("../bench/rows.go")
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// TestHazardTable: every test that hazards.md names exists, every part and row
// too, and every hazard has one or a reason.
func TestHazardTable(t *testing.T) {
	text, err := os.ReadFile("hazards.md")
	if err != nil {
		t.Fatal(err)
	}
	all, rows := testNames(t), benchRows(t)
	known := map[string]func(name string) bool{
		`\b(?:Test|Example)[A-Z*][\w*]+`: func(name string) bool {
			like := regexp.MustCompile("^" + strings.ReplaceAll(name, "*", `\w*`) + "$")
			return slices.ContainsFunc(all, like.MatchString)
		},
		`\btorture \w+`: func(name string) bool {
			_, err := (options{parts: strings.Fields(name)[1]}).chosen()
			return err == nil
		},
		`\bbench P\d+`: func(name string) bool { return strings.Contains(rows, strings.Fields(name)[1]) },
	}
	hazards := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !regexp.MustCompile(`\d`).MatchString(cells[1]) {
			continue
		}
		hazards++
		found := strings.Contains(cells[3], "none")
		for pattern, exists := range known {
			for _, name := range regexp.MustCompile(pattern).FindAllString(cells[3], -1) {
				found = true
				if !exists(name) {
					t.Errorf("hazard%s: there is no %s", cells[1], name)
				}
			}
		}
		if !found {
			t.Errorf("hazard%s: neither a test nor a reason", cells[1])
		}
	}
	if hazards < 68+20 {
		t.Errorf("only %d hazards", hazards)
	}
}

// TestFastTests: the quick form of part stress has tests for each of its names.
func TestFastTests(t *testing.T) {
	all := testNames(t)
	for _, start := range fastTests {
		if !slices.ContainsFunc(all, func(name string) bool { return strings.HasPrefix(name, start) }) {
			t.Errorf("no test begins with %s", start)
		}
	}
}

// newRegion makes a file of so many bytes and opens it.
func newRegion(t *testing.T, dir string, size int) *mmap.Region {
	t.Helper()
	f, err := os.CreateTemp(dir, "hazard")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.Remove(f.Name()) })
	defer f.Close()
	if _, err := f.Write(fill(1, size)); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.OpenFile(f.Name(), os.O_RDWR, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// seen keeps the compiler from leaving a load out.
var seen byte

// touch reports whether a byte can be read.
func touch(p *byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil && ok }()
	seen = *p
	return true
}

// TestHazardTail: what was stored behind the end of a file on tmpfs is not
// there when the file grows.
func TestHazardTail(t *testing.T) {
	r := newRegion(t, "/dev/shm", 8000)
	b := r.Bytes()
	if err := r.Truncate(5000); err != nil {
		t.Fatal(err)
	}
	copy(b[5000:6000], bytes.Repeat([]byte{'Z'}, 1000)) // still in the last page
	for what, grow := range map[string]func() error{
		"Truncate": func() error { return r.Truncate(7000) },
		"WriteAt":  func() error { _, err := r.WriteAt([]byte{1}, 7500); return err },
	} {
		if err := grow(); err != nil {
			t.Fatal(what, err)
		}
		got := make([]byte, 1000)
		if _, err := r.ReadAt(got, 5000); err != nil || bytes.ContainsRune(got, 'Z') {
			t.Errorf("%s: %v; old bytes: %v", what, err, bytes.ContainsRune(got, 'Z'))
		}
	}
}

// TestHazardSealedMapping: memory that mseal(2) made permanent cannot be
// revoked. Close says so, and the Region is closed all the same.
func TestHazardSealedMapping(t *testing.T) {
	r := newRegion(t, t.TempDir(), 8192)
	b := r.Bytes()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if _, _, errno := unix.Syscall(unix.SYS_MSEAL, at, 8192, 0); errno != 0 {
		t.Skip("mseal: ", errno)
	}
	if err := r.Close(); !errors.Is(err, syscall.EPERM) {
		t.Errorf("Close: %v", err)
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("ReadAt: %v", err)
	}
}

// TestHazardLockedAll: under mlockall(MCL_FUTURE) a mapping over another one
// fails. Close revokes the memory all the same, or says that it could not.
func TestHazardLockedAll(t *testing.T) {
	r := newRegion(t, t.TempDir(), 8192)
	b := r.Bytes()
	if err := unix.Mlockall(unix.MCL_FUTURE); err != nil {
		t.Skip("mlockall: ", err)
	}
	defer unix.Munlockall()
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err == nil && touch(&b[0]) {
		t.Error("Close says nil, and the memory can be read")
	}
}

// TestHazardSyncWrites: with O_SYNC a write is on the disk when it returns, also
// when the place was written before and is mapped.
func TestHazardSyncWrites(t *testing.T) {
	var fs unix.Statfs_t
	dir := t.TempDir()
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skip("tmpfs counts no dirty pages: ", err)
	}
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, fill(1, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := mmap.OpenFile(name, os.O_RDWR|os.O_SYNC, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := errors.Join(r.Flush(), r.View(0, 1, func([]byte) error { return nil })); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := r.WriteAt(fill(2, 100), int64(i*4000)); err != nil {
			t.Fatal(err)
		}
		st, err := r.CacheStat(0, mmap.ToEnd)
		if err != nil {
			t.Skip(err)
		}
		if st.Dirty != 0 {
			t.Fatalf("after write %d, %d pages are dirty", i, st.Dirty)
		}
	}
}

// hugeFiles makes a file system of huge pages, which nobody else sees and which
// ends with the test, and returns where it is and how large its pages are. The
// pages are reserved by a process that gives them back whatever becomes of us.
func hugeFiles(t *testing.T, pages int) (dir string, size int64) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `f=/proc/sys/vm/nr_hugepages; old=$(cat $f) && echo $((old + $1)) >$f && echo $(($(cat $f) - old)); read _; echo $old >$f`, "sh", fmt.Sprint(pages))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	reserved := 0
	if _, err := fmt.Fscan(out, &reserved); err != nil || reserved < pages {
		t.Skip("no huge pages can be reserved: ", reserved, err)
	}
	conf, err := unix.Fsopen("hugetlbfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Skip("hugetlbfs: ", err)
	}
	defer unix.Close(conf)
	if err := unix.FsconfigCreate(conf); err != nil {
		t.Skip("hugetlbfs: ", err)
	}
	mount, err := unix.Fsmount(conf, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Skip("hugetlbfs: ", err)
	}
	t.Cleanup(func() { unix.Close(mount) })
	var st unix.Statfs_t
	if err := unix.Fstatfs(mount, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("/proc/self/fd/", mount), st.Bsize
}

// hugeFile makes a file of huge pages.
func hugeFile(t *testing.T, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(name) })
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestHazardHugePages: files of hugetlbfs, whose pages are huge, and which
// cannot be written by write(2), are as they are by an os.File; and their memory
// works, for as long as they are open.
func TestHazardHugePages(t *testing.T) {
	const pages = 4
	dir, huge := hugeFiles(t, 2*pages)
	var sides [2]target
	for i := range sides {
		name := fmt.Sprint(dir, "/file", i)
		hugeFile(t, name, 2*huge)
		var err error
		if sides[i], err = openTarget(name, i == 0); err != nil {
			t.Fatal(err)
		}
		defer sides[i].Close()
	}
	r := sides[0].(*mmap.Region)
	truncate := func(size int64) func(target) outcome {
		return func(t target) outcome { return outcome{err: t.Truncate(size)} }
	}
	size := func(t target) outcome {
		info, err := t.Stat()
		if err != nil {
			return outcome{err: err}
		}
		return outcome{n: info.Size()}
	}
	for i, do := range []func(target) outcome{
		readAt(500, 100), readAt(huge-50, 100), readAt(0, 300_000), view(500, 100), writeAt(500, 100), readAt(500, 100),
		readAt(2*huge-50, 100), readAt(2*huge, 1), writeAt(2*huge, 100), size,
		truncate(huge + 1), size, truncate(pages * huge), size, readAt(3*huge, 100), view(3*huge, 100),
		truncate(huge), size, readAt(huge-50, 100), readAt(huge, 100), truncate(2 * huge), readAt(huge, 100), size,
	} {
		// The kernel makes a file of huge pages as long as a mapping of it that may
		// be written: there must be none that is longer.
		got, want := do(sides[0]), do(sides[1])
		if !got.is(want) {
			t.Errorf("call %d: %v; os.File %v", i, got, want)
		}
	}
	if o := storeView(r); o.err != nil {
		t.Errorf("a store: %v", o)
	}
	got := make([]byte, 100)
	if f, err := os.Open(r.Name()); err != nil {
		t.Error(err)
	} else if _, err := f.ReadAt(got, at); err != nil || !bytes.Equal(got, fill(7, 100)) {
		t.Errorf("a store is not in the file: %v", err)
	} else {
		f.Close()
	}
	b := r.Bytes()
	if err := r.Close(); err != nil || len(b) != int(2*huge) || touch(&b[0]) {
		t.Errorf("Close: %v; %d bytes, and the memory can be read: %v", err, len(b), touch(&b[0]))
	}
}

// TestHazardHugeWindows: the kernel unmaps and protects only whole huge pages.
// Protect and Close of a part of one do what they should, or say that they did
// not.
func TestHazardHugeWindows(t *testing.T) {
	dir, huge := hugeFiles(t, 8)
	name := dir + "/file"
	hugeFile(t, name, 2*huge)
	for _, opts := range []mmap.Options{
		{Length: 100_000}, {Offset: huge, Length: 5000}, {Offset: 4096, Length: 5000}, {Length: huge}, {Length: 100_000, Private: true},
	} {
		t.Run(fmt.Sprintf("%d at %d", opts.Length, opts.Offset), func(t *testing.T) {
			none := func(r *mmap.Region) error { return r.Protect(0, mmap.ToEnd, mmap.ProtNone) }
			for what, do := range map[string]func(*mmap.Region) error{"Protect": none, "Close": (*mmap.Region).Close} {
				r, err := mmap.OpenFile(name, os.O_RDWR, 0, &opts)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				if _, err := r.ReadAt(make([]byte, 100), 100); err != nil {
					t.Errorf("ReadAt: %v", err)
				}
				b := r.Bytes()
				if err := do(r); err == nil && len(b) > 0 && touch(&b[0]) {
					t.Errorf("%s says nil, and the memory can be read", what)
				}
				if _, err := r.ReadAt(make([]byte, 1), 0); what == "Close" && !errors.Is(err, os.ErrClosed) {
					t.Errorf("ReadAt: %v", err)
				}
			}
		})
	}
}

// faultyText is a Stringer whose text is cut off.
type faultyText struct{ b []byte }

func (s faultyText) String() string { return string(s.b) }

// TestHazardRecoveringCallback: fmt recovers from what String methods do, and
// so hides the fault. The Region goes on, and its next View tells.
func TestHazardRecoveringCallback(t *testing.T) {
	r := newRegion(t, t.TempDir(), 100_000)
	var text string
	err := r.View(0, mmap.ToEnd, func(b []byte) error {
		if err := os.Truncate(r.Name(), 0); err != nil {
			return err
		}
		text = fmt.Sprint(faultyText{b})
		return nil
	})
	if err != nil || !strings.Contains(text, "PANIC") {
		t.Errorf("%v, %.60q", err, text)
	}
	if n, err := r.ReadAt(make([]byte, 10), 50_000); n != 0 || err != io.EOF {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
}

// TestHazardSeekInCallback: a callback of SyscallConn may use the Region.
func TestHazardSeekInCallback(t *testing.T) {
	r := newRegion(t, t.TempDir(), 100)
	conn, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- conn.Read(func(uintptr) bool {
			_, err = r.Seek(10, io.SeekStart)
			return true
		})
	}()
	select {
	case e := <-done:
		if e = errors.Join(e, err); e != nil {
			t.Error(e)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("deadlock")
	}
}

// TestResultsKeepOtherParts: the results of parts that did not run stay in the file.
func TestResultsKeepOtherParts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results")
	write := func(name, value string) string {
		t.Helper()
		at := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		l := &lab{part: parts[at], ran: true, figures: []figure{{"what was found", value}}}
		if err := writeResults(options{out: file, seed: 7}, []*lab{l}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write("model", "first")
	write("long", "second")
	text := write("model", "third")
	if strings.Contains(text, "first") || !strings.Contains(text, "second") || !strings.Contains(text, "third") {
		t.Errorf("it is:\n%s", text)
	}
	if strings.Index(text, "## model") > strings.Index(text, "## long") || !strings.Contains(text, "-parts long -seed 7") {
		t.Errorf("not in order, or without its command:\n%s", text)
	}
}
