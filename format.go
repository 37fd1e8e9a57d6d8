package mmap

import "fmt"

// String describes the Region: its kind, name, size in bytes and what serves
// it. It may be called beside every other method.
func (r *Region) String() string {
	if r.checkValid() != nil {
		return "mmap.Region(invalid)"
	}
	return fmt.Sprintf("mmap.Region(%s %q, %d bytes, %s)", r.kindName(), r.name, r.size.Load(), r.served())
}

// GoString is [Region.String]: a Region has no form in Go source.
func (r *Region) GoString() string { return r.String() }

// Format prints [Region.String] whatever the verb is. Without it package fmt
// would read the Region's fields, which others change meanwhile.
func (r *Region) Format(s fmt.State, verb rune) {
	if verb == 'q' {
		fmt.Fprintf(s, "%q", r.String())
		return
	}
	_, _ = s.Write(stringBytes(r.String()))
}

// kindName names what the Region is of.
func (r *Region) kindName() string {
	switch {
	case r.f == nil:
		return "anonymous"
	case r.memoryOnly():
		return "private"
	case r.window > 0:
		return "window"
	case r.unsized:
		return "stream"
	}
	return "file"
}

// served says what serves the Region now.
func (r *Region) served() string {
	switch {
	case r.closed.Load():
		return "closed"
	case r.m.Load() != nil:
		return "mapped"
	case r.neverMapped != nil:
		return "by its descriptor"
	}
	return "not mapped yet"
}
