package sys

import (
	"io"

	"golang.org/x/sys/unix"
)

// CopyRange is copy_file_range(2). It copies n bytes or fewer, 0 where the source
// ends; what errors it has beyond those of a read or a write says only that
// these two files must be copied in another way.
func CopyRange(dst uintptr, dstOff int64, src uintptr, srcOff, n int64) (int64, error) {
	const most = 1 << 30
	if err := noCopyRange.err(); err != nil {
		return 0, err
	}
	var copied int
	err := ignoringEINTR(func() (err error) {
		copied, err = unix.CopyFileRange(int(src), &srcOff, int(dst), &dstOff, int(min(n, most)), 0)
		return err
	})
	if err == unix.ENOSYS || err == unix.EPERM {
		noCopyRange.learn(copyRangeRefusal())
	}
	return max(int64(copied), 0), err
}

// copyRangeRefusal is what the call answers to descriptors that cannot be: EBADF,
// unless the system never makes it. (Of files that are sealed or immutable EPERM
// is the kernel's own answer.)
func copyRangeRefusal() error {
	_, err := unix.CopyFileRange(-1, nil, -1, nil, 1, 0)
	return err
}

// Pipe carries bytes from a socket to a file without a copy.
type Pipe struct{ from, to int }

// NewPipe makes a pipe of a size that is worth the calls.
func NewPipe() (*Pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, 1<<20)
	return &Pipe{fds[0], fds[1]}, nil
}

// Close throws away what is still in the pipe.
func (p *Pipe) Close() {
	_ = unix.Close(p.from)
	_ = unix.Close(p.to)
}

// Fill moves up to n bytes from a socket into the pipe, which is empty. 0 is the
// end; done is false if the socket has nothing yet.
func (p *Pipe) Fill(fd uintptr, n int64) (moved int64, done bool, err error) {
	err = ignoringEINTR(func() error {
		got, err := unix.Splice(int(fd), nil, p.to, nil, int(min(n, 1<<20)), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		moved = int64(got) // an int on 32 bits
		return err
	})
	if err == unix.EAGAIN {
		return 0, false, nil
	}
	return max(moved, 0), true, err
}

// Drain moves up to n bytes of the pipe to off of a file.
func (p *Pipe) Drain(fd uintptr, off, n int64) (moved int64, err error) {
	err = ignoringEINTR(func() error {
		got, err := unix.Splice(p.from, nil, int(fd), &off, int(n), unix.SPLICE_F_MOVE)
		moved = int64(got) // an int on 32 bits
		return err
	})
	if err == nil && moved == 0 {
		err = io.ErrUnexpectedEOF
	}
	return max(moved, 0), err
}

// Read reads from the pipe what Drain could not move.
func (p *Pipe) Read(b []byte) (n int, err error) {
	err = ignoringEINTR(func() (err error) {
		n, err = unix.Read(p.from, b)
		return err
	})
	if err == nil && n == 0 || err == unix.EAGAIN {
		err = io.EOF
	}
	return max(n, 0), err
}
