//go:build !linux

package mmap_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// resources is nothing: what a process holds is asked of Linux alone.
type resources struct{}

// countResources counts nothing.
func countResources() resources { return resources{} }

// leaked says which ranges of the library are left, or nothing.
func (resources) leaked() string {
	if sys.Mappable && !settle(given) {
		return fmt.Sprintf("ranges: %+v", mmap.ReadLedger())
	}
	return ""
}

// checkRevoked knows nothing of addresses.
func checkRevoked(testing.TB, uintptr, int) {}

// cpuTime returns the time since the first call, for want of better.
func cpuTime() time.Duration { return time.Since(begun) }

var begun = time.Now()

// rssOf returns 0: nothing tells.
func rssOf(testing.TB, ...*mmap.Region) int64 { return 0 }
