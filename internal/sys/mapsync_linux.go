//go:build !mips && !mipsle && !mips64 && !mips64le

package sys

import "golang.org/x/sys/unix"

const mapSync = unix.MAP_SHARED_VALIDATE | unix.MAP_SYNC
