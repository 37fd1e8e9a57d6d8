package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// walker finds the regular files that the arguments name, each once: hard
// links and repeated arguments count once.
type walker struct {
	c       *console
	recurse bool // look into folders inside folders
	seen    map[identity]bool
	skipped int // folders not looked into
}

// newWalker returns a walker for one run.
func newWalker(c *console, recurse bool) *walker {
	return &walker{c: c, recurse: recurse, seen: map[identity]bool{}}
}

// each calls fn for the files that args name. What cannot be looked at is said,
// and the walk goes on. An error of fn ends it.
func (w *walker) each(ctx context.Context, args []string, fn func(name string, info fs.FileInfo) error) error {
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case err != nil:
		case info.IsDir():
			if err := w.folder(ctx, arg, fn); err != nil {
				return err
			}
			continue
		default:
			err = refuse(arg, info)
		}
		if err != nil {
			w.c.fail(err)
			continue
		}
		if err := w.file(arg, info, fn); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// folder calls fn for the files in a folder, and with recurse below it.
func (w *walker) folder(ctx context.Context, dir string, fn func(name string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			w.c.fail(err)
			return nil
		case d.IsDir() && name != dir && !w.recurse:
			w.skipped++
			return fs.SkipDir
		case d.IsDir() && pseudo(name) != "":
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // it has gone since
		}
		return w.file(name, info, fn)
	})
}

// file calls fn unless the file was seen before.
func (w *walker) file(name string, info fs.FileInfo, fn func(name string, info fs.FileInfo) error) error {
	if id, ok := identify(info); ok {
		if w.seen[id] {
			return nil
		}
		w.seen[id] = true
	}
	return fn(name, info)
}

// refuse returns why a file that is no folder has no pages in the page cache,
// or nil.
func refuse(name string, info fs.FileInfo) error {
	what := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		if system := pseudo(name); system != "" {
			return fmt.Errorf("%s: the kernel makes its content as it is read (%s): it has no pages in the cache and cannot be mapped", name, system)
		}
		return nil
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	default:
		what = "not a regular file"
	}
	return fmt.Errorf("%s: it is %s: only regular files are looked at", name, what)
}

// openRegular opens a file that was regular a moment ago, and does not wait
// should it be a FIFO now.
func openRegular(name string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = refuse(name, info)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
