package mmap

import (
	"io/fs"
	"os"
	"runtime"
	"sync"
)

// DirFS returns the tree below dir as a file system whose regular files are
// Regions: they implement [io.ReaderAt], [io.Seeker] and [io.WriterTo] beside
// [fs.File], as http.FileServerFS wants them. Paths that lead out of dir, by
// ".." or by a symbolic link, are refused as [os.Root] refuses them. It
// implements [fs.ReadDirFS], [fs.ReadFileFS], [fs.StatFS] and [fs.ReadLinkFS].
//
// dir is opened at the first use and stays what it then was, even if it is
// renamed. On Windows, where an open directory can be neither renamed nor
// removed, it is opened for each use. The file system and its files may be used by many goroutines.
func DirFS(dir string) fs.FS { return &dirFS{dir: dir} }

// dirFS is a directory, opened when it is first needed.
type dirFS struct {
	dir  string
	mu   sync.Mutex
	root fs.FS
}

// The interfaces of package fs that a dirFS has.
var (
	_ fs.ReadDirFS  = (*dirFS)(nil)
	_ fs.ReadFileFS = (*dirFS)(nil)
	_ fs.StatFS     = (*dirFS)(nil)
	_ fs.ReadLinkFS = (*dirFS)(nil)
)

// open returns the directory's own file system, for op on name, and what ends its
// use; a directory that is not there yet may come.
func (d *dirFS) open(op, name string) (root fs.FS, done func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		return d.root, func() {}, nil
	}
	opened, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, nil, &fs.PathError{Op: op, Path: name, Err: underlyingError(err)}
	}
	if runtime.GOOS == "windows" {
		return opened.FS(), func() { opened.Close() }, nil
	}
	d.root = opened.FS()
	return d.root, func() {}, nil
}

// Open opens a file for reading: a regular one as a *Region, others as the
// *os.File that they are.
func (d *dirFS) Open(name string) (fs.File, error) {
	root, done, err := d.open("open", name)
	if err != nil {
		return nil, err
	}
	defer done()
	opened, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	f, ok := opened.(*os.File)
	if !ok {
		return opened, nil
	}
	if !isRegular(f) {
		return f, nil
	}
	r, err := newRegion(f, os.O_RDONLY, true, Options{})
	if err != nil {
		f.Close()
		return nil, wrap("open", name, err)
	}
	return r, nil
}

// ReadFile implements [fs.ReadFileFS].
func (d *dirFS) ReadFile(name string) ([]byte, error) {
	root, done, err := d.open("open", name)
	if err != nil {
		return nil, err
	}
	defer done()
	return fs.ReadFile(root, name)
}

// ReadDir implements [fs.ReadDirFS].
func (d *dirFS) ReadDir(name string) ([]fs.DirEntry, error) {
	root, done, err := d.open("open", name)
	if err != nil {
		return nil, err
	}
	defer done()
	return fs.ReadDir(root, name)
}

// Stat implements [fs.StatFS].
func (d *dirFS) Stat(name string) (fs.FileInfo, error) {
	root, done, err := d.open("stat", name)
	if err != nil {
		return nil, err
	}
	defer done()
	return fs.Stat(root, name)
}

// Lstat implements [fs.ReadLinkFS].
func (d *dirFS) Lstat(name string) (fs.FileInfo, error) {
	root, done, err := d.open("lstat", name)
	if err != nil {
		return nil, err
	}
	defer done()
	return fs.Lstat(root, name)
}

// ReadLink implements [fs.ReadLinkFS].
func (d *dirFS) ReadLink(name string) (string, error) {
	root, done, err := d.open("readlink", name)
	if err != nil {
		return "", err
	}
	defer done()
	return fs.ReadLink(root, name)
}
