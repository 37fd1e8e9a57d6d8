package programs

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Word is what Search looks for in files of MakeText: it is in one line of some
// thousand, once.
const Word = "quintessence"

// words are the others.
var words = []string{"the", "of", "page", "memory", "file", "and", "kernel", "a", "reader", "question", "quiet", "in",
	"quint", "essence", "which", "time", "writes", "mapping", "to", "is", "storage", "error", "size", "end"}

// fillText fills p with lines of words.
func fillText(p []byte, seed uint64) {
	rng := newRand(seed, 1)
	line := 0
	for len(p) > 0 {
		w := words[rng.IntN(len(words))]
		if rng.IntN(30_000) == 0 {
			w = Word
		}
		n := copy(p, w)
		p = p[n:]
		line += n
		if len(p) > 0 {
			p[0] = ' '
			if line > 70 || w == Word {
				p[0], line = '\n', 0
			}
			p = p[1:]
		}
	}
}

// fillRandom fills p with random bytes.
func fillRandom(p []byte, seed uint64) {
	rng := newRand(seed, 2)
	for ; len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, rng.Uint64())
	}
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
}

// MakeText writes size bytes of text to w, in lines, and returns how often the
// word is in them.
func MakeText(w io.Writer, size int64) (found int, err error) {
	blocks := make([][]byte, 16)
	for i := range blocks {
		blocks[i] = make([]byte, 1<<20)
		fillText(blocks[i], uint64(i))
		blocks[i][len(blocks[i])-1] = '\n' // no word goes on in the next block
	}
	for i := 0; size > 0; i++ {
		b := blocks[(i*7+i/16)%16]
		b = b[:min(int64(len(b)), size)]
		found += bytes.Count(b, []byte(Word))
		if _, err := w.Write(b); err != nil {
			return found, err
		}
		size -= int64(len(b))
	}
	return found, nil
}

// Search counts how often the word is in the file, reading it from end to end
// in pieces that overlap by what a word needs.
func Search(s Source, word string) (found int, err error) {
	const piece = 1 << 20
	w := []byte(word)
	overlap := int64(len(w) - 1)
	buf := make([]byte, piece+overlap)
	for off := int64(0); off < s.Size(); off += piece {
		n := min(piece+overlap, s.Size()-off)
		err := look(s, off, n, buf, func(b []byte) error {
			found += bytes.Count(b, w)
			return nil
		})
		if err != nil {
			return found, err
		}
	}
	return found, nil
}
