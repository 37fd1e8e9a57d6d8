//go:build linux || darwin || windows

package sys

// growByAppending makes the file end at end or behind, by zeros written to its
// end with add: wherever that is at the moment, so that no byte of others is
// overwritten. What others append meanwhile lies between the zeros.
func growByAppending(fd uintptr, end int64, add func(fd uintptr, p []byte) (int, error)) error {
	var zeros [64 << 10]byte
	info, err := Stat(fd)
	// If somebody shrinks the file meanwhile, it is not filled for ever.
	for left := end - info.Size; err == nil && left > 0 && info.Size < end; {
		var n int
		if n, err = add(fd, zeros[:min(left, end-info.Size, int64(len(zeros)))]); err == nil {
			left -= int64(n)
			info, err = Stat(fd)
		}
	}
	return err
}
