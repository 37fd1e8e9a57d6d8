//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/difftest"
)

// scenes are what a hand plays, and how often.
var scenes = []struct {
	name  string
	often int
	play  func(h *hand) error
}{
	{"case of the model test", 12, (*hand).playCase},
	{"shared stripe", 3, (*hand).useStripe},
	{"large file", 3, (*hand).readLarge},
	{"crowd, dropped or closed", 3, (*hand).crowd},
	{"bytes handed out", 6, (*hand).handOut},
	{"small file", 3, (*hand).readOnce},
	{"file cut in a View", 3, (*hand).cutInView},
	{"Close beside readers", 3, (*hand).closeBeside},
	{"panic in a View", 1, (*hand).panicInView},
	{"private memory", 2, (*hand).private},
	{"window", 2, (*hand).window},
	{"anonymous memory", 2, (*hand).anonymous},
	{"shared memory", 2, (*hand).share},
	{"copy", 2, (*hand).copies},
	{"DirFS", 3, (*hand).walk},
	{"refused openings", 3, (*hand).refused},
	{"collection", 1, func(h *hand) error { runtime.GC(); return nil }},
}

// same says where have is not what it should be.
func same(what string, got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%s: %d bytes instead of %d, the first wrong one at %d", what, len(got), len(want), differ(got, want))
}

// wants is the error of a call that should have failed with want.
func wants(what string, err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("%s: %v instead of %v", what, err, want)
}

// holds compares all that a Region reads with what it should.
func (h *hand) holds(r *mmap.Region, want []byte) error {
	for off := 0; off < len(want); off += len(h.buf) {
		n := min(len(h.buf), len(want)-off)
		if _, err := r.ReadAt(h.buf[:n], int64(off)); err != nil {
			return err
		}
		if err := same("ReadAt", h.buf[:n], want[off:off+n]); err != nil {
			return err
		}
	}
	if n, err := r.ReadAt(h.buf[:1], int64(len(want))); n != 0 || err != io.EOF {
		return fmt.Errorf("ReadAt of the end: %d, %v", n, err)
	}
	return nil
}

// playCase plays a case of the model test: a file that is opened in one of many
// ways, changed, cut, grown, and closed.
func (h *hand) playCase() error {
	const calls = 60
	seed := h.rng.Uint64()
	d, err := h.lab.Play(difftest.Random(seed, calls).Limited(difftest.NoHoles))
	if d != nil {
		return fmt.Errorf("seed %d: %s\nregion %+v\noracle %+v\ncase %v", seed, d.Call, d.Got, d.Want, d.Case)
	}
	return err
}

// useStripe reads and changes this hand's part of memory that all hands write
// to, and that has a descriptor.
func (h *hand) useStripe() error {
	base := int64(h.n) * stripeSize
	off := h.rng.IntN(stripeSize - longTouch)
	n := 1 + h.rng.IntN(longTouch)
	part := h.stripe[off : off+n]
	if _, err := h.memory.ReadAt(h.buf[:n], base+int64(off)); err != nil {
		return err
	}
	if err := same("ReadAt", h.buf[:n], part); err != nil {
		return err
	}
	if _, err := h.memory.WriteAt(h.fresh(part), base+int64(off)); err != nil {
		return err
	}
	return h.memory.View(base, stripeSize, func(b []byte) error {
		err := same("View", b, h.stripe)
		copy(b[off:], h.fresh(part))
		return err
	})
}

// readLarge reads parts of a file that all hands read.
func (h *hand) readLarge() error {
	for range 20 {
		off := h.rng.IntN(largeSize - longTouch)
		n := 1 + h.rng.IntN(longTouch)
		if _, err := h.large.ReadAt(h.buf[:n], int64(off)); err != nil {
			return err
		}
		err := h.large.View(int64(off), int64(n), func(b []byte) error { return same("View", b, h.buf[:n]) })
		if err != nil {
			return err
		}
		if err := same("ReadAt", h.buf[:n], h.all[off:off+n]); err != nil {
			return err
		}
	}
	return nil
}

// crowd opens many files at once. Some are closed, the others dropped.
func (h *hand) crowd() error {
	var all []*mmap.Region
	for range 10 + h.rng.IntN(40) {
		name, have := h.some(1)
		r, err := h.openSome(name)
		if err != nil {
			return err
		}
		all = append(all, r)
		for range h.rng.IntN(12) {
			off := h.rng.IntN(len(have))
			n := min(100, len(have)-off)
			if _, err := r.ReadAt(h.buf[:n], int64(off)); err != nil {
				return err
			}
			if err := same("ReadAt", h.buf[:n], have[off:off+n]); err != nil {
				return err
			}
		}
		if h.chance(3) {
			if err := r.View(0, mmap.ToEnd, func(b []byte) error { return same("View", b, have) }); err != nil {
				return err
			}
		}
	}
	for _, r := range all {
		if h.chance(2) {
			if err := r.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// openSome opens a file in one of the ways there are.
func (h *hand) openSome(name string) (*mmap.Region, error) {
	switch h.rng.IntN(4) {
	case 0:
		return mmap.OpenFile(name, os.O_RDWR, 0, nil)
	case 1:
		return mmap.OpenFile(name, os.O_RDONLY, 0, &mmap.Options{Populate: true, HugePages: true})
	case 2:
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return mmap.Map(f, nil)
	}
	return mmap.Open(name)
}

// handOut takes the bytes themselves, which must be closed.
func (h *hand) handOut() error {
	for range 10 {
		name, have := h.some(1)
		r, err := h.openSome(name)
		if err != nil {
			return err
		}
		err = same("Bytes", r.Bytes(), have)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// readOnce opens a small file, reads it once, and closes it.
func (h *hand) readOnce() error {
	for range 10 {
		name, have := h.some(0)
		r, err := mmap.Open(name)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, same("Read", got, have), r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// cutInView cuts a file while its bytes are looked at.
func (h *hand) cutInView() error {
	name := h.own("cut")
	defer os.Remove(name)
	page := int(mmap.PageSize())
	have := h.fresh(h.room[:8*page+h.rng.IntN(page)+1])
	if err := os.WriteFile(name, have, 0o600); err != nil {
		return err
	}
	flag, to := []int{os.O_RDONLY, os.O_RDWR}[h.rng.IntN(2)], h.rng.IntN(4*page)
	r, err := mmap.OpenFile(name, flag, 0, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	err = r.View(0, mmap.ToEnd, func(b []byte) error {
		if err := errors.Join(same("View", b, have), os.Truncate(name, int64(to))); err != nil {
			return err
		}
		if flag == os.O_RDWR && h.chance(2) {
			b[len(b)-1] = 1
		} else {
			h.sink += b[len(b)-1]
		}
		return errors.New("no fault where the file was cut")
	})
	fault := new(mmap.FaultError)
	if !errors.As(err, &fault) || fault.Err != io.ErrUnexpectedEOF || int(fault.Off) < to {
		return fmt.Errorf("cut to %d: %w", to, err)
	}
	// Until it asks the descriptor, there are zeros up to the end of the page.
	if n, err := r.ReadAt(h.buf[:1], int64(len(have)-1)); n != 0 || err != io.EOF {
		return fmt.Errorf("ReadAt of what was cut off: %d, %w", n, err)
	}
	if err := h.holds(r, have[:to]); err != nil {
		return err
	}
	if flag == os.O_RDWR {
		return h.afterCut(r, have[:to])
	}
	return nil
}

// afterCut writes past the end of what a cut left of a file whose bytes were
// shown writable: it grows again, and Flush knows.
func (h *hand) afterCut(r *mmap.Region, have []byte) error {
	if err := wants("Flush", r.Flush(), io.ErrUnexpectedEOF); err != nil {
		return err
	}
	want := append(bytes.Clone(have), make([]byte, 100)...)
	want = append(want, h.fresh(h.buf[:1000])...)
	if _, err := r.WriteAt(want[len(want)-1000:], int64(len(want)-1000)); err != nil {
		return err
	}
	got, err := os.ReadFile(r.Name())
	return errors.Join(err, same("the file after a write past the cut", got, want), h.holds(r, want))
}

// closeBeside closes a Region that others read.
func (h *hand) closeBeside() error {
	name, have := h.some(60_000)
	r, err := h.openSome(name)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	begun, ended := make(chan struct{}), make(chan error, 2)
	beside := func(read func() error) {
		all.Go(func() {
			err := read()
			begun <- struct{}{}
			for err == nil {
				err = read()
			}
			ended <- wants("beside Close", err, os.ErrClosed)
		})
	}
	buf := make([]byte, 20_000)
	beside(func() error {
		if _, err := r.ReadAt(buf, 30_000); err != nil {
			return err
		}
		return same("ReadAt", buf, have[30_000:50_000])
	})
	beside(func() error {
		return r.View(0, 50_000, func(b []byte) error { return same("View", b, have[:50_000]) })
	})
	<-begun
	<-begun
	err = r.Close()
	all.Wait()
	return errors.Join(err, <-ended, <-ended)
}

// panicInView leaves a View by a panic of its own.
func (h *hand) panicInView() (err error) {
	name, have := h.some(1)
	r, err := h.openSome(name)
	if err != nil {
		return err
	}
	func() {
		defer func() {
			if v := recover(); v != "mine" {
				err = fmt.Errorf("a panic in a View became %v", v)
			}
		}()
		_ = r.View(0, mmap.ToEnd, func([]byte) error { panic("mine") })
	}()
	return errors.Join(err, h.holds(r, have))
}

// private changes memory that no file sees.
func (h *hand) private() error {
	name, have := h.some(1)
	r, err := mmap.OpenFile(name, os.O_RDONLY, 0, &mmap.Options{Private: true})
	if err != nil {
		return err
	}
	want := append(h.room[:0], have...)
	off := h.rng.IntN(len(want))
	part := h.fresh(want[off:min(off+longTouch, len(want))])
	if _, err := r.WriteAt(part, int64(off)); err != nil {
		return err
	}
	if _, err := r.WriteAt([]byte("past"), int64(len(want))); err != io.ErrShortWrite {
		return fmt.Errorf("WriteAt past the end: %w", err)
	}
	got, err := os.ReadFile(name)
	if err = errors.Join(err, h.holds(r, want), same("the file beside private memory", got, have)); err != nil || h.chance(2) {
		return err
	}
	return r.Close()
}

// window maps a part of a file.
func (h *hand) window() error {
	name, have := h.some(1)
	off := h.rng.IntN(len(have))
	n := 1 + h.rng.IntN(len(have)-off)
	r, err := mmap.OpenFile(name, os.O_RDONLY, 0, &mmap.Options{Offset: int64(off), Length: int64(n)})
	if err != nil {
		return err
	}
	err = r.View(0, mmap.ToEnd, func(b []byte) error { return same("View", b, have[off:off+n]) })
	if err = errors.Join(err, h.holds(r, have[off:off+n])); err != nil || h.chance(2) {
		return err
	}
	return r.Close()
}

// anonymous uses memory without a file.
func (h *hand) anonymous() error {
	want := h.room[:1+h.rng.IntN(longMost)]
	clear(want)
	r, err := mmap.Anonymous(int64(len(want)), nil)
	if err != nil {
		return err
	}
	for range 4 {
		off := h.rng.IntN(len(want))
		part := h.fresh(want[off:min(off+longTouch, len(want))])
		if _, err := r.WriteAt(part, int64(off)); err != nil {
			return err
		}
	}
	if err := h.holds(r, want); err != nil {
		return err
	}
	off := h.rng.IntN(len(want))
	clear(want[off:])
	if err := errors.Join(r.Discard(int64(off), mmap.ToEnd), h.holds(r, want)); err != nil || h.chance(2) {
		return err
	}
	return r.Close()
}

// share uses memory that has a descriptor, by two Regions, and seals it.
func (h *hand) share() error {
	r, err := mmap.Anonymous(1, &mmap.Options{Share: true})
	if err != nil {
		return err
	}
	want := h.fresh(h.room[:1+h.rng.IntN(longTouch)])
	if _, err := r.WriteAt(want, 0); err != nil {
		return err
	}
	f, err := r.File()
	if err != nil {
		return err
	}
	defer f.Close()
	other, err := mmap.Map(f, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(h.holds(other, want), r.Seal(mmap.SealShrink|mmap.SealGrow)); err != nil {
		return err
	}
	if err := wants("Truncate of what is sealed", other.Truncate(0), syscall.EPERM); err != nil || h.chance(2) {
		return err
	}
	return errors.Join(r.Close(), h.holds(other, want), other.Close())
}

// copies copies a file to a new one, from Region to Region.
func (h *hand) copies() error {
	name, have := h.some(0)
	from, err := h.openSome(name)
	if err != nil {
		return err
	}
	defer from.Close()
	defer os.Remove(h.own("copy"))
	to, err := mmap.Create(h.own("copy"))
	if err != nil {
		return err
	}
	defer to.Close()
	if n, err := io.Copy(to, from); n != int64(len(have)) || err != nil {
		return fmt.Errorf("%d bytes copied of %d: %w", n, len(have), err)
	}
	got, err := os.ReadFile(to.Name())
	return errors.Join(err, same("the copy", got, have), h.holds(to, have))
}

// walk uses the tree as a file system.
func (h *hand) walk() error {
	tree := h.fs
	if h.chance(4) {
		tree = mmap.DirFS(h.tree) // to be dropped
	}
	for range 5 {
		name := h.names[h.rng.IntN(len(h.names))]
		got, err := fs.ReadFile(tree, name)
		if err = errors.Join(err, same("ReadFile", got, h.files[name])); err != nil {
			return err
		}
		f, err := tree.Open(name)
		if err != nil {
			return err
		}
		got, err = io.ReadAll(f)
		if err = errors.Join(err, same("a file of DirFS", got, h.files[name])); err != nil {
			return err
		}
		if h.chance(2) {
			err = f.Close()
		}
		if err != nil {
			return err
		}
	}
	found := 0
	err := fs.WalkDir(tree, ".", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			found++
		}
		return err
	})
	if err != nil || found != len(h.names) {
		return fmt.Errorf("%d files of %d found: %w", found, len(h.names), err)
	}
	if _, err := tree.Open("below/out"); err == nil {
		return errors.New("a symbolic link leads out of DirFS")
	}
	_, err = fs.ReadFile(tree, "../large")
	return wants("a path that leads out", err, fs.ErrInvalid)
}

// refused opens what cannot be opened.
func (h *hand) refused() error {
	name, _ := h.some(1)
	open := func(flag int, opts *mmap.Options) func() (*mmap.Region, error) {
		return func() (*mmap.Region, error) { return mmap.OpenFile(name, flag, 0, opts) }
	}
	for _, c := range []struct {
		what string
		open func() (*mmap.Region, error)
		want error
	}{
		{"a missing file", func() (*mmap.Region, error) { return mmap.Open(name + "x") }, fs.ErrNotExist},
		{"a directory", func() (*mmap.Region, error) { return mmap.Open(h.tree) }, syscall.EISDIR},
		{"a file that is there", open(os.O_RDWR|os.O_CREATE|os.O_EXCL, nil), fs.ErrExist},
		{"write-only memory", open(os.O_WRONLY, &mmap.Options{Access: mmap.AccessMemory}), syscall.EACCES},
		{"a negative offset", open(os.O_RDONLY, &mmap.Options{Offset: -1}), syscall.EINVAL},
		{"a window with O_APPEND", open(os.O_RDWR|os.O_APPEND, &mmap.Options{Length: 1}), syscall.EINVAL},
		{"a window past the end", open(os.O_RDONLY, &mmap.Options{Length: 1 << 30}), io.ErrUnexpectedEOF},
		{"memory of a negative size", func() (*mmap.Region, error) { return mmap.Anonymous(-1, nil) }, syscall.EINVAL},
		{"memory beyond all addresses", func() (*mmap.Region, error) { return mmap.Anonymous(1<<62, nil) }, nil},
		{"no file", func() (*mmap.Region, error) { return mmap.Map(nil, nil) }, os.ErrInvalid},
		{"MapSync of an ordinary file", open(os.O_RDWR, &mmap.Options{MapSync: true}), nil},
	} {
		r, err := c.open()
		if err == nil && c.want == nil {
			err = r.Close() // persistent memory
		} else if err == nil || c.want != nil && !errors.Is(err, c.want) {
			return fmt.Errorf("%s: %v instead of %v", c.what, err, c.want)
		}
		if r != nil && err != nil {
			return fmt.Errorf("%s: a Region beside %w", c.what, err)
		}
	}
	return nil
}
