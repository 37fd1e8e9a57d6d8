package mmap

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// The EOF page is the last page of a file whose size is no multiple of the page
// size. Memory shows all of it, so bytes past the end of the file can be stored
// to: through slices that were handed out before the file shrank, and by a
// WriteAt that was under way meanwhile. Some file systems (tmpfs, an overlay on
// it, older kernels' others) keep such bytes, and they show when the file grows
// over them and leaves a hole there.
//
//	      valid bytes        past EOF: must be zero before the file grows
//	+--------------------+------------------------+
//	0                   size                   page end
//
// So before this Region lets the file grow with a hole at its end, and when it
// is closed, it zeroes what was stored there. The end may move meanwhile: others
// append whenever they like, and no system call holds them up. Zeroing must not
// hit what they append, so it is done word by word with compare-and-swap:
//
//  1. Read the page. Wait until every write that had begun is counted in the
//     size, and ask for it. What was not zero, and still lies past the end, is
//     stale.
//  2. Swap each stale word for a random tag.
//  3. Wait and ask again. Where the end has not moved over the word, swap the
//     tag for zero. Where it has, somebody appended what stood there already,
//     and the tag is swapped back.
//
// A swap fails if anything else was written to the word: then that stays, and
// the next round looks again. An append is lost only if it is made between 2 and
// 3 and equals the random tag.

// eofWord is a word of the EOF page: its place from the Region's byte 0 on, and
// what it was seen to be.
type eofWord struct {
	off int64
	is  [wordSize]byte
}

const wordSize = 4

// with returns the word with its bytes in [from, to) replaced by those of b.
func (w eofWord) with(from, to int64, b [wordSize]byte) eofWord {
	for i := range b {
		if at := w.off + int64(i); at >= from && at < to {
			w.is[i] = b[i]
		}
	}
	return w
}

// prepareExtend makes the last page of the file ready for a write at off, past
// its end; a negative off stands for a place that is not known. It reports
// whether it raised pendingExtends: then no other write goes to memory until the
// caller has lowered it again. mu is held.
func (r *Region) prepareExtend(off int64) bool {
	if r.eofPageDirty && (off < 0 || off > r.size.Load()) {
		r.zeroPastEOF()
	}
	m, size := r.m.Load(), r.size.Load()
	if m == nil || !r.eofPage.ZeroedByWriteback || size == 0 {
		return false
	}
	// Until it is written the page must be clean, and stay so. What fails
	// here the system reports once, so it is kept for Flush.
	r.pendingExtends.Add(1)
	lo, _ := m.pageRange(min(size, m.capacity)-1, 1)
	m.forgetWrites(lo, m.residency.n)
	r.setSticky(r.writeBackFrom(r.base + size - 1))
	return true
}

// zeroPastEOF makes the bytes past the end of the file zero, up to the end of
// the EOF page, if anything may have been stored there. mu is held.
func (r *Region) zeroPastEOF() {
	const rounds, failures = 100, 3 // each round more means that another write came between
	failed := 0
	if !r.eofPageDirty || r.effectiveProt()&(sys.Read|sys.Write) != sys.Read|sys.Write || r.refreshSizeLocked() != nil {
		return
	}
	for range rounds {
		m := r.m.Load()
		if m == nil {
			return
		}
		size, end := m.pastEOF(r.size.Load())
		words := m.wordsPastEOF(size, end)
		if len(words) == 0 || failed == failures {
			return // or the page may be read and not written: Protect
		}
		r.awaitWrites()
		swapped := m.zeroWords(words, max(size, r.size.Load()), end, func() int64 {
			r.awaitWrites()
			return r.size.Load()
		})
		if failed++; swapped {
			failed = 0
		}
	}
}

// zeroPastEOFOnClose is zeroPastEOF for a Region that goes: if somebody else
// shrank the file and it did not notice, it may have stored past the end, and
// nobody would know. mu is held.
func (r *Region) zeroPastEOFOnClose() {
	m := r.m.Load()
	if m == nil || m.dirtyEnd.Load() == 0 && r.escapedEnd.Load() == 0 || r.refreshSizeLocked() != nil {
		return
	}
	r.zeroPastEOF()
}

// awaitWrites waits until each write to the file that had begun is done, and
// takes over the size that came of it. mu is held.
func (r *Region) awaitWrites() {
	_ = r.withFD(sys.AwaitWrites)
	_ = r.refreshSizeLocked()
}

// pastEOF returns which bytes of the mapping lie past the end of a file of size
// bytes, in its last page.
func (m *mapping) pastEOF(size int64) (from, end int64) {
	return size, min(alignUp(m.lead+size)-m.lead, m.capacity)
}

// wordsPastEOF returns the words that are not zero in [from, end).
func (m *mapping) wordsPastEOF(from, end int64) (words []eofWord) {
	if from >= end {
		return nil
	}
	_ = sys.Populate(m.pagesOf(from, end-from), false) // what may wait, waits there
	var zero, have [512]byte
	lo := (m.lead+from)&^(wordSize-1) - m.lead
	hi := (m.lead+end+wordSize-1)&^(wordSize-1) - m.lead
	for ; lo < hi; lo += int64(len(have)) {
		b := have[:min(hi-lo, int64(len(have)))]
		if m.load(b, lo, maxCopy) < len(b) {
			return words // what cannot be reached needs no zeroing
		}
		for i := 0; have != zero && i < len(b); i += wordSize {
			w := eofWord{lo + int64(i), [wordSize]byte(b[i:])}
			if w.with(from, end, [wordSize]byte{}) != w {
				words = append(words, w)
			}
		}
		have = zero
	}
	return words
}

// zeroWords zeroes the bytes of the words that lie in [from, end), and not
// before what askSize then says to be the end of the file. It reports whether it
// could swap any of them.
func (m *mapping) zeroWords(words []eofWord, from, end int64, askSize func() int64) bool {
	if from >= end {
		return true // it has grown over all of them
	}
	_ = sys.Populate(m.pagesOf(from, end-from), true)
	var tagged []eofWord // beside words: as they are now
	kept := words[:0]
	for _, w := range words {
		t := w.with(from, end, randomTag())
		if t != w && m.swapWord(w.off, w.is, t.is) {
			kept, tagged = append(kept, w), append(tagged, t)
		}
	}
	from = askSize()
	for i, w := range kept {
		m.swapWord(w.off, tagged[i].is, w.with(from, end, [wordSize]byte{}).is)
	}
	return len(kept) > 0
}

// randomTag returns what stands for a stale word. It is no text that a log may
// have: each byte has its highest bit set.
func randomTag() (tag [wordSize]byte) {
	binary.NativeEndian.PutUint32(tag[:], rand.Uint32()|0x80808080)
	return tag
}
