package addrspace

import (
	"testing"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// mapPage maps a page of memory.
func mapPage(t *testing.T) *Range {
	t.Helper()
	if !sys.Mappable {
		t.Skip("this system maps nothing")
	}
	r, err := Map(^uintptr(0), 0, sys.PageSize(), sys.Read|sys.Write, sys.Anonymous, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Revoke() })
	return r
}

// TestCounts: the account says what was mapped, what failed, and what is handed
// out, and takes back all of what failed or is over.
func TestCounts(t *testing.T) {
	before := ReadStats()
	r := mapPage(t)
	now := ReadStats()
	if now.Mapped != before.Mapped+1 || now.Failed != before.Failed {
		t.Errorf("mapped: %+v, before %+v", now, before)
	}
	before = now
	if _, err := Map(^uintptr(0), 0, sys.PageSize(), sys.Read, 0, 0); err == nil {
		t.Fatal("a file that is not open was mapped")
	}
	if now := ReadStats(); now.Failed != before.Failed+1 || now.Mapped != before.Mapped || now.VMAs != before.VMAs || now.Bytes != before.Bytes {
		t.Errorf("failed: %+v, before %+v", now, before)
	}
	r.Escape()
	if now := ReadStats(); now.Pinned != before.Pinned+1 || now.PinnedBytes != before.PinnedBytes+uint64(r.Len()) {
		t.Errorf("escaped: %+v, before %+v", now, before)
	}
	if err := r.Revoke(); err != nil {
		t.Fatal(err)
	}
	if now := ReadStats(); now.Pinned != before.Pinned || now.PinnedBytes != before.PinnedBytes ||
		now.Quarantined != before.Quarantined+1 || now.QuarantinedBytes != before.QuarantinedBytes+uint64(r.Len()) {
		t.Errorf("revoked: %+v, before %+v", now, before)
	}
	before = ReadStats()
	other := mapPage(t)
	other.Supersede()
	if now := ReadStats(); now.Unreclaimed != before.Unreclaimed+1 || now.UnreclaimedBytes != before.UnreclaimedBytes+uint64(other.Len()) {
		t.Errorf("superseded: %+v, before %+v", now, before)
	}
	other.Escape()
	if now := ReadStats(); now.Unreclaimed != before.Unreclaimed || now.UnreclaimedBytes != before.UnreclaimedBytes {
		t.Errorf("superseded and escaped: %+v, before %+v", now, before)
	}
}

// TestSupersededKeepsBytes: without a limit of memory, what was stored to a range
// is still there when it was replaced: somebody may hold a slice of it.
func TestSupersededKeepsBytes(t *testing.T) {
	r := mapPage(t)
	r.Bytes()[0] = 'x'
	if r.Supersede(); r.Bytes()[0] != 'x' {
		t.Error("the bytes are gone")
	}
}

// TestInUse: one callback, or one slice, is enough.
func TestInUse(t *testing.T) {
	r := mapPage(t)
	if r.InUse() || r.Known() {
		t.Error("in use at first")
	}
	if r.Enter(); !r.InUse() || !r.Known() {
		t.Error("not in use by a callback")
	}
	if r.Leave(); r.InUse() || r.Known() {
		t.Error("in use after the callback")
	}
	if r.Escape(); !r.InUse() || !r.Known() {
		t.Error("not in use after it escaped")
	}
}

// TestReserveVMAs: up to the last VMA they are given, and whoever has too many
// may keep what he has.
func TestReserveVMAs(t *testing.T) {
	s, other := new(State), new(State)
	left := MaxVMAs() - ReadStats().VMAs
	other.AddVMAs(left - 1)
	defer func() { other.AddVMAs(-other.extraVMAs); s.AddVMAs(-s.extraVMAs) }()
	if !s.ReserveVMAs(1) {
		t.Error("the last one is refused")
	}
	if s.ReserveVMAs(2) {
		t.Error("one more is given")
	}
	other.AddVMAs(1)
	if !s.ReserveVMAs(1) || !s.ReserveVMAs(0) {
		t.Error("what it has, or less, is refused")
	}
}

// TestMaxBytes: the heap keeps a part of the addresses.
func TestMaxBytes(t *testing.T) {
	if most, all := maxBytes(), sys.AddressSpace(); most >= all || most < all/2 {
		t.Errorf("%d of %d", most, all)
	}
}

// TestBackOff: after collections in vain more and more callers are refused, but
// never all, and none after one that helped.
func TestBackOff(t *testing.T) {
	defer backOff(false)
	refused := func() (n int) {
		for n < 1<<18 && !tryGC() {
			n++
		}
		return n
	}
	for _, want := range []int{8, 24, 56} {
		backOff(true)
		if n := refused(); n != want {
			t.Errorf("%d callers are refused, not %d", n, want)
		}
	}
	for range 30 {
		backOff(true)
	}
	if n := refused(); n != 1<<16 {
		t.Errorf("%d callers are refused", n)
	}
	backOff(true)
	backOff(false)
	if n := refused(); n != 0 {
		t.Errorf("%d callers are refused after a collection that helped", n)
	}
}
