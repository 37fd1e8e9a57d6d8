package sys

const (
	// PathOnly is O_PATH, of FreeBSD 13.1: such a descriptor names a file
	// and reads nothing.
	PathOnly = 0x400000

	// keptFlags are flags of open(2), beside those of package os, that a
	// file keeps when it is opened anew.
	keptFlags = PathOnly
)
