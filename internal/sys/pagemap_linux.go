// This file may use unsafe: it looks an address up.

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Present reads /proc/self/pagemap.
func Present(b []byte, in []bool) error {
	fd, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	first := int64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) / int64(pageSize)
	var entries [512]uint64
	for at := 0; at < len(in); at += len(entries) {
		part := entries[:min(len(entries), len(in)-at)]
		text := unsafe.Slice((*byte)(unsafe.Pointer(&part[0])), 8*len(part))
		n, err := unix.Pread(fd, text, (first+int64(at))*8)
		if err == nil && n < len(text) {
			err = unix.EFAULT
		}
		if err != nil {
			return err
		}
		const present = 1 << 63
		for i, entry := range part {
			in[at+i] = entry&present != 0
		}
	}
	return nil
}
