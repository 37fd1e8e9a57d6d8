package main

import (
	"math/rand/v2"
	"os"

	"github.com/seed-93fed273/mmap"
)

// writes measures writing, on a file made here alone, and checks afterwards
// that both sides still see the same bytes.
func (b *bench) writes() error {
	if !b.subject.made {
		b.report.note("WriteAt and Flush", "only measured on a file made for it (without FILE)")
		return nil
	}
	p, err := b.subject.openPair(os.O_RDWR)
	if err != nil {
		return err
	}
	defer p.close()
	for _, h := range p {
		if err := b.warm(h); err != nil {
			return err
		}
	}
	b.report.section("writing")
	if err := b.dirty(p); err != nil {
		return err
	}
	if err := b.line(p, work{"WriteAt 8 B, pages dirty already", perCall, 8, b.write}); err != nil {
		return err
	}
	if err := b.settle(p); err != nil {
		return err
	}
	if err := b.line(p, work{"WriteAt 8 B and Flush (os.File: Sync)", perCall, 8, b.flush}); err != nil {
		return err
	}
	return b.check("after writing")
}

// dirty writes to each page twice from both sides. The first writes to a clean
// page are dearer than those that follow; flush has them in its time.
func (b *bench) dirty(p pair) error {
	b.say("making pages dirty")
	for _, h := range p {
		pages := b.subject.used / (4 * kiB)
		for i := int64(0); i < 2*pages && b.ctx.Err() == nil; i++ {
			if _, err := h.WriteAt([]byte("modified"), i%pages*4*kiB); err != nil {
				return err
			}
		}
	}
	return b.ctx.Err()
}

// write writes 8 bytes n times, each time somewhere else.
func (b *bench) write(h handle, _ side, n int) error {
	for range n {
		if _, err := h.WriteAt([]byte("modified"), rand.Int64N(b.subject.used/8)*8); err != nil {
			return err
		}
	}
	return nil
}

// flush writes 8 bytes somewhere and makes them durable, n times.
func (b *bench) flush(h handle, by side, n int) error {
	for range n {
		if err := b.write(h, by, 1); err != nil {
			return err
		}
		if err := durable(h); err != nil {
			return err
		}
	}
	return nil
}

// durable puts what h wrote on the disk.
func durable(h handle) error {
	if r, ok := h.(*mmap.Region); ok {
		return r.Flush()
	}
	return h.(*os.File).Sync()
}

// settle leaves nothing to write for the line that comes.
func (b *bench) settle(p pair) error {
	b.say("writing to disk")
	for _, h := range p {
		if err := durable(h); err != nil {
			return err
		}
	}
	return b.ctx.Err()
}
