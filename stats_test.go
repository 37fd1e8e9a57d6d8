package mmap_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/seed-93fed273/mmap"
)

// ExampleReadStats publishes the figures where expvar's handler shows them:
// expvar.Publish("mmap", expvar.Func(func() any { return mmap.ReadStats() })).
func ExampleReadStats() {
	s := mmap.ReadStats()
	if s.VMAs > s.VMALimit*9/10 {
		fmt.Println("soon no more files will be mapped")
	}
	if s.FailedFlushes > 0 {
		fmt.Println("data was lost")
	}
}

// TestStats: each figure moves with what it counts, and the gauges come back.
func TestStats(t *testing.T) {
	needsCut(t)
	settle(given)
	before := mmap.ReadStats()
	name := newFile(t, pattern(1, 64<<10))
	r := openRegion(t, name, os.O_RDWR, nil)
	if now := mmap.ReadStats(); now.Open != before.Open+1 || now.Mapped != before.Mapped || now.ByDescriptor != before.ByDescriptor {
		t.Errorf("opened: %+v", now)
	}
	if _, err := r.ReadAt(make([]byte, 100), 0); err != nil {
		t.Fatal(err)
	}
	if now := mmap.ReadStats(); now.DescriptorReads == before.DescriptorReads || now.DescriptorReadBytes < before.DescriptorReadBytes+100 {
		t.Errorf("read: %+v", now)
	}
	if _, err := r.WriteAt(make([]byte, 100), 0); err != nil {
		t.Fatal(err)
	}
	if now := mmap.ReadStats(); now.DescriptorWrites == before.DescriptorWrites || now.DescriptorWrittenBytes < before.DescriptorWrittenBytes+100 {
		t.Errorf("written: %+v", now)
	}
	err := r.View(0, mmap.ToEnd, func(b []byte) error {
		cutFile(t, name, 0)
		return fmt.Errorf("%d", b[60_000])
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if now := mmap.ReadStats(); now.Mapped != before.Mapped+1 || now.FaultsCut != before.FaultsCut+1 ||
		now.MappingsMade == before.MappingsMade || now.VMAs <= before.VMAs || now.MappedBytes <= before.MappedBytes {
		t.Errorf("cut: %+v", now)
	}
	if err := r.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if now := mmap.ReadStats(); now.FailedFlushes != before.FailedFlushes+1 {
		t.Errorf("a failed Flush: %+v", now)
	}
	other := openRegion(t, newFile(t, pattern(1, 64<<10)), os.O_RDWR, nil)
	if other.Bytes() == nil {
		t.Fatal("no bytes")
	}
	if now := mmap.ReadStats(); now.HandedOutRanges != before.HandedOutRanges+1 || now.HandedOutBytes <= before.HandedOutBytes {
		t.Errorf("handed out: %+v", now)
	}
	r.Close()
	other.Close()
	if now := mmap.ReadStats(); now.Open != before.Open || now.Mapped != before.Mapped || now.HandedOutRanges != before.HandedOutRanges || now.QuarantinedRanges == 0 {
		t.Errorf("closed: %+v", now)
	}
	if !settle(func(mmap.Ledger) bool { return mmap.ReadStats().UnreclaimedBytes == 0 }) {
		t.Errorf("collected: %+v", mmap.ReadStats())
	}
}

// TestStatsDropped: a Region that nobody closes leaves the gauges when it is
// collected.
func TestStatsDropped(t *testing.T) {
	settle(given)
	before := mmap.ReadStats()
	name := newFile(t, pattern(1, 64<<10))
	func() {
		r, err := mmap.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.View(0, 1, func([]byte) error { return nil })
	}()
	if !settle(func(mmap.Ledger) bool {
		now := mmap.ReadStats()
		return now.Open <= before.Open && now.Mapped <= before.Mapped
	}) {
		t.Errorf("before %+v, after %+v", before, mmap.ReadStats())
	}
}

// TestStatsByDescriptor: what is never mapped is counted while it is open, and a
// write that fails counts as a call without bytes.
func TestStatsByDescriptor(t *testing.T) {
	settle(given)
	before := mmap.ReadStats()
	r := openRegion(t, newFile(t, pattern(1, 100)), os.O_RDWR, &mmap.Options{Access: mmap.AccessDescriptor})
	if now := mmap.ReadStats(); now.ByDescriptor != before.ByDescriptor+1 || now.Mapped != before.Mapped {
		t.Errorf("opened: %+v, before %+v", now, before)
	}
	r.Close()
	if now := mmap.ReadStats(); now.ByDescriptor != before.ByDescriptor || now.Open != before.Open {
		t.Errorf("closed: %+v, before %+v", now, before)
	}
	full, err := mmap.OpenFile("/dev/full", os.O_WRONLY, 0, nil)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	before = mmap.ReadStats()
	if n, err := full.Write([]byte("hello")); n != 0 || err == nil {
		t.Skipf("it takes %d bytes, %v", n, err)
	}
	if now := mmap.ReadStats(); now.DescriptorWrites != before.DescriptorWrites+1 || now.DescriptorWrittenBytes != before.DescriptorWrittenBytes {
		t.Errorf("a write that failed: %+v, before %+v", now, before)
	}
}
