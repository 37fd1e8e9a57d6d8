// Package addrspace keeps the ranges of addresses that the library got from
// the system, and the one account of them: how many there are, how large, and
// which of them wait for what.
//
// # The life of a range
//
//	        Map                 Revoke                cleanup
//	(none) -----> mapped ---------------> revoked ---------------> unmapped
//	                |  \                  |     ^                      ^
//	         Escape |   \ Supersede      | Escape                     |
//	                v    `--> superseded  v     |                      |
//	             pinned ------------> quarantined ---(oldest first)----'
//	                      Revoke
//
// A range never goes back: revoked addresses fault for ever, and are returned
// to the system only when nobody can hold them.
//
//   - Who may hold them is the collector's to say: a [Range] is a small object
//     on the Go heap that every user of the addresses keeps alive (with
//     runtime.KeepAlive). When it is unreachable, its cleanup unmaps.
//   - Once the addresses were handed out as a slice (Escape) no collector can
//     tell: the range is pinned until it is revoked, and then stays in
//     quarantine, so that a stale slice faults and does not read another file,
//     until the quarantine's bounds push it out, oldest first.
//   - [State] outlives the Range and does not keep it alive. It knows whether
//     the addresses are still ours: everything done to a range by way of its
//     State happens under its mutex and not at all once they are gone. So a
//     late Revoke never hits what another has mapped there since.
//
// # Bounds
//
// The account refuses a new range above a quarter of the system's limit of
// mappings, and above three quarters of the address space: at either end the
// Go heap itself could get no more, and the process would die. Unreclaimed
// ranges (superseded, or revoked and not in quarantine) start a collection in
// the background when there are many of them or they have an eighth of the
// address space; the quarantine has an eighth as well.
//
// Locks: State.mu, then account.mu. Neither is held while a caller's code runs.
package addrspace

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Range is a range of addresses got by [Map]. Whoever uses the addresses keeps
// the Range alive.
type Range struct{ *State }

// State is what is known of a Range, and stays known when it is unreachable.
type State struct {
	b []byte // the addresses; not to be touched but by who holds the Range

	mu      sync.Mutex // held across the system calls that revoke and unmap
	revoked bool       // every touch faults
	gone    bool       // unmapped: the addresses may be anybody's

	// Guarded by account.mu.
	extraVMAs int  // VMAs it takes beyond one
	waiting   bool // counted in account.unreclaimed

	escaped atomic.Bool  // the addresses were handed out; set under account.mu
	viewers atomic.Int32 // callbacks that hold the addresses; see Enter
	lent    atomic.Bool  // callbacks may hold the addresses, and are not counted; see Lend

	resident resident // see resident.go
}

// Mapped gives the addresses to fn, unless they were revoked or are gone, and
// keeps them from being unmapped meanwhile. It reports whether fn was called.
func (s *State) Mapped(fn func(b []byte)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked || s.gone {
		return false
	}
	fn(s.b)
	return true
}

// Bytes returns the range's memory.
func (r *Range) Bytes() []byte { return r.b }

// Len returns the length of the range in bytes.
func (s *State) Len() int { return len(s.b) }

// Gone reports whether the addresses were returned to the system.
func (s *State) Gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// Escaped reports whether the addresses were handed out.
func (s *State) Escaped() bool { return s.escaped.Load() }

// Offset returns which byte of the range has the address.
func (s *State) Offset(addr uintptr) (off int64, ok bool) {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(s.b)))
	return int64(addr - base), addr >= base && addr-base < uintptr(len(s.b))
}

// Enter counts a callback that uses the range's memory; Leave ends it. Where
// replaced ranges are revoked at once (see [Scarce]) that spares the range.
func (s *State) Enter() { s.viewers.Add(1) }

// Leave undoes Enter.
func (s *State) Leave() { s.viewers.Add(-1) }

// Lend notes that a callback gets the addresses, where callbacks are not counted.
func (s *State) Lend() {
	if !s.lent.Load() {
		s.lent.Store(true)
	}
}

// Known reports whether somebody outside the library may know addresses of the
// range that show its bytes. Once it is false for a range that was replaced it
// stays so.
func (s *State) Known() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.revoked && !s.gone && (s.InUse() || s.lent.Load())
}

// InUse reports whether somebody outside the library may hold the addresses.
func (s *State) InUse() bool { return s.escaped.Load() || s.viewers.Load() > 0 }

// Scarce says that addresses are few: a 32-bit system.
const Scarce = ^uintptr(0)>>32 == 0

// account is the one place where the library's ranges are counted.
var account = struct {
	mu               sync.Mutex
	vmas             int               // VMAs of all ranges not yet unmapped
	bytes            uint64            // addresses of these ranges
	unreclaimed      int               // ranges that only wait for the collector
	unreclaimedBytes uint64            // their addresses
	pinned           map[*State]*Range // escaped and not revoked
	pinnedBytes      uint64            //
	quarantine       []*Range          // escaped and revoked, oldest first
	quarantineBytes  uint64            //
	gcRunning        bool              // a collection of ours is under way
	gcThreshold      int               // how many may be unreclaimed before the next
	skip, patience   int               // see backOff
	made, failed     uint64            // calls of Map since the start
	collections      uint64            // forced by the library since the start
}{pinned: map[*State]*Range{}, gcThreshold: MinGCThreshold}

// MinGCThreshold is how many unreclaimed ranges make a collection worth while:
// a thousand Closes then share its cost.
const MinGCThreshold = 1000

// ErrTooMany is why a range was refused before the system was asked. It wraps
// ENOMEM.
var ErrTooMany = fmt.Errorf("a quarter of the system's limit of mappings (vm.max_map_count on Linux), or three quarters of the address space, is in use: %w", sys.OutOfMemory)

// MaxVMAs is the number of VMAs up to which the library maps.
func MaxVMAs() int { return sys.MaxMaps() / 4 }

// maxBytes is the number of bytes of addresses up to which the library maps.
func maxBytes() uint64 { return sys.AddressSpace() / 4 * 3 }

// Map maps n bytes, with the arguments of [sys.Map]. When addresses or VMAs
// have run out it lets the quarantine go, collects, and tries once more; if
// that did not help, the next callers are refused at once for a while.
func Map(fd uintptr, off int64, n int, p sys.Prot, f sys.Flag, hint uintptr) (*Range, error) {
	b, err := tryMap(fd, off, n, p, f, hint)
	if exhausted(err) && tryGC() {
		b, err = tryMap(fd, off, n, p, f, hint)
		backOff(exhausted(err))
	}
	account.mu.Lock()
	defer account.mu.Unlock()
	if err != nil {
		account.failed++
		return nil, err
	}
	account.made++
	r := &Range{&State{b: b}}
	runtime.AddCleanup(r, (*State).unmap, r.State)
	return r, nil
}

// exhausted reports whether err says that there are no addresses, VMAs or memory
// left, so that a collection may help.
func exhausted(err error) bool { return err == ErrTooMany || sys.NoMemory(err) }

// tryMap maps n bytes if the account has room for them.
func tryMap(fd uintptr, off int64, n int, p sys.Prot, f sys.Flag, hint uintptr) ([]byte, error) {
	account.mu.Lock()
	if account.vmas >= MaxVMAs() || account.bytes+uint64(n) > maxBytes() {
		account.mu.Unlock()
		return nil, ErrTooMany
	}
	account.vmas++
	account.bytes += uint64(n)
	account.mu.Unlock()
	b, err := sys.Map(fd, off, n, p, f, hint)
	if err != nil {
		account.mu.Lock()
		account.vmas--
		account.bytes -= uint64(n)
		account.mu.Unlock()
	}
	return b, err
}

// unmap returns the addresses. It runs when the Range is unreachable.
func (s *State) unmap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := sys.Unmap(s.b)
	s.gone = true
	s.dismissAll()
	account.mu.Lock()
	defer account.mu.Unlock()
	s.wait(false)
	if err == nil { // a sealed range (mseal) stays, and stays counted
		account.vmas -= 1 + s.extraVMAs
		account.bytes -= uint64(len(s.b))
	}
}

// wait counts the range as one that only waits for the collector, or no
// longer. account.mu is held.
func (s *State) wait(is bool) {
	if s.waiting == is {
		return
	}
	s.waiting = is
	if is {
		account.unreclaimed++
		account.unreclaimedBytes += uint64(len(s.b))
	} else {
		account.unreclaimed--
		account.unreclaimedBytes -= uint64(len(s.b))
	}
}

// AddVMAs counts n VMAs more for the range.
func (s *State) AddVMAs(n int) {
	account.mu.Lock()
	defer account.mu.Unlock()
	account.vmas += n
	s.extraVMAs += n
}

// ReserveVMAs counts n VMAs beyond one for the range, in place of what was
// counted, and reports false, with nothing changed, if those are too many.
func (s *State) ReserveVMAs(n int) bool {
	account.mu.Lock()
	defer account.mu.Unlock()
	more := n - s.extraVMAs
	if more > 0 && account.vmas+more > MaxVMAs() {
		return false
	}
	account.vmas += more
	s.extraVMAs = n
	return true
}

// Escape notes that the addresses are known outside the library. From now on
// the range lives until it is revoked, and then in quarantine.
func (r *Range) Escape() {
	if r.escaped.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	account.mu.Lock()
	defer account.mu.Unlock()
	if r.escaped.Swap(true) {
		return
	}
	r.wait(false)
	if r.revoked {
		quarantine(r)
		return
	}
	account.pinned[r.State] = r
	account.pinnedBytes += uint64(len(r.b))
}

// Supersede notes that the range was replaced: nobody begins to use it any
// more, and the collector is called for once enough such have gathered.
func (s *State) Supersede() {
	if Limited() {
		s.Mapped(func(b []byte) { _ = sys.Advise(b, sys.DontNeed) })
	}
	s.dismissAll()
	account.mu.Lock()
	defer account.mu.Unlock()
	if !s.escaped.Load() {
		s.wait(true)
		considerGC()
	}
}

// Revoke makes every touch of the range fault, in one step. Without escaped
// addresses it then waits for the collector, with them in quarantine. Revoking
// again, or what is gone, does nothing.
func (s *State) Revoke() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked || s.gone {
		return nil
	}
	s.revoked = true
	err := sys.Revoke(s.b)
	s.dismissAll()
	account.mu.Lock()
	defer account.mu.Unlock()
	if err == nil { // it is one VMA now
		account.vmas -= s.extraVMAs
		s.extraVMAs = 0
	}
	if r := account.pinned[s]; r != nil {
		delete(account.pinned, s)
		account.pinnedBytes -= uint64(len(s.b))
		quarantine(r)
		return err
	}
	s.wait(true)
	considerGC()
	return err
}

// quarantine adds r, and lets the oldest go while there are too many.
// account.mu is held.
func quarantine(r *Range) {
	account.quarantine = append(account.quarantine, r)
	account.quarantineBytes += uint64(len(r.b))
	for len(account.quarantine) > MaxVMAs()/8 || account.quarantineBytes > sys.AddressSpace()/8 {
		releaseOldest()
	}
}

// releaseOldest hands the oldest range in quarantine to the collector.
// account.mu is held.
func releaseOldest() {
	oldest := account.quarantine[0]
	account.quarantine[0] = nil
	account.quarantine = account.quarantine[1:]
	account.quarantineBytes -= uint64(len(oldest.b))
	oldest.wait(true)
	considerGC()
}

// considerGC starts a collection in the background when enough is unreclaimed
// and none is under way. account.mu is held.
func considerGC() {
	if account.unreclaimed < account.gcThreshold && account.unreclaimedBytes <= sys.AddressSpace()/8 || account.gcRunning {
		return
	}
	account.gcRunning = true
	go func() {
		gcMu.Lock()
		defer gcMu.Unlock()
		collect()
		account.mu.Lock()
		defer account.mu.Unlock()
		account.gcRunning = false
		// What is left is held by somebody: do not ask again at once.
		account.gcThreshold = min(MinGCThreshold+2*account.unreclaimed, MaxVMAs()/2)
	}()
}

// gcMu is held by whoever collects.
var gcMu sync.Mutex

// tryGC frees what a collection can free, and reports whether it is worth while
// to map again. It waits for a collection that is under way instead of starting
// another. While the last ones were in vain it refuses at once: see backOff.
func tryGC() bool {
	account.mu.Lock()
	if account.skip > 0 {
		account.skip--
		account.mu.Unlock()
		return false
	}
	for len(account.quarantine) > 0 {
		releaseOldest()
	}
	before := account.collections
	account.mu.Unlock()
	gcMu.Lock()
	defer gcMu.Unlock()
	account.mu.Lock()
	late := account.collections > before+1 // one began after we had let go
	account.mu.Unlock()
	if !late {
		collect()
	}
	return true
}

// backOff notes whether a collection was in vain. A process at its limit must
// not spend its time in collections: the next 8, 24, 56 … callers are refused
// before one may try again.
func backOff(vain bool) {
	account.mu.Lock()
	defer account.mu.Unlock()
	if vain {
		account.patience = min(2*account.patience+8, 1<<16)
	} else {
		account.patience = 0
	}
	account.skip = account.patience
}

// Collect runs the collector if some range waits for it, and waits for the
// cleanups. It reports whether it did.
func Collect() bool {
	account.mu.Lock()
	waiting := account.unreclaimed > 0
	account.mu.Unlock()
	if waiting {
		gcMu.Lock()
		defer gcMu.Unlock()
		collect()
	}
	return waiting
}

// collect runs the collector and lets the cleanups it found have their turn,
// for as long as they make progress. It waits without a channel, a timer or a
// condition: it may run in a bubble of testing/synctest, where cleanups, which
// do not, must not wake it. gcMu is held.
func collect() {
	account.mu.Lock()
	account.collections++
	account.mu.Unlock()
	done := new(atomic.Bool)
	runtime.AddCleanup(new([32]byte), func(d *atomic.Bool) { d.Store(true) }, done)
	runtime.GC()
	left := 10_000
	for before := uint64(0); left > 0; left-- {
		account.mu.Lock()
		now := account.bytes
		account.mu.Unlock()
		switch {
		case now != before:
			before, left = now, 10_000
		case done.Load():
			left = min(left, 500)
		}
		runtime.Gosched()
	}
}

// Stats are the counts of this moment; see [ReadStats].
type Stats struct {
	VMAs             int    // of all ranges not yet unmapped
	Bytes            uint64 // addresses of these ranges
	Unreclaimed      int    // ranges that only wait for the collector
	UnreclaimedBytes uint64 // addresses of these
	Pinned           int    // ranges that escaped and are not revoked
	PinnedBytes      uint64 // addresses of these
	Quarantined      int    // ranges that escaped and are revoked
	QuarantinedBytes uint64 // addresses of these
	Collecting       bool   // the library runs the collector

	Mapped, Failed, Collections uint64 // counted since the start
}

// ReadStats returns the counts.
func ReadStats() Stats {
	account.mu.Lock()
	defer account.mu.Unlock()
	return Stats{
		VMAs: account.vmas, Bytes: account.bytes,
		Unreclaimed: account.unreclaimed, UnreclaimedBytes: account.unreclaimedBytes,
		Pinned: len(account.pinned), PinnedBytes: account.pinnedBytes,
		Quarantined: len(account.quarantine), QuarantinedBytes: account.quarantineBytes,
		Collecting: account.gcRunning,
		Mapped:     account.made, Failed: account.failed, Collections: account.collections,
	}
}
