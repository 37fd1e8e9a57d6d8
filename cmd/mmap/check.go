package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"

	"github.com/seed-93fed273/mmap"
)

// check makes sure that both sides read the same bytes, in every way of
// reading, and notes what was checked. When is "before" or "after" the file
// was written to.
func (b *bench) check(when string) error {
	p, err := b.openFor(2, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer p.close()
	want, err := b.digest("os.File, in sequence", p[osFile], b.sequence)
	if err != nil {
		return err
	}
	got, err := b.digest("Region, in sequence", p[region], b.sequence)
	if err := b.same("sequential reading", want, got, err); err != nil {
		return err
	}
	note := fmt.Sprintf("io.Copy of %s", size(b.subject.used))
	switch got, err := b.digest("Region, View", p[region], b.viewed); {
	case errors.Is(err, errors.ErrUnsupported):
		b.report.note("View", err.Error())
	default:
		if err := b.same("View", want, got, err); err != nil {
			return err
		}
		note += ", View of the same"
	}
	if want, err = b.digest("os.File, at random", p[osFile], b.scattered); err != nil {
		return err
	}
	got, err = b.digest("Region, at random", p[region], b.scattered)
	if err := b.same("reading at random", want, got, err); err != nil {
		return err
	}
	b.report.Checked = append(b.report.Checked, fmt.Sprintf("%s: %s, ReadAt at %d random places (%x)", when, note, scatters, want[:4]))
	return nil
}

// digest returns the hash of what feed reads from h.
func (b *bench) digest(what string, h handle, feed func(hash.Hash, handle) error) ([]byte, error) {
	b.c.progress("checking: %s", what)
	sum := sha256.New()
	if err := feed(sum, h); err != nil {
		return nil, err
	}
	return sum.Sum(nil), b.ctx.Err()
}

// same returns an error unless both hashes are the same.
func (b *bench) same(what string, want, got []byte, err error) error {
	if err == nil && !bytes.Equal(want, got) {
		err = fmt.Errorf("%s: %s gives other bytes through Region (SHA-256 %x) than through os.File (%x)",
			b.subject.name, what, got, want)
	}
	return err
}

// sequence feeds the hash from the beginning on, with io.Copy.
func (b *bench) sequence(sum hash.Hash, h handle) error {
	if _, err := h.(file).Seek(0, io.SeekStart); err != nil {
		return err
	}
	for left := b.subject.used; left > 0 && b.ctx.Err() == nil; {
		n, err := io.CopyN(sum, h.(file), min(left, 16*miB))
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// viewed feeds the hash from View.
func (b *bench) viewed(sum hash.Hash, h handle) error {
	return h.(*mmap.Region).View(0, b.subject.used, func(p []byte) error {
		for len(p) > 0 && b.ctx.Err() == nil {
			n, _ := sum.Write(p[:min(len(p), 16*miB)])
			p = p[n:]
		}
		return nil
	})
}

// scatters is how many random reads are checked.
const scatters = 2000

// scattered feeds the hash from ReadAt, at the same random places with the
// same random lengths for everyone.
func (b *bench) scattered(sum hash.Hash, h handle) error {
	random := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, 64*kiB)
	for range scatters {
		off := random.Int64N(b.subject.used)
		n := min(1+random.Int64N(int64(len(p))), b.subject.used-off)
		if _, err := h.ReadAt(p[:n], off); err != nil && (err != io.EOF || off+n != b.subject.size) {
			return err
		}
		sum.Write(p[:n])
	}
	return nil
}
