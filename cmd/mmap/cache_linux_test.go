package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// partly makes a file of n pages of which some stretches, at random, are in the
// cache and the others are not. Where the file system does not let go of
// pages, the test is skipped.
func partly(t *testing.T, n int64) string {
	t.Helper()
	name := newFile(t, int(n*pageSize))
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if inMemory(f) != "" {
		t.Skip("the file system does not let go of pages")
	}
	for begin := time.Now(); slices.Contains(mincore(t, name), true); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("pages stay in the cache")
		}
		if err := dropParts(f, []span{{0, n * pageSize}}); err != nil {
			t.Fatal(err)
		}
	}
	exactly(f)
	random := rand.New(rand.NewPCG(1, 2))
	for at := int64(0); at < n; at += 1 + random.Int64N(40) {
		length := min(1+random.Int64N(30), n-at)
		if _, err := f.ReadAt(make([]byte, length*pageSize), at*pageSize); err != nil {
			t.Fatal(err)
		}
		at += length
	}
	return name
}

// thrice lets a comparison be made three times before it fails: the kernel may
// take any page back at any moment, between two looks at it.
func thrice(t *testing.T, compare func() error) {
	t.Helper()
	var err error
	for range 3 {
		if err = compare(); err == nil {
			return
		}
	}
	t.Error(err)
}

// mincore asks mincore(2) itself which pages of the file are in the cache.
func mincore(t *testing.T, name string) []bool {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	vec := make([]byte, pagesOf(info.Size()))
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	in := make([]bool, len(vec))
	for i, v := range vec {
		in[i] = v&1 != 0
	}
	return in
}

// TestAgainstMincore compares page for page with mincore(2) itself.
func TestAgainstMincore(t *testing.T) {
	thrice(t, func() error {
		name := partly(t, 3000)
		if want, got := mincore(t, name), pageMap(t, name); !slices.Equal(want, got) {
			return fmt.Errorf("mincore %v\nhere    %v", want, got)
		}
		return nil
	})
}

// TestLargeHole checks that a file of which little is there is asked about in
// few steps.
func TestLargeHole(t *testing.T) {
	if !cachestatWorks() {
		t.Skip(noCachestat())
	}
	if math.MaxInt == math.MaxInt32 {
		t.Skip("no mapping reaches so far on 32 bits")
	}
	name := newFile(t, 10)
	const size, at = 8 * tiB, 3 * tiB
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(name, size); err != nil || !trusted(f) {
		t.Skip("no such file here: ", err)
	}
	if _, err := f.WriteAt([]byte("text"), at); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	spans, err := stretches(f, size, true)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if !slices.ContainsFunc(spans, func(s span) bool { return s == span{at, pageSize} }) || len(spans) > 2 {
		t.Errorf("%v, %v", spans, err)
	}
	for _, verb := range []string{"warm", "lock"} {
		if status, _, errs := command(t, verb, name); status != statusFailed || !matches(`^mmap: .* only .* of memory are available.*\n$`, errs) {
			t.Errorf("%s: status %d: %s", verb, status, errs)
		}
	}
}

// pageMap returns for each page of the file whether it is in the cache, as this
// program sees it.
func pageMap(t *testing.T, name string) (in []bool) {
	t.Helper()
	f, info, err := openRegular(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = eachExtent(f, info.Size(), func(part extent) {
		if part.first != int64(len(in)) || part.n < 1 {
			t.Fatalf("%+v after %d pages", part, len(in))
		}
		in = append(in, slices.Repeat([]bool{part.resident}, int(part.n))...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// stat runs stat -json on a file.
func statOf(t *testing.T, name string) statJSON {
	t.Helper()
	var s surveyJSON
	if err := json.Unmarshal([]byte(works(t, "stat", "-json", name)), &s); err != nil || len(s.Files) != 1 {
		t.Fatal(err, s)
	}
	return s.Files[0]
}

// TestAgainstFincore compares what stat says with fincore(1).
func TestAgainstFincore(t *testing.T) {
	thrice(t, func() error {
		name := partly(t, 2000)
		out, err := exec.Command("fincore", "--bytes", "--noheadings", "--output", "PAGES", name).Output()
		if err != nil {
			t.Skip("no fincore: ", err)
		}
		got := statOf(t, name)
		if want := strings.TrimSpace(string(out)); got.Resident == nil || strconv.FormatInt(*got.Resident, 10) != want {
			return fmt.Errorf("stat counts %v pages, fincore %s", *got.Resident, want)
		}
		if n := *got.Resident; n < 200 || n > 1800 {
			return fmt.Errorf("%d of 2000 pages: this compares nothing", n)
		}
		return nil
	})
}

// TestAgainstVmtouch compares page for page with vmtouch(8), by asking it about
// each stretch that is wholly in the cache or wholly not.
func TestAgainstVmtouch(t *testing.T) {
	if _, err := exec.LookPath("vmtouch"); err != nil {
		t.Skip(err)
	}
	thrice(t, func() error {
		name := partly(t, 400)
		in := pageMap(t, name)
		stretches := 0
		for from := 0; from < len(in); {
			to := from
			for to < len(in) && in[to] == in[from] {
				to++
			}
			want := 0
			if in[from] {
				want = to - from
			}
			where := fmt.Sprintf("%d-%d", int64(from)*pageSize, int64(to)*pageSize)
			out, err := exec.Command("vmtouch", "-p", where, name).Output()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(out), fmt.Sprintf("Resident Pages: %d/%d ", want, to-from)) {
				return fmt.Errorf("pages %d..%d: %d resident; vmtouch says\n%s", from, to, want, out)
			}
			from = to
			stretches++
		}
		if stretches < 10 {
			return fmt.Errorf("%d stretches: this compares nothing", stretches)
		}
		return nil
	})
}

// TestBothWays compares what cachestat(2) counts with what a map shows, in all
// and in every part.
func TestBothWays(t *testing.T) {
	if !cachestatWorks() {
		t.Skip(noCachestat())
	}
	thrice(t, func() error {
		f, info, err := openRegular(partly(t, 1500))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, cells := range []int{0, 1, 7, 1500} {
			counted := inspect(f, info.Size(), cells)
			seen := residency{size: info.Size(), pages: counted.pages}
			seen.askMap(f, cells)
			if counted.why != nil || seen.why != nil {
				t.Fatal(counted.why, seen.why)
			}
			if counted.resident != seen.resident || !slices.Equal(counted.cells, seen.cells) || len(seen.cells) != cells {
				return fmt.Errorf("%d parts: cachestat %d %v\nmap %d %v", cells, counted.resident, counted.cells, seen.resident, seen.cells)
			}
		}
		return nil
	})
}

// TestDirty checks that pages that were written count as dirty, and no longer
// once they are on the disk.
func TestDirty(t *testing.T) {
	name := newFile(t, int(100*pageSize))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	before := statOf(t, name)
	if inMemory(f) != "" || before.Dirty == nil {
		t.Skip("nothing is dirty here")
	}
	if *before.Dirty != 0 {
		t.Errorf("%d pages dirty after a sync", *before.Dirty)
	}
	if _, err := f.WriteAt(make([]byte, 50*pageSize), 0); err != nil {
		t.Fatal(err)
	}
	if after := statOf(t, name); *after.Dirty+*after.Writeback < 50 {
		t.Errorf("%d pages dirty, %d being written, of 50", *after.Dirty, *after.Writeback)
	}
}

// TestRestore checks that warm -from brings back what a list saved.
func TestRestore(t *testing.T) {
	thrice(t, func() error {
		name := partly(t, 4000)
		before := pageMap(t, name)
		saved := works(t, "stat", "-list", name)
		list := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(list, []byte(saved), 0o666); err != nil {
			t.Fatal(err)
		}
		works(t, "evict", name)
		if slices.Contains(pageMap(t, name), true) {
			t.Fatal("pages stayed")
		}
		out := works(t, "warm", "-from", list)
		had, back, more := 0, 0, 0
		for i, now := range pageMap(t, name) {
			switch {
			case before[i] && now:
				had, back = had+1, back+1
			case before[i]:
				had++
			case now:
				more++
			}
		}
		if back*100 < had*99 || had < 400 {
			return fmt.Errorf("%d of %d pages are back", back, had)
		}
		if more > had/100 {
			return fmt.Errorf("%d pages came that had not been there", more)
		}
		if want := size(int64(had)*pageSize) + " read"; !strings.Contains(out, want) {
			return fmt.Errorf("no %q in %s", want, out)
		}
		if again := works(t, "warm", "-from", list); !strings.Contains(again, " 0 bytes read") {
			return fmt.Errorf("the second time: %s", again)
		}
		return nil
	})
}

// TestWarm checks that only what is missing is read, and only in the range.
func TestWarm(t *testing.T) {
	thrice(t, func() error {
		name := partly(t, 1000)
		in := pageMap(t, name)
		missing := int64(0)
		for _, yes := range in[:500] {
			if !yes {
				missing += pageSize
			}
		}
		out := works(t, "warm", "-range", fmt.Sprintf("0-%d", 500*pageSize), name)
		if want := fmt.Sprintf("1 file: %s were in the cache, %s read in", size(500*pageSize-missing), size(missing)); !strings.HasPrefix(out, want) {
			return fmt.Errorf("%s lacks %q", out, want)
		}
		after := pageMap(t, name)
		if slices.Contains(after[:500], false) || !slices.Equal(after[500:], in[500:]) {
			return errors.New("the range is not what was read")
		}
		return nil
	})
}

// TestRate checks that no more is read a second than was said.
func TestRate(t *testing.T) {
	thrice(t, func() error {
		name := partly(t, 300)
		works(t, "evict", name)
		begin := time.Now()
		works(t, "warm", "-rate", strconv.FormatInt(1000*pageSize, 10), name)
		if took := time.Since(begin); took < 250*time.Millisecond || took > 10*time.Second {
			return fmt.Errorf("300 pages at 1000 a second took %v", took)
		}
		if slices.Contains(pageMap(t, name), false) {
			return errors.New("not all was read")
		}
		return nil
	})
}

// TestEvictRange checks that only the range goes.
func TestEvictRange(t *testing.T) {
	thrice(t, func() error {
		name := partly(t, 100)
		works(t, "warm", name)
		works(t, "evict", "-range", fmt.Sprintf("%d-%d", 20*pageSize, 50*pageSize), name)
		in := pageMap(t, name)
		if slices.Contains(in[:20], false) || slices.Contains(in[20:50], true) || slices.Contains(in[50:], false) {
			return fmt.Errorf("%v", in)
		}
		return nil
	})
}

// holdEnv makes the test binary map the file of that name, touch and lock a
// part of it, and wait for the end of its input.
const holdEnv = "MMAP_TEST_HOLD"

// What holdFile does, in pages.
const (
	heldPages, touchedPages, changedPages, lockedPages = 600, 200, 30, 10
)

// holdFile is what the test binary does then.
func holdFile(name string) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		var b []byte
		b, err = unix.Mmap(int(f.Fd()), 0, int(heldPages*pageSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err == nil { // before the touching: splitting a huge page unmaps it
			err = unix.Mlock(b[:lockedPages*pageSize])
		}
		for i := int64(0); err == nil && i < touchedPages; i++ {
			if i < changedPages {
				b[i*pageSize]++
			} else if b[i*pageSize] == 0 {
				err = errors.New("not the file that was made")
			}
		}
	}
	fmt.Println("ready", err)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// held lets another process hold the file until the test ends, and returns its
// number.
func held(t *testing.T, name string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+name)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready <nil>\n" {
		t.Fatal(line, err)
	}
	return cmd.Process.Pid
}

// smaps adds up the lines of /proc/PID/smaps that begin with a key and belong
// to the file, in bytes.
func smaps(t *testing.T, pid int, name, key string) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case strings.Contains(fields[0], "-"):
			inside = strings.HasSuffix(strings.TrimSpace(line), name)
		case inside && fields[0] == key+":":
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			n += kib * 1024
		}
	}
	return n
}

// TestWho compares what who says of another process with its smaps.
func TestWho(t *testing.T) {
	name := newFile(t, int(heldPages*pageSize))
	if got := works(t, "who", name); !strings.Contains(got, "no process has it open or mapped") {
		t.Errorf("before: %s", got)
	}
	pid := held(t, name)
	out := works(t, "who", "-json", name)
	var got struct{ Files []whoJSON }
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Files) != 1 || len(got.Files[0].Uses) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	u := got.Files[0].Uses[0]
	want := use{
		PID: pid, User: u.User, Command: u.Command, Open: 1, Modes: "rw", Mapped: heldPages * pageSize,
		RSS: smaps(t, pid, name, "Rss"), PSS: smaps(t, pid, name, "Pss"), Locked: smaps(t, pid, name, "Locked"),
		Dirty: smaps(t, pid, name, "Shared_Dirty") + smaps(t, pid, name, "Private_Dirty"),
	}
	if u != want {
		t.Errorf("who says %+v,\nsmaps %+v", u, want)
	}
	if u.RSS < touchedPages*pageSize || u.Dirty < changedPages*pageSize || u.Locked < lockedPages*pageSize {
		t.Errorf("%+v: this compares nothing", u)
	}
	table := works(t, "who", name)
	if !matches(fmt.Sprintf(` %d .* 1 rw +%s .* %s\n`, pid, strings.ReplaceAll(short(u.Mapped), ".", `\.`), short(u.Locked)), table) {
		t.Errorf("the table:\n%s", table)
	}
}

// TestEvictSaysWhy checks that evict says which process keeps pages, and that
// nobody does afterwards.
func TestEvictSaysWhy(t *testing.T) {
	name := partly(t, heldPages)
	pid := held(t, name)
	status, out, errs := command(t, "evict", name)
	if status != statusFailed || !matches(`^1 file: .* went from the cache\n$`, out) ||
		!matches(fmt.Sprintf(`^mmap: [^\n]* stayed: process %d \([^\n]*\) has locked %s\n$`, pid, size(lockedPages*pageSize)), errs) {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
}

// TestLock locks files in another process, sees them locked, and interrupts it.
func TestLock(t *testing.T) {
	name := newFile(t, int(16*pageSize))
	if lockLimit() < 16*pageSize {
		t.Skip("nothing may be locked here")
	}
	cmd := exec.Command(os.Args[0], "lock", name)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if want := "locked " + size(16*pageSize) + " of 1 file; interrupt to let go\n"; err != nil || line != want {
		t.Errorf("%q, %v, want %q", line, err, want)
	}
	if n := smaps(t, cmd.Process.Pid, name, "Locked"); n != 16*pageSize {
		t.Errorf("%d bytes are locked, of %d", n, 16*pageSize)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != statusInterrupted {
		t.Errorf("status %d", got)
	}
}

// asNobody runs the command as a user that owns nothing, with a limit on
// locked memory.
func asNobody(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "mmap")
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, binary, 0o755)
	}
	for d := dir; err == nil && d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		err = os.Chmod(d, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("ulimit -l 64; exec %q \"$@\"", program)
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestStranger lets somebody ask who does not own the file: the kernel does not
// tell, and stat says so. What may not be read at all is an error; who wants to
// lock too much is told the limit.
func TestStranger(t *testing.T) {
	name := newFile(t, int(64*pageSize))
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	for d := filepath.Dir(name); d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	status, out, errs := asNobody(t, "stat", name)
	if status != statusOK || !matches(`not told +- +- +-\n`, out) || !strings.Contains(out, errNotOwner.Error()) || errs != "" {
		t.Errorf("stat: status %d: %s%s", status, out, errs)
	}
	status, out, errs = asNobody(t, "stat", "-json", name)
	if status != statusOK || strings.Count(out, `"resident_pages":null`) != 2 {
		t.Errorf("stat -json: status %d: %s%s", status, out, errs)
	}
	status, out, errs = asNobody(t, "warm", name)
	if status != statusOK || strings.Contains(out, "were in the cache") || !strings.Contains(out, "does not tell what was missing: all of it was read") {
		t.Errorf("warm: status %d: %s%s", status, out, errs)
	}
	status, out, errs = asNobody(t, "evict", name)
	if status != statusOK || out != "1 file: evicted as far as the system lets go; it does not tell what stayed\n" {
		t.Errorf("evict: status %d: %s%s", status, out, errs)
	}
	status, _, errs = asNobody(t, "lock", name)
	if status != statusFailed || !strings.Contains(errs, "the limit on locked memory is 64 KiB (ulimit -l; RLIMIT_MEMLOCK)") {
		t.Errorf("lock: status %d: %s", status, errs)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"stat", "warm", "evict", "bench"} {
		status, _, errs = asNobody(t, verb, name)
		if status != statusFailed || !matches(`^mmap: open [^\n]*: permission denied\n$`, errs) {
			t.Errorf("%s: status %d: %s", verb, status, errs)
		}
	}
}

// TestSpecialFiles checks what is said of what is no plain file, and that a
// FIFO is not waited for.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		fifo:            "it is a FIFO",
		"/dev/null":     "it is a device",
		"/proc/cpuinfo": "as it is read (proc)",
	} {
		if status, _, errs := command(t, "stat", name); status != statusFailed || !strings.Contains(errs, want) {
			t.Errorf("stat %s: status %d: %s", name, status, errs)
		}
	}
	works(t, "stat", "-r", dir)
	if _, _, err := openRegular(fifo); err == nil || !strings.Contains(err.Error(), "FIFO") {
		t.Errorf("opening a FIFO: %v", err)
	}
}

// mounted mounts a file system on a folder until the test ends.
func mounted(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("mount %q: %v: %s", args, err, out)
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	return dir
}

// TestOverlay checks that stat sees the pages of an overlay's file, whose
// descriptor cachestat(2) finds none of, says nothing of dirty ones, and that
// who knows the file by the overlay's name.
func TestOverlay(t *testing.T) {
	base := t.TempDir()
	lower, upper, work := filepath.Join(base, "l"), filepath.Join(base, "u"), filepath.Join(base, "w")
	for _, dir := range []string{lower, upper, work} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	below := filepath.Join(lower, "file")
	if err := os.Rename(partly(t, heldPages), below); err != nil {
		t.Fatal(err)
	}
	top := mounted(t, "-t", "overlay", "-o", fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work), "overlay")
	name := filepath.Join(top, "file")
	want, got := statOf(t, below), statOf(t, name)
	if got.Resident == nil || *got.Resident != *want.Resident || got.Dirty != nil {
		t.Errorf("stat of the overlay: %+v, of the file below: %+v", got, want)
	}
	works(t, "evict", below)
	if got := statOf(t, name); got.Resident == nil || *got.Resident != 0 {
		t.Errorf("after the eviction: %+v", got)
	}
	fresh := filepath.Join(top, "fresh")
	if err := os.WriteFile(fresh, make([]byte, 100*pageSize), 0o666); err != nil {
		t.Fatal(err)
	}
	if out := works(t, "evict", fresh); out != fmt.Sprintf("1 file: %[1]s of %[1]s went from the cache\n", size(100*pageSize)) {
		t.Errorf("evicting what was just written: %s", out)
	}
	pid := held(t, name)
	if out := works(t, "who", name); !strings.Contains(out, fmt.Sprintf(" %d ", pid)) {
		t.Errorf("who: %s", out)
	}
}

// TestTmpfs checks that nothing is promised of files that live in memory.
func TestTmpfs(t *testing.T) {
	name := filepath.Join(mounted(t, "-t", "tmpfs", "tmpfs"), "file")
	if err := os.WriteFile(name, make([]byte, 10*pageSize), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := statOf(t, name); *got.Resident != 10 {
		t.Errorf("%+v", got)
	}
	status, _, errs := command(t, "evict", name)
	if status != statusFailed || !strings.Contains(errs, "stayed: tmpfs has its files in memory and nowhere else") {
		t.Errorf("evict: status %d: %s", status, errs)
	}
	if status, out, errs := command(t, "doctor", filepath.Dir(name)); status == statusUsage || !strings.Contains(out, "tmpfs") {
		t.Errorf("doctor: status %d: %s%s", status, out, errs)
	}
}

// TestDoctor checks the findings here, and that a full file system hurts.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	_, out, _ := command(t, "doctor", "-json", dir)
	var findings []finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"system", "page size", "seccomp", "cachestat", "populate", "memfd", "max_map_count", "locked memory",
		"addresses", "memory", "file system", "mapping", "preadv2", "fallocate"} {
		i := slices.IndexFunc(findings, func(f finding) bool { return f.Name == name })
		if i < 0 || findings[i].Value == "" || findings[i].Grade == "" {
			t.Errorf("nothing about %s:\n%s", name, out)
		}
	}
	isEmpty(t, dir)
	var meminfo, unit = int64(0), ""
	text, _ := os.ReadFile("/proc/meminfo")
	fmt.Sscanf(string(text), "MemTotal: %d %s", &meminfo, &unit)
	if got := memInfo("MemTotal"); got != meminfo*kiB || got == 0 || availableMemory() > got {
		t.Errorf("memory: %d bytes, %d available; /proc/meminfo says %d %s", got, availableMemory(), meminfo, unit)
	}
	full := mounted(t, "-t", "tmpfs", "-o", "size=64k", "tmpfs")
	os.WriteFile(filepath.Join(full, "file"), make([]byte, 64*kiB), 0o666)
	status, out, errs := command(t, "doctor", full)
	if status != statusFailed || !matches(`HURTS +space +the file system is full`, out) || !matches(`^mmap: \d things? here will hurt: .*space.*\n$`, errs) {
		t.Errorf("a full file system: status %d: %s%s", status, out, errs)
	}
	for line := range strings.Lines(out) {
		if columns(strings.TrimSpace(line)) > helpWidth {
			t.Errorf("too long: %s", line)
		}
	}
}

// TestParseMap checks lines of a table of maps.
func TestParseMap(t *testing.T) {
	id, n, ok := parseMap("7faab7a00000-7faab7a03000 rw-s 00000000 fe:00 9985706    /a b:c\n")
	if !ok || n != 0x3000 || id != (identity{unix.Mkdev(0xfe, 0), 9985706}) {
		t.Error(id, n, ok)
	}
	for _, line := range []string{"", "7ffd-7fff rw-p 0 00:00 0 [stack]", "x-y rw-p 0 fe:00 1 /a", "Rss: 4 kB", "1-2 rw-p 0 fe 1"} {
		if _, _, ok := parseMap(line); ok {
			t.Errorf("%q is taken for a map", line)
		}
	}
}
