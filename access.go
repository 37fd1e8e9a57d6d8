package mmap

import "github.com/seed-93fed273/mmap/internal/sys"

// Mapped returns nil if memory serves this Region, or will once that is
// needed, and otherwise an error that wraps [ErrNotMapped] and says why the
// descriptor does. A Region that was not mapped so far is mapped now, so that
// the answer is certain. An empty file can be mapped when it has bytes. After
// Close the error wraps [os.ErrClosed].
func (r *Region) Mapped() error {
	if err := r.checkValid(); err != nil {
		return err
	}
	err := r.closedOr(nil)
	if err == nil {
		err = r.neverOrSizeless()
	}
	if err == nil {
		_, err = r.mapped()
	}
	if err == errEmpty {
		err = nil
	}
	return wrap("mapped", r.name, err)
}

// privately is mayMapPrivately for a file that is to be opened.
func (d *descriptor) privately(flag int, o Options) bool {
	return !sys.Writable(flag) && !o.Private && !o.MapSync && o.Access != AccessMemory
}
