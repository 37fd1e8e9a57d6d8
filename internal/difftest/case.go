// Package difftest plays the same calls on a [mmap.Region] and on an oracle, and
// finds where the two differ.
//
// The oracle of a whole file is an [os.File] on an equal file. For what os
// does not have (a part of a file, private memory, View) it is arithmetic over
// an os.File, written down in oracle.go. What may differ all the same stands
// in one place, known.go.
//
// A [Case] is a file, a way to open it and a sequence of calls. It is decoded
// from bytes, so that a fuzzer, a random generator and a printed failure are
// the same thing, and any part of a sequence is a sequence: [Lab.Shrink] drops
// calls as long as the rest still fails.
package difftest

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
)

// record is the length of the encoded setup, and of each encoded call.
const record = 8

// Case is one encoded play: a setup, then calls, each of eight bytes. Every
// sequence of bytes is a Case; what is missing is zero.
type Case []byte

// Random returns a Case of n calls. The same seed gives the same Case.
func Random(seed uint64, n int) Case {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	c := make(Case, record*(n+1))
	_, _ = rand.NewChaCha8(key).Read(c) // cannot fail
	return c
}

// Parse decodes what String prints.
func Parse(s string) (Case, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("model: not a case: %w", err)
	}
	return b, nil
}

// String returns the Case in hexadecimal, as [Parse] takes it.
func (c Case) String() string { return hex.EncodeToString(c) }

// Calls returns the number of calls.
func (c Case) Calls() int { return (max(len(c), record) - 1) / record }

// at returns record i, filled up with zeros.
func (c Case) at(i int) (rec [record]byte) {
	if i*record < len(c) {
		copy(rec[:], c[i*record:])
	}
	return rec
}

// without returns the Case without the calls from first on, n of them.
func (c Case) without(first, n int) Case {
	cut := (first + 1) * record
	end := min(cut+n*record, len(c))
	return append(append(Case{}, c[:cut]...), c[end:]...)
}

// first returns the Case cut after n calls.
func (c Case) first(n int) Case { return c[:min((n+1)*record, len(c))] }

// Calls for the engine. Weights says how often each comes.
type kind uint8

const (
	opRead kind = iota
	opReadAt
	opReadByte
	opUnreadByte
	opWriteToBuffer
	opWriteToFile
	opSeek
	opWrite
	opWriteAt
	opWriteByte
	opWriteString
	opReadFromBytes
	opReadFromFile
	opReadFromPart
	opTruncate
	opSync
	opFlush
	opFlushRange
	opFlushAsync
	opStat
	opOtherGrows
	opOtherCuts
	opOtherWrites
	opBytes
	opViewReads
	opViewWrites
	opAt
	opClose
	opReopen
	kinds
)

// weights are out of about a thousand. Those that wait for a disk are rare.
var weights = [kinds]int{
	opRead: 110, opReadAt: 130, opReadByte: 50, opUnreadByte: 25,
	opWriteToBuffer: 15, opWriteToFile: 12, opSeek: 90,
	opWrite: 80, opWriteAt: 110, opWriteByte: 40, opWriteString: 30,
	opReadFromBytes: 15, opReadFromFile: 12, opReadFromPart: 15,
	opTruncate: 35, opSync: 1, opFlush: 2, opFlushRange: 3, opFlushAsync: 5, opStat: 8,
	opOtherGrows: 15, opOtherCuts: 15, opOtherWrites: 20,
	opBytes: 20, opViewReads: 45, opViewWrites: 30, opAt: 25, opClose: 5, opReopen: 25,
}

// drawn has each kind as often as it weighs.
var drawn = func() (all []kind) {
	for k, w := range weights {
		for range w {
			all = append(all, kind(k))
		}
	}
	return all
}()

// call is one decoded call. Places are still relative: only when it is played
// the file has a size.
type call struct {
	kind      kind
	where     byte   // the class of the offset
	offset    uint16 // its detail
	size      byte   // the class of the length
	detail    byte   // of the length, and of whence
	fill      byte   // what the bytes to write begin with
	looks     bool   // compare the cursor afterwards
	looksFile bool   // compare the file's bytes afterwards
}

// call decodes call i.
func (c Case) call(i int) call {
	r := c.at(i + 1)
	return call{
		kind:      drawn[(int(r[0])|int(r[1]&0x0f)<<8)%len(drawn)],
		looks:     r[1]&0x10 != 0,
		looksFile: r[1]&0xe0 == 0,
		where:     r[2],
		offset:    uint16(r[3]) | uint16(r[4])<<8,
		size:      r[5],
		detail:    r[6],
		fill:      r[7],
	}
}
