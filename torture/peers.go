//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
)

// Peers are several users of one file, who take turns: two Regions of this
// process, one of another process, and a plain descriptor. One of them changes
// the file, then all of them must read what a plain slice of bytes says.

// peer is one of them.
type peer interface {
	do(s step) error
	read(off, n int64) ([]byte, error)
	end() error
}

// step is one change.
type step struct {
	Kind   int
	Off, N int64
	Fill   byte
}

// What a step does.
const (
	stepWriteAt = iota
	stepView
	stepTruncate
	stepPunch
	stepFlush
	stepCold
	stepKinds
)

// peersOn plays random steps on one file system.
func peersOn(ctx context.Context, l *lab, d *disk) (err error) {
	name := filepath.Join(d.dir, "shared")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		return err
	}
	peers, err := openPeers(ctx, name)
	for _, p := range peers {
		defer func() { err = errors.Join(err, p.end()) }()
	}
	if err != nil {
		return err
	}
	want := pick(l, 1_000_000, 20_000)
	rng := rand.New(rand.NewPCG(l.seed, 1))
	var have []byte
	steps, checks := 0, 0
	for ; steps < want && ctx.Err() == nil; steps++ {
		s := randomStep(rng, int64(len(have)))
		who := rng.IntN(len(peers))
		if err := peers[who].do(s); err != nil {
			return fmt.Errorf("peers, seed %d, step %d, peer %d: %+v: %w", l.seed, steps, who, s, err)
		}
		have = s.apply(have)
		for i, p := range peers {
			off, n := nearby(rng, s, int64(len(have)))
			got, err := p.read(off, n)
			want := have[min(off, int64(len(have))):min(off+n, int64(len(have)))]
			if err != nil || !bytes.Equal(unpadded(got, want, off), want) {
				return fmt.Errorf("peers, seed %d, step %d: after %+v by peer %d, peer %d reads %d bytes at %d: %d bytes, %v; first difference at %d",
					l.seed, steps, s, who, i, n, off, len(got), err, differ(got, want))
			}
			checks++
		}
	}
	l.figure(d.kind+", two mappings, a process and a descriptor", "%d changes, %d reads, all alike", steps, checks)
	return nil
}

// unpadded takes off what a Region may show past the end of a file that
// somebody else cut, as long as it has not asked: zeros up to the end of the page.
func unpadded(got, want []byte, off int64) []byte {
	if len(got) <= len(want) || len(bytes.Trim(got[len(want):], "\x00")) > 0 {
		return got
	}
	if off+int64(len(got)) > (off+int64(len(want))+mmap.PageSize()-1)&^(mmap.PageSize()-1) {
		return got
	}
	return got[:len(want)]
}

// differ returns the first index at which a and b differ.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// randomStep makes up a change of a file of that size. Files stay below 1 MiB.
func randomStep(rng *rand.Rand, size int64) step {
	s := step{Kind: rng.IntN(stepKinds), Fill: byte(1 + rng.IntN(255))}
	s.Off, s.N = rng.Int64N(size+1), 1+rng.Int64N(20_000)
	switch {
	case s.Kind == stepWriteAt && size > 1<<20:
		s.Kind = stepTruncate
	case s.Kind == stepTruncate && rng.IntN(2) == 0:
		s.Off += rng.Int64N(50_000)
	case s.Kind == stepWriteAt && rng.IntN(3) == 0:
		s.Off = size
	}
	if s.Kind == stepView || s.Kind == stepPunch {
		s.N = min(s.N, size-s.Off)
	}
	return s
}

// apply makes the change on plain bytes.
func (s step) apply(b []byte) []byte {
	switch s.Kind {
	case stepWriteAt, stepView:
		if end := s.Off + s.N; end > int64(len(b)) {
			b = append(b, make([]byte, end-int64(len(b)))...)
		}
		copy(b[s.Off:], s.bytes())
	case stepTruncate:
		if s.Off <= int64(len(b)) {
			return b[:s.Off:s.Off]
		}
		b = append(b, make([]byte, s.Off-int64(len(b)))...)
	case stepPunch:
		clear(b[s.Off : s.Off+s.N])
	}
	return b
}

// bytes are what the step writes.
func (s step) bytes() []byte { return bytes.Repeat([]byte{s.Fill}, int(s.N)) }

// nearby makes up a range to read: what was changed, or any.
func nearby(rng *rand.Rand, s step, size int64) (off, n int64) {
	if rng.IntN(2) == 0 {
		return max(s.Off-rng.Int64N(5000), 0), s.N + rng.Int64N(10_000)
	}
	return rng.Int64N(size + 1), 1 + rng.Int64N(5000)
}

// openPeers opens the file for all of them.
func openPeers(ctx context.Context, name string) (peers []peer, err error) {
	for range 2 {
		r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
		if err != nil {
			return peers, err
		}
		peers = append(peers, regionPeer{r})
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return peers, err
	}
	peers = append(peers, filePeer{f})
	p, err := start(ctx, "peer", name)
	if err != nil {
		return peers, err
	}
	return append(peers, &otherPeer{p, bufio.NewReader(p.out)}), nil
}

// regionPeer is a Region.
type regionPeer struct{ r *mmap.Region }

func (p regionPeer) end() error { return p.r.Close() }

func (p regionPeer) read(off, n int64) ([]byte, error) { return readPeer(p.r, off, n) }

// do asks the descriptor for the size first: a write to what somebody else has
// just cut off is lost, by contract.
func (p regionPeer) do(s step) error {
	_ = p.r.View(p.r.Size(), 1, func([]byte) error { return nil })
	switch s.Kind {
	case stepWriteAt:
		_, err := p.r.WriteAt(s.bytes(), s.Off)
		return err
	case stepView:
		return p.r.View(s.Off, s.N, func(b []byte) error { copy(b, s.bytes()); return nil })
	case stepTruncate:
		return p.r.Truncate(s.Off)
	case stepPunch:
		return p.r.Discard(s.Off, s.N)
	case stepFlush:
		err := p.r.FlushRange(0, min(s.N, p.r.Size()))
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil // somebody cut what this one had stored: it says so, for good
		}
		return err
	}
	if p.r.Size() == 0 {
		return nil
	}
	return p.r.Advise(0, mmap.ToEnd, mmap.AdvicePageOut)
}

// filePeer is a plain descriptor.
type filePeer struct{ f *os.File }

func (p filePeer) end() error { return p.f.Close() }

func (p filePeer) read(off, n int64) ([]byte, error) { return readPeer(p.f, off, n) }

func (p filePeer) do(s step) error {
	switch s.Kind {
	case stepWriteAt, stepView:
		if s.N == 0 {
			return nil
		}
		_, err := p.f.WriteAt(s.bytes(), s.Off)
		return err
	case stepTruncate:
		return p.f.Truncate(s.Off)
	case stepPunch:
		if s.N == 0 {
			return nil
		}
		return unix.Fallocate(int(p.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, s.Off, s.N)
	case stepFlush:
		return p.f.Sync()
	}
	return unix.Fadvise(int(p.f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// readPeer reads up to n bytes; the end of the file is no error here.
func readPeer(r io.ReaderAt, off, n int64) ([]byte, error) {
	b := make([]byte, n)
	c, err := r.ReadAt(b, off)
	if err == io.EOF {
		err = nil
	}
	return b[:c], err
}

// otherPeer is a Region in another process.
type otherPeer struct {
	p   *process
	out *bufio.Reader
}

func (p *otherPeer) end() error { return p.p.end() }

func (p *otherPeer) read(off, n int64) ([]byte, error) {
	return p.call(step{Kind: stepKinds, Off: off, N: n})
}

func (p *otherPeer) do(s step) error {
	_, err := p.call(s)
	return err
}

// call sends a step and waits for the answer: a line, and bytes.
func (p *otherPeer) call(s step) ([]byte, error) {
	if _, err := fmt.Fprintln(p.p.in, s.Kind, s.Off, s.N, s.Fill); err != nil {
		return nil, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return nil, err
	}
	var n int
	var text string
	if _, err := fmt.Sscanf(line, "%d %q", &n, &text); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.out, b); err != nil {
		return nil, err
	}
	if text != "" {
		err = errors.New(text)
	}
	return b, err
}

// childPeer is the other process.
func childPeer(args []string) error {
	r, err := mmap.OpenFile(args[0], os.O_RDWR, 0, nil)
	if err != nil {
		return err
	}
	p := regionPeer{r}
	defer p.end()
	out := bufio.NewWriter(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); out.Flush() {
		var s step
		if _, err := fmt.Sscan(in.Text(), &s.Kind, &s.Off, &s.N, &s.Fill); err != nil {
			return err
		}
		var b []byte
		var err error
		if s.Kind == stepKinds {
			b, err = p.read(s.Off, s.N)
		} else {
			err = p.do(s)
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		fmt.Fprintf(out, "%d %q\n", len(b), text)
		out.Write(b)
	}
	return nil
}
