package sys

import "golang.org/x/sys/unix"

// CheckResidencyVisible returns an error if the kernel does not tell this process which
// pages of the file are resident: mincore(2) then calls all of them so.
// cachestat(2), of Linux 6.5, applies the same rule and says EPERM. Before it,
// the rule is worked out: open for writing, owned, or root.
func CheckResidencyVisible(fd uintptr) error {
	var st unix.Cachestat_t
	err := unix.Cachestat(uint(fd), &unix.CachestatRange{Len: 1}, &st, 0)
	if err == nil || err == unix.EPERM {
		return err
	}
	var file unix.Stat_t
	flags, ferr := openFlags(fd)
	serr := unix.Fstat(int(fd), &file)
	uid := unix.Geteuid()
	if uid == 0 || ferr == nil && flags&unix.O_ACCMODE != unix.O_RDONLY || serr == nil && int(file.Uid) == uid {
		return nil
	}
	return unix.EPERM
}
