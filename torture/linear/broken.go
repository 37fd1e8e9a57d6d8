//go:build linux

package linear

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Broken are openers of files that look like an os.File as long as one
// goroutine uses them. A check that does not find them out is worth nothing.
var Broken = map[string]Opener{
	"a cursor without a lock":             openLooseCursor,
	"an append that asks for the end":     openAsking,
	"a Close in two steps":                openSlowClose,
	"a write that is done a moment after": openLazy,
}

// looseCursor has a cursor of its own, which it reads, and moves a moment later.
type looseCursor struct {
	OSFile
	at atomic.Int64
}

func openLooseCursor(name string, p Plan) (File, error) {
	f, err := os.OpenFile(name, p.flags(), 0)
	return &looseCursor{OSFile: OSFile{f}}, err
}

func (f *looseCursor) Seek(offset int64, whence int) (int64, error) {
	if whence == 1 {
		offset, whence = offset+f.at.Load(), 0
	}
	at, err := f.OSFile.Seek(offset, whence)
	if err == nil {
		f.at.Store(at)
	}
	return at, err
}

func (f *looseCursor) Read(p []byte) (int, error) {
	at := f.at.Load()
	n, err := f.ReadAt(p, at)
	runtime.Gosched()
	f.at.Store(at + int64(n))
	if n > 0 {
		err = nil
	}
	return n, err
}

// asking appends where the end was a moment ago.
type asking struct {
	OSFile
	appends bool
}

func openAsking(name string, p Plan) (File, error) {
	f, err := os.OpenFile(name, p.flags()&^os.O_APPEND, 0)
	return &asking{OSFile{f}, p.Append}, err
}

func (f *asking) Write(p []byte) (int, error) {
	if !f.appends {
		return f.OSFile.Write(p)
	}
	if _, err := f.OSFile.Seek(0, 2); err != nil {
		return 0, &os.PathError{Op: "write", Path: f.Name(), Err: os.ErrClosed}
	}
	runtime.Gosched()
	return f.OSFile.Write(p)
}

// slowClose is closed to Stat first, and a moment later to the others.
type slowClose struct {
	OSFile
	closed atomic.Bool
}

func openSlowClose(name string, p Plan) (File, error) {
	f, err := os.OpenFile(name, p.flags(), 0)
	return &slowClose{OSFile: OSFile{f}}, err
}

func (f *slowClose) Stat() (os.FileInfo, error) {
	if f.closed.Load() {
		return nil, &os.PathError{Op: "stat", Path: f.Name(), Err: os.ErrClosed}
	}
	return f.OSFile.Stat()
}

func (f *slowClose) Close() error {
	f.closed.Store(true)
	for range 10 {
		runtime.Gosched()
	}
	return f.OSFile.Close()
}

// lazy writes a moment after WriteAt has returned; other calls of its user do not
// wait for that, but for Close.
type lazy struct {
	OSFile
	writes sync.WaitGroup
}

func openLazy(name string, p Plan) (File, error) {
	f, err := os.OpenFile(name, p.flags(), 0)
	return &lazy{OSFile: OSFile{f}}, err
}

func (f *lazy) WriteAt(p []byte, off int64) (int, error) {
	if _, err := f.OSFile.Stat(); err != nil {
		return 0, &os.PathError{Op: "write", Path: f.Name(), Err: os.ErrClosed}
	}
	p = append([]byte(nil), p...)
	f.writes.Go(func() { _, _ = f.OSFile.WriteAt(p, off) })
	return len(p), nil
}

func (f *lazy) Close() error {
	f.writes.Wait()
	return f.OSFile.Close()
}
