package mmap

import (
	"errors"
	"io"
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// Stats is what the library does in this process: see [ReadStats]. Gauges say
// how things are now and return to 0 when everything is closed and collected;
// counters only grow. The fast paths of ReadAt and WriteAt count nothing, so no
// figure says how much memory has served.
type Stats struct {
	// Gauges of Regions. One that was dropped without Close counts until it is
	// collected.
	Open         int // Regions that are open. Grows without end: some are not closed
	Mapped       int // of these, mapped now
	ByDescriptor int // of these, never to be mapped: pipes, O_DIRECT, AccessDescriptor …

	// Gauges of address space.
	MappedBytes uint64 // addresses in use, revoked ones included. Not memory: see ResidentBytes
	VMAs        int    // entries of the system's table of mappings in use
	VMALimit    int    // up to how many the library uses; from there on new Regions stay unmapped and slower
	SystemVMAs  int    // the system's limit for the process (vm.max_map_count); at it the Go heap dies

	// Gauges of memory. Bytes of files that are in the process's memory through
	// ReadAt, WriteAt and their kin, at most, and what SetResidentLimit allows;
	// math.MaxInt64 is no limit.
	ResidentBytes int64
	ResidentLimit int64 // bytes; see SetResidentLimit

	// Gauges of addresses that are no use any more.
	UnreclaimedRanges int    // revoked or replaced, waiting for the collector
	UnreclaimedBytes  uint64 // addresses of these
	QuarantinedRanges int    // closed after their bytes were handed out, kept so that stale slices fault
	QuarantinedBytes  uint64 // addresses of these
	HandedOutRanges   int    // handed out by Bytes, Slice or Pointer and not closed
	HandedOutBytes    uint64 // addresses of these

	// Counters of mappings.
	MappingsMade   uint64 // mmap(2) that worked
	MappingsFailed uint64 // that did not, refusals at VMALimit included: if it grows, see VMAs
	Collections    uint64 // garbage collections that the library forced, for want of addresses

	// Counters of what went through the descriptor and not through memory. What
	// the kernel copies by itself (sendfile, copy_file_range) is not in them.
	DescriptorReads        uint64 // calls
	DescriptorReadBytes    uint64 // bytes that came
	DescriptorWrites       uint64 // calls
	DescriptorWrittenBytes uint64 // bytes that arrived

	// Counters of faults that were turned into errors, by cause.
	FaultsCut        uint64 // the file no longer had the byte: somebody truncates files in place
	FaultsClosed     uint64 // the Region was closed meanwhile
	FaultsProtection uint64 // the memory does not allow it
	FaultsNoSpace    uint64 // the disk, or a quota, is full
	FaultsIO         uint64 // the storage failed: look at the disk
	FaultsUnknown    uint64 // the system tells no cause
	FaultsServed     uint64 // faults of ReadAt, WriteAt and their kin, which the descriptor served then

	EvictedPages  uint64 // pages found to have left the page cache: memory is short if it grows fast
	FailedFlushes uint64 // Regions with a Flush that failed for good: each has lost data
}

// counters are the process's.
var counters struct {
	open, mapped, byDescriptor atomic.Int64

	reads, readBytes, writes, writtenBytes atomic.Uint64

	faults [faultCauses]atomic.Uint64
	served atomic.Uint64

	evictedPages, failedFlushes atomic.Uint64
}

// ReadStats returns the figures of this moment. It is cheap enough to be called
// every second; the figures are read one after the other, so that two of them
// need not fit exactly.
func ReadStats() Stats {
	a := addrspace.ReadStats()
	c := &counters
	in, limit := addrspace.Resident()
	return Stats{
		Open: int(c.open.Load()), Mapped: int(c.mapped.Load()), ByDescriptor: int(c.byDescriptor.Load()),
		MappedBytes: a.Bytes, VMAs: a.VMAs, VMALimit: addrspace.MaxVMAs(), SystemVMAs: min(sys.MaxMaps(), math.MaxInt32),
		ResidentBytes: in, ResidentLimit: limit,
		UnreclaimedRanges: a.Unreclaimed, UnreclaimedBytes: a.UnreclaimedBytes,
		QuarantinedRanges: a.Quarantined, QuarantinedBytes: a.QuarantinedBytes,
		HandedOutRanges: a.Pinned, HandedOutBytes: a.PinnedBytes,
		MappingsMade: a.Mapped, MappingsFailed: a.Failed, Collections: a.Collections,
		DescriptorReads: c.reads.Load(), DescriptorReadBytes: c.readBytes.Load(),
		DescriptorWrites: c.writes.Load(), DescriptorWrittenBytes: c.writtenBytes.Load(),
		FaultsCut: c.faults[faultCut].Load(), FaultsClosed: c.faults[faultClosed].Load(),
		FaultsProtection: c.faults[faultProtection].Load(), FaultsNoSpace: c.faults[faultNoSpace].Load(),
		FaultsIO: c.faults[faultIO].Load(), FaultsUnknown: c.faults[faultUnknown].Load(),
		FaultsServed: c.served.Load(),
		EvictedPages: c.evictedPages.Load(), FailedFlushes: c.failedFlushes.Load(),
	}
}

// join counts the Region as open.
func (r *Region) join() {
	r.member = &membership{byDescriptor: r.neverMapped != nil}
	counters.open.Add(1)
	if r.member.byDescriptor {
		counters.byDescriptor.Add(1)
	}
	r.member.setMapped(r.m.Load() != nil)
	r.dropped = runtime.AddCleanup(r, (*membership).end, r.member)
}

// leave ends what join began.
func (r *Region) leave() {
	if r.member != nil {
		r.dropped.Stop()
		r.member.end()
	}
}

// setMapped counts the Region as mapped, or no longer.
func (p *membership) setMapped(is bool) {
	if p != nil && p.mapped.Swap(is) != is {
		if is {
			counters.mapped.Add(1)
		} else {
			counters.mapped.Add(-1)
		}
	}
}

// end takes the Region out of the gauges.
func (p *membership) end() {
	if p.ended.Swap(true) {
		return
	}
	p.setMapped(false)
	counters.open.Add(-1)
	if p.byDescriptor {
		counters.byDescriptor.Add(-1)
	}
}

// countRead counts a read through the descriptor.
func countRead(n int, err error) (int, error) {
	counters.reads.Add(1)
	counters.readBytes.Add(uint64(max(n, 0)))
	return n, err
}

// countWrite counts a write through the descriptor.
func countWrite(n int, err error) (int, error) {
	counters.writes.Add(1)
	counters.writtenBytes.Add(uint64(max(n, 0)))
	return n, err
}

// The causes of faults.
const (
	faultCut = iota
	faultClosed
	faultProtection
	faultNoSpace
	faultIO
	faultUnknown
	faultCauses // how many there are
)

// countFault counts a fault whose cause was found, and returns the cause.
func countFault(cause error) error {
	kind := faultIO
	switch {
	case cause == io.ErrUnexpectedEOF:
		kind = faultCut
	case cause == os.ErrClosed:
		kind = faultClosed
	case errors.Is(cause, syscall.EACCES):
		kind = faultProtection
	case errors.Is(cause, sys.NoSpace), sys.OverQuota(cause):
		kind = faultNoSpace
	case errors.Is(cause, sys.Fault):
		kind = faultUnknown
	}
	counters.faults[kind].Add(1)
	return cause
}
