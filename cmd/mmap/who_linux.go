package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// whoWorks reports whether the processes of this system can be looked into.
func whoWorks() error {
	if _, err := os.Stat("/proc/self/maps"); err != nil {
		return fmt.Errorf("/proc tells who uses a file, and is not there: %w", err)
	}
	return nil
}

// seeker looks for the files in the processes.
type seeker struct {
	byFile map[identity]string // as stat(2) knows the files
	byMap  map[identity]string // as /proc/PID/maps knows them: on overlayfs and btrfs another device
	device map[uint64]uint64   // the device there for that of stat(2), where one file's holds for all
	users  map[uint32]string
	found  *found
}

// whoUses finds the processes that have the files open or mapped. This process
// is not among them.
func whoUses(ctx context.Context, c *console, names []string) (*found, error) {
	s := &seeker{byFile: map[identity]string{}, byMap: map[identity]string{}, device: map[uint64]uint64{}, users: map[uint32]string{},
		found: &found{uses: map[string][]use{}}}
	if len(names) == 0 {
		return s.found, nil
	}
	for _, name := range names {
		if err := s.learn(name); err != nil {
			c.fail(err)
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.progress("looking into the processes, %s", percent(int64(i), int64(len(entries))))
		s.look(pid)
	}
	s.found.sort()
	return s.found, nil
}

// sort puts those with most in memory first.
func (f *found) sort() {
	for _, uses := range f.uses {
		slices.SortFunc(uses, func(a, b use) int {
			return cmp.Or(cmp.Compare(b.RSS, a.RSS), cmp.Compare(b.Mapped, a.Mapped), cmp.Compare(a.PID, b.PID))
		})
	}
}

// learn finds out as what a file is known: to stat(2), and in a table of maps.
func (s *seeker) learn(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	id, _ := identify(info)
	s.byFile[id] = name
	s.byMap[mapID(id)] = name
	if dev, ok := s.device[id.dev]; ok {
		s.byMap[identity{dev, id.ino}] = name
		return nil
	}
	f, info, err := openRegular(name)
	if err != nil || info.Size() == 0 {
		return nil // who may not read it can still be told who has it open
	}
	defer f.Close()
	mapped, err := ownMap(f)
	if err != nil {
		return nil
	}
	s.byMap[mapped] = name
	if mapped.ino == id.ino && trusted(f) {
		s.device[id.dev] = mapped.dev
	}
	return nil
}

// mapID returns the identity as /proc/PID/maps shows it, where the device has
// fewer bits.
func mapID(id identity) identity {
	return identity{unix.Mkdev(unix.Major(id.dev), unix.Minor(id.dev)), id.ino}
}

// ownMap maps a page of the file, and returns as what the table of maps shows
// it.
func ownMap(f *os.File) (identity, error) {
	before, err := ownMaps()
	if err != nil {
		return identity{}, err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(pageSize), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return identity{}, err
	}
	defer unix.Munmap(b)
	after, err := ownMaps()
	for id, n := range after {
		if n > before[id] && err == nil {
			return id, nil
		}
	}
	return identity{}, fs.ErrNotExist
}

// ownMaps counts the pages of each file that this process has mapped.
func ownMaps() (map[identity]uint64, error) {
	counts := map[identity]uint64{}
	err := eachMap("/proc/self/maps", func(id identity, bytes uint64) { counts[id] += bytes })
	return counts, err
}

// eachMap calls fn for each map of a file in a table of maps.
func eachMap(table string, fn func(id identity, bytes uint64)) error {
	text, err := os.ReadFile(table)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		if id, n, ok := parseMap(string(line)); ok {
			fn(id, n)
		}
	}
	return nil
}

// parseMap reads a line of a table of maps: "FROM-TO PERM OFFSET MAJOR:MINOR
// INODE NAME". Those of no file have inode 0.
func parseMap(line string) (id identity, n uint64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return id, 0, false
	}
	first, second, isRange := strings.Cut(fields[0], "-")
	from, err1 := strconv.ParseUint(first, 16, 64)
	to, err2 := strconv.ParseUint(second, 16, 64)
	major, minor, isDevice := strings.Cut(fields[3], ":")
	high, err3 := strconv.ParseUint(major, 16, 32)
	low, err4 := strconv.ParseUint(minor, 16, 32)
	ino, err5 := strconv.ParseUint(fields[4], 10, 64)
	if !isRange || !isDevice || err1 != nil || err2 != nil || err3 != nil || err4 != nil || err5 != nil || ino == 0 {
		return id, 0, false
	}
	return identity{unix.Mkdev(uint32(high), uint32(low)), ino}, to - from, true
}

// look looks into one process. One that has gone meanwhile uses nothing.
func (s *seeker) look(pid int) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	uses := map[string]*use{}
	denied := s.lookOpen(dir, uses)
	mapped := false
	err := eachMap(filepath.Join(dir, "maps"), func(id identity, _ uint64) { mapped = mapped || s.byMap[id] != "" })
	if mapped {
		err = s.lookMapped(dir, uses)
	}
	if denied || os.IsPermission(err) {
		s.found.hidden++
	}
	for name, u := range uses {
		u.PID = pid
		s.describe(dir, u)
		s.found.uses[name] = append(s.found.uses[name], *u)
	}
}

// of returns the entry for a file.
func of(uses map[string]*use, name string) *use {
	if uses[name] == nil {
		uses[name] = &use{}
	}
	return uses[name]
}

// lookOpen looks at the descriptors, and reports whether that is forbidden.
func (s *seeker) lookOpen(dir string, uses map[string]*use) (denied bool) {
	entries, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return os.IsPermission(err)
	}
	for _, e := range entries {
		link := filepath.Join(dir, "fd", e.Name())
		if to, err := os.Readlink(link); err != nil || !strings.HasPrefix(to, "/") {
			continue // a pipe, a socket
		}
		info, err := os.Stat(link)
		if err != nil {
			continue
		}
		id, _ := identify(info)
		if name := s.byFile[id]; name != "" {
			u := of(uses, name)
			u.Open++
			u.Modes = addModes(u.Modes, modeOf(filepath.Join(dir, "fdinfo", e.Name())))
		}
	}
	return false
}

// modeOf returns for what a descriptor was opened: r, w or rw.
func modeOf(fdinfo string) string {
	text, _ := os.ReadFile(fdinfo)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, _ := strconv.ParseUint(strings.TrimSpace(value), 8, 32)
			return [...]string{"r", "w", "rw", ""}[flags&unix.O_ACCMODE]
		}
	}
	return ""
}

// addModes returns what two descriptors together allow.
func addModes(a, b string) (both string) {
	for _, mode := range []string{"r", "w"} {
		if strings.Contains(a+b, mode) {
			both += mode
		}
	}
	return both
}

// lookMapped adds up what the process has of the files in memory.
func (s *seeker) lookMapped(dir string, uses map[string]*use) error {
	f, err := os.Open(filepath.Join(dir, "smaps"))
	if err != nil {
		return err
	}
	defer f.Close()
	var u *use // of the map whose lines are being read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if key, value, ok := strings.Cut(line, ":"); ok && !strings.ContainsRune(key, ' ') {
			if u != nil {
				u.addLine(key, value)
			}
			continue
		}
		u = nil
		if id, n, ok := parseMap(line); ok && s.byMap[id] != "" {
			u = of(uses, s.byMap[id])
			u.Mapped += int64(n)
		}
	}
	return lines.Err()
}

// addLine adds a line of smaps: "Rss:    4 kB".
func (u *use) addLine(key, value string) {
	number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return
	}
	switch n *= kiB; key {
	case "Rss":
		u.RSS += n
	case "Pss":
		u.PSS += n
	case "Shared_Dirty", "Private_Dirty":
		u.Dirty += n
	case "Locked":
		u.Locked += n
	}
}

// describe fills in who the process is.
func (s *seeker) describe(dir string, u *use) {
	text, _ := os.ReadFile(filepath.Join(dir, "comm"))
	u.Command = strings.TrimSpace(string(text))
	info, err := os.Stat(dir)
	if err != nil {
		return
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	name, ok := s.users[st.Uid]
	if !ok {
		name = strconv.Itoa(int(st.Uid))
		if known, err := user.LookupId(name); err == nil {
			name = known.Username
		}
		s.users[st.Uid] = name
	}
	u.User = name
}
