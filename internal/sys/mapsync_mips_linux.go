//go:build linux && (mips || mipsle || mips64 || mips64le)

package sys

// mapSync is 0: these processors have no MAP_SYNC.
const mapSync = 0
