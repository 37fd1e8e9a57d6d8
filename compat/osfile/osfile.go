// Package osfile is what other projects' code gets in place of the files of
// package os: a File with all methods of an os.File, served by a mmap.Region
// wherever there can be one. Directories, and files opened for writing only
// where the library refuses them, are files of package os.
package osfile

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-93fed273/mmap"
)

// both is what a Region and an os.File have in common.
type both interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.WriterAt
	io.StringWriter
	io.ReaderFrom
	io.WriterTo
	io.Closer
	syscall.Conn
	Name() string
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

var (
	_ both = (*mmap.Region)(nil)
	_ both = (*os.File)(nil)
)

// File stands for an os.File.
type File struct {
	both
}

// Open stands for os.Open.
func Open(name string) (*File, error) { return OpenFile(name, os.O_RDONLY, 0) }

// Create stands for os.Create.
func Create(name string) (*File, error) {
	return OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// OpenFile stands for os.OpenFile.
func OpenFile(name string, flag int, perm fs.FileMode) (*File, error) {
	r, err := mmap.OpenFile(name, flag, perm, nil)
	if err == nil {
		return &File{r}, nil
	}
	if !errors.Is(err, syscall.EISDIR) && flag&os.O_WRONLY == 0 {
		return nil, err
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// CreateTemp stands for os.CreateTemp.
func CreateTemp(dir, pattern string) (*File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if strings.ContainsRune(pattern, os.PathSeparator) {
		_, err := os.CreateTemp(dir, pattern) // the very error of package os
		return nil, err
	}
	prefix, suffix := pattern, ""
	if i := strings.LastIndexByte(pattern, '*'); i >= 0 {
		prefix, suffix = pattern[:i], pattern[i+1:]
	}
	for {
		name := prefix + strconv.FormatUint(uint64(rand.Uint32()), 10) + suffix
		f, err := OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// Wrap makes a File of what another way of opening returned (os.Root.OpenFile).
// If there can be no Region of it, it is f itself.
func Wrap(f *os.File, err error) (*File, error) {
	if err != nil {
		return nil, err
	}
	r, err := mmap.Map(f, nil)
	if err != nil {
		return &File{f}, nil
	}
	return &File{r}, f.Close()
}

// Fd stands for os.File.Fd.
func (f *File) Fd() uintptr {
	if d, ok := f.both.(interface{ Fd() uintptr }); ok {
		return d.Fd()
	}
	fd := ^uintptr(0)
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(d uintptr) { fd = d })
	}
	return fd
}

// dir returns the file of package os that a directory has, for the methods
// that a Region does not have, or an error.
func (f *File) dir(op string) (*os.File, error) {
	if d, ok := f.both.(*os.File); ok {
		return d, nil
	}
	return nil, &fs.PathError{Op: op, Path: f.Name(), Err: syscall.ENOTDIR}
}

// Readdir stands for os.File.Readdir.
func (f *File) Readdir(n int) ([]fs.FileInfo, error) {
	d, err := f.dir("readdirent")
	if err != nil {
		return nil, err
	}
	return d.Readdir(n)
}

// ReadDir stands for os.File.ReadDir.
func (f *File) ReadDir(n int) ([]fs.DirEntry, error) {
	d, err := f.dir("readdirent")
	if err != nil {
		return nil, err
	}
	return d.ReadDir(n)
}

// Readdirnames stands for os.File.Readdirnames.
func (f *File) Readdirnames(n int) ([]string, error) {
	d, err := f.dir("readdirent")
	if err != nil {
		return nil, err
	}
	return d.Readdirnames(n)
}

// Chdir stands for os.File.Chdir.
func (f *File) Chdir() error {
	d, err := f.dir("chdir")
	if err != nil {
		return err
	}
	return d.Chdir()
}

// Chmod stands for os.File.Chmod.
func (f *File) Chmod(mode fs.FileMode) error {
	if d, ok := f.both.(interface{ Chmod(fs.FileMode) error }); ok {
		return d.Chmod(mode)
	}
	return os.Chmod(f.Name(), mode)
}

// Chown stands for os.File.Chown.
func (f *File) Chown(uid, gid int) error {
	if d, ok := f.both.(interface{ Chown(uid, gid int) error }); ok {
		return d.Chown(uid, gid)
	}
	return os.Chown(f.Name(), uid, gid)
}

// SetDeadline stands for os.File.SetDeadline.
func (f *File) SetDeadline(t time.Time) error {
	if d, ok := f.both.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(t)
	}
	return &fs.PathError{Op: "set deadline", Path: f.Name(), Err: os.ErrNoDeadline}
}
