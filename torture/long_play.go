//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/seed-93fed273/mmap"
)

// The sizes of files that are changed, and of one change.
const (
	longMost  = 3 << 19
	longTouch = 64 << 10
)

// play is a file that is changed in many ways, and what it must hold.
type play struct {
	*hand
	r    *mmap.Region
	have []byte
	raw  bool // its bytes were handed out: it must be closed
}

// change is one call, or a few.
type change struct {
	name string
	do   func(p *play) error
}

// standingChanges may be made for ever; the others leave traces until Close.
var (
	standingChanges = []change{
		{"ReadAt", (*play).readAt},
		{"ReadAt", (*play).readAt},
		{"WriteAt", (*play).writeAt},
		{"WriteAt", (*play).writeAt},
		{"Read", (*play).read},
		{"Write", (*play).write},
		{"ReadByte", (*play).readByte},
		{"View", (*play).view},
		{"store in a View", (*play).store},
		{"Truncate", (*play).truncate},
		{"WriteTo", (*play).writeTo},
		{"ReadFrom", (*play).readFrom},
		{"Flush", (*play).flush},
		{"Advise", (*play).advise},
		{"Prefetch", (*play).ask},
		{"Allocate", (*play).allocate},
		{"Discard", (*play).discard},
		{"write by others", (*play).others},
	}
	allChanges = append([]change{
		{"Bytes", (*play).bytes},
		{"Slice", (*play).slice},
		{"Lock", (*play).lock},
		{"Protect", (*play).protect},
		{"advice that lasts", (*play).adviseForGood},
	}, standingChanges...)
)

// open makes a new file; room is for what it holds.
func (h *hand) open(name string, room []byte) (*play, error) {
	r, err := mmap.Create(name)
	return &play{hand: h, r: r, have: room[:0]}, err
}

// play makes n changes.
func (p *play) play(n int, of []change) error {
	for range n {
		c := of[p.rng.IntN(len(of))]
		p.did[c.name]++
		if err := c.do(p); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// span makes up a range inside the file, empty only if the file is.
func (p *play) span() (off, n int) {
	if len(p.have) == 0 {
		return 0, 0
	}
	off = p.rng.IntN(len(p.have))
	return off, 1 + p.rng.IntN(min(longTouch, len(p.have)-off))
}

// resize makes have n bytes long, as truncation does.
func (p *play) resize(n int) {
	old := len(p.have)
	p.have = p.have[:n]
	if n > old {
		clear(p.have[old:])
	}
}

// place makes up a range to write to, inside the file or past its end, fills it
// and returns it.
func (p *play) place() (off int, part []byte) {
	off = p.rng.IntN(min(len(p.have)+5000, longMost-1))
	n := 1 + p.rng.IntN(min(longTouch, longMost-off))
	if off+n > len(p.have) {
		p.resize(off + n)
	}
	return off, p.fresh(p.have[off : off+n])
}

// same compares the file with what it must hold, by the Region and by others.
func (p *play) same() error {
	got, err := os.ReadFile(p.r.Name())
	return errors.Join(err, same("the file", got, p.have), p.holds(p.r, p.have))
}

func (p *play) readAt() error {
	off := p.rng.IntN(len(p.have) + 1000)
	n := 1 + p.rng.IntN(longTouch)
	got, err := p.r.ReadAt(p.buf[:n], int64(off))
	want := p.have[min(off, len(p.have)):min(off+n, len(p.have))]
	if len(want) < n && err != io.EOF || len(want) == n && err != nil {
		return fmt.Errorf("%d bytes at %d of %d: %d, %w", n, off, len(p.have), got, err)
	}
	return same("the bytes", p.buf[:got], want)
}

func (p *play) writeAt() error {
	off, part := p.place()
	n, err := p.r.WriteAt(part, int64(off))
	return complete(n, len(part), err)
}

// complete is the error of a call that should have done all.
func complete[T int | int64](n, want T, err error) error {
	if err == nil && n != want {
		err = fmt.Errorf("%d bytes of %d", n, want)
	}
	return err
}

func (p *play) read() error {
	off, n := p.span()
	if _, err := p.r.Seek(int64(off), io.SeekStart); err != nil {
		return err
	}
	_, err := io.ReadFull(p.r, p.buf[:n])
	return errors.Join(err, same("the bytes", p.buf[:n], p.have[off:off+n]))
}

func (p *play) write() error {
	off, part := p.place()
	if _, err := p.r.Seek(int64(off), io.SeekStart); err != nil {
		return err
	}
	n, err := p.r.Write(part)
	return complete(n, len(part), err)
}

func (p *play) readByte() error {
	off, n := p.span()
	if n == 0 {
		return nil
	}
	if _, err := p.r.Seek(int64(off), io.SeekStart); err != nil {
		return err
	}
	a, err1 := p.r.ReadByte()
	err2 := p.r.UnreadByte()
	b, err3 := p.r.ReadByte()
	return errors.Join(err1, err2, err3, same("the byte", []byte{a, b, p.r.At(off)}, []byte{p.have[off], p.have[off], p.have[off]}))
}

func (p *play) view() error {
	off, n := p.span()
	return p.r.View(int64(off), int64(n), func(b []byte) error { return same("the bytes", b, p.have[off:off+n]) })
}

func (p *play) store() error {
	off, n := p.span()
	return p.r.View(int64(off), int64(n), func(b []byte) error {
		copy(b, p.fresh(p.have[off:off+n]))
		return nil
	})
}

func (p *play) truncate() error {
	size := p.rng.IntN(len(p.have) + 1)
	if p.chance(3) {
		size = p.rng.IntN(longMost)
	}
	p.resize(size)
	return p.r.Truncate(int64(size))
}

// reader compares what is written to it. It is nobody who hands memory on.
type reader struct {
	want []byte
	err  error
}

// Write implements [io.Writer].
func (r *reader) Write(b []byte) (int, error) {
	n := min(len(b), len(r.want))
	r.err = errors.Join(r.err, same("the bytes", b, r.want[:n]))
	r.want = r.want[n:]
	return len(b), r.err
}

func (p *play) writeTo() error {
	off, _ := p.span()
	if _, err := p.r.Seek(int64(off), io.SeekStart); err != nil {
		return err
	}
	n, err := p.r.WriteTo(&reader{want: p.have[off:]})
	return complete(n, int64(len(p.have)-off), err)
}

func (p *play) readFrom() error {
	off, part := p.place()
	if _, err := p.r.Seek(int64(off), io.SeekStart); err != nil {
		return err
	}
	n, err := p.r.ReadFrom(bytes.NewReader(part))
	return complete(n, int64(len(part)), err)
}

// flush flushes all or a part, which costs a write to the disk; or only starts it.
func (p *play) flush() error {
	off, n := p.span()
	switch p.rng.IntN(8) {
	case 0:
		return p.r.Flush()
	case 1:
		return p.r.FlushRange(int64(off), int64(n))
	case 2:
		return p.r.Sync()
	}
	return p.r.FlushAsync(int64(off), int64(n))
}

func (p *play) advise() error {
	off, n := p.span()
	all := []mmap.Advice{mmap.AdviceWillNeed, mmap.AdviceDontNeed, mmap.AdviceCold, mmap.AdvicePageOut, mmap.AdvicePopulateRead, mmap.AdvicePopulateWrite}
	return p.r.Advise(int64(off), int64(n), all[p.rng.IntN(len(all))])
}

func (p *play) adviseForGood() error {
	off, n := p.span()
	all := []mmap.Advice{mmap.AdviceNormal, mmap.AdviceSequential, mmap.AdviceRandom, mmap.AdviceDontFork, mmap.AdviceDoFork, mmap.AdviceDontDump, mmap.AdviceDoDump}
	return p.r.Advise(int64(off), int64(n), all[p.rng.IntN(len(all))])
}

// ask asks what is in memory, and for more.
func (p *play) ask() error {
	off, n := p.span()
	_, err := p.r.Resident(int64(off), int64(n))
	if _, e := p.r.CacheStat(int64(off), int64(n)); !errors.Is(e, errors.ErrUnsupported) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, p.r.Prefetch(mmap.Span{Off: int64(off), Len: int64(n)}, mmap.Span{Off: 0, Len: int64(off)}))
}

func (p *play) allocate() error {
	off := p.rng.IntN(min(len(p.have)+5000, longMost-1))
	n := 1 + p.rng.IntN(min(longTouch, longMost-off))
	err := p.r.Allocate(int64(off), int64(n))
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	p.resize(max(len(p.have), off+n))
	return err
}

func (p *play) discard() error {
	off, n := p.span()
	clear(p.have[off : off+n])
	return p.r.Discard(int64(off), int64(n))
}

// others write to the file by a descriptor of their own; the Region reads it.
func (p *play) others() error {
	f, err := os.OpenFile(p.r.Name(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	off, part := p.place()
	if _, err := f.WriteAt(part, int64(off)); err != nil {
		return err
	}
	if _, err := p.r.ReadAt(p.buf[:len(part)], int64(off)); err != nil {
		return err
	}
	return same("what others wrote", p.buf[:len(part)], part)
}

func (p *play) bytes() error {
	all := p.r.Bytes()
	p.raw = p.raw || all != nil
	err := same("Bytes", all, p.have)
	off, n := p.span()
	if err == nil {
		copy(all[off:], p.fresh(p.have[off:off+n]))
	}
	return err
}

func (p *play) slice() error {
	off, n := p.span()
	off, n = off&^7, n/8
	if off+8*n > len(p.have) || n == 0 {
		return nil
	}
	words, err := mmap.Slice[[8]byte](p.r, int64(off), n)
	if err != nil {
		return err
	}
	p.raw = true
	for i := range words {
		if err = errors.Join(err, same("a word", words[i][:], p.have[off+8*i:][:8])); err != nil {
			return err
		}
	}
	words[0] = [8]byte(p.fresh(p.have[off : off+8]))
	return nil
}

// lock pins a few pages and lets go of them, where this user may.
func (p *play) lock() error {
	off, n := p.span()
	n = min(n, 4096)
	err := p.r.Lock(int64(off), int64(n))
	if errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EPERM) {
		return nil
	}
	return errors.Join(err, p.r.Unlock(int64(off), int64(n)))
}

// protect forbids writing for a moment.
func (p *play) protect() error {
	off, n := p.span()
	if n == 0 {
		return nil
	}
	if err := p.r.Protect(int64(off), int64(n), mmap.ProtRead); err != nil {
		return err
	}
	_, err := p.r.WriteAt([]byte{1}, int64(off))
	err = errors.Join(wants("WriteAt of what is protected", err, syscall.EACCES), p.readAt())
	return errors.Join(err, p.r.Protect(int64(off), int64(n), mmap.ProtRead|mmap.ProtWrite))
}
