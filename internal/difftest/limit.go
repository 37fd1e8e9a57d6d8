package difftest

import "slices"

// Limit says what the files of a file system lack, so that a call for it would
// compare nothing.
type Limit uint8

const (
	// NoHoles: where holes are depends on what was written to the disk so far,
	// and differs between two equal files.
	NoHoles Limit = 1 << iota
	// NoMemory: files cannot be mapped.
	NoMemory
	// NoOffsets: files can only be read and written at the cursor.
	NoOffsets
	// ShortReads: a read(2) returns less than there is. The oracle of a part of a
	// file asks again, so only whole files are compared.
	ShortReads
)

// memoryCalls are those that show a file's memory.
var memoryCalls = []kind{opBytes, opViewReads, opViewWrites, opAt}

// streamCalls are those that a file without offsets has.
var streamCalls = []kind{opRead, opReadByte, opWrite, opWriteByte, opWriteString, opStat, opClose, opReopen}

// Limited returns the Case with other calls in place of those, and another way to
// open the file in place of one, that the files lack.
func (c Case) Limited(by Limit) Case {
	c = slices.Clone(c)
	if by&(NoMemory|NoOffsets|ShortReads) != 0 && len(c) > 3 {
		c[3] |= 1 // no Populate
		s := c.setup()
		if s.opts != nil && (by&(NoOffsets|ShortReads) != 0 || s.private() || s.opts.Prot != 0) {
			c[0] = 0 // for reading and writing, all of it
		}
	}
	for i := range c.Calls() {
		k := c.call(i)
		switch {
		case by&NoOffsets != 0 && !slices.Contains(streamCalls, k.kind):
			c.become(i, streamCalls[int(k.fill)%len(streamCalls)])
		case by&NoMemory != 0 && slices.Contains(memoryCalls, k.kind):
			c.become(i, opReadAt)
		case by&NoHoles != 0 && k.kind == opSeek && k.whence() > 2:
			c[(i+1)*record+6] = 0 // from the beginning
		}
	}
	return c
}

// become makes another call of call i.
func (c Case) become(i int, k kind) {
	n := slices.Index(drawn, k)
	r := c[(i+1)*record:]
	r[0] = byte(n)
	if len(r) > 1 {
		r[1] = r[1]&0xf0 | byte(n>>8)
	}
}
