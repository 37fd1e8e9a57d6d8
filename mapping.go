// This file may use unsafe: it knows where a mapping lies.

package mmap

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// mapping is what a Region shows of its memory at one time. Readers load the
// Region's pointer to it and need nothing else: no lock, no counter.
//
// A mapping is replaced, never changed, but for its limits. Our own
// Truncate replaces it too, so that a writer that was under way then reports
// to an end nobody asks any more.
type mapping struct {
	mem        *addrRange     // what keeps the addresses ours: whoever uses at keeps the mapping alive
	at         unsafe.Pointer // the Region's byte 0
	lead       int64          // bytes of mem before at
	capacity   int64          // bytes from at on that the memory can show
	readLimit  atomic.Int64   // bytes below it were seen resident: they are read without another look
	writeLimit atomic.Int64   // bytes below it were seen writable: they are written without another look
	backed     atomic.Int64   // bytes that are there: memory could serve them
	residency  *residency     // what is known of the bytes from limit and open on
	dirtyEnd   *atomic.Int64  // the highest end of a store since the last Flush
	idle       atomic.Bool    // nothing was stored since the last ageing
}

// noteStore notes that a store ended at end.
func (m *mapping) noteStore(end int64) {
	if m.idle.Load() {
		m.idle.Store(false)
	}
	for {
		old := m.dirtyEnd.Load()
		if end <= old || m.dirtyEnd.CompareAndSwap(old, end) {
			return
		}
	}
}

// addrRange is one range of addresses that the library got from the system. Its
// life ends when the collector proves that nobody holds it: then, and not at
// Close, the addresses go back.
type addrRange struct {
	*block
}

// block is what outlives a memory until its addresses are given back. Retired
// and cuts are guarded by ledger.mu.
type block struct {
	b         []byte
	revoked   bool // revoked
	extraVMAs int  // maps it takes beyond one

	// raw: its bytes were handed out, so nothing proves that nobody holds
	// them. Set under ledger.mu.
	escaped atomic.Bool
}

// account counts the ranges of the process and keeps those that no collector
// may take.
var account = struct {
	mu               sync.Mutex
	vmas             int                     // ranges got and not yet given back
	unreclaimed      int                     // of these, retired and waiting for the collector
	unreclaimedBytes uint64                  // their bytes
	pinned           map[*addrRange]struct{} // handed out and not closed
	quarantine       []*addrRange            // handed out and closed: the quarantine, oldest first
	quarantineBytes  uint64
	gcRunning        bool
	gcThreshold      int // how many may be dead before the next collection
}{pinned: map[*addrRange]struct{}{}, gcThreshold: minGCThreshold}

// minGCThreshold is how many dead ranges make a collection worth while. 1000
// closings then share its cost.
const minGCThreshold = 1000

// errTooManyMaps is why a Region stays on its descriptor when the process has many.
var errTooManyMaps = errors.New("a quarter of the system's limit of maps is in use (vm.max_map_count on Linux)")

// maxVMAs is the number of ranges at which the library stops mapping: at the
// system's own limit the Go heap dies first.
func maxVMAs() int { return sys.MaxMaps() / 4 }

// newRange maps n bytes. When addresses or maps run out it collects once and
// tries once more.
func newRange(fd uintptr, off int64, n int, p sys.Prot, f sys.Flag, hint uintptr) (*addrRange, error) {
	if !reserveVMA() {
		if !reclaimable() {
			return nil, errTooManyMaps
		}
		runGC()
		if !reserveVMA() {
			return nil, errTooManyMaps
		}
	}
	b, err := sys.Map(fd, off, n, p, f, hint)
	if sys.NoMemory(err) {
		runGC() // dropped Regions hold addresses too
		b, err = sys.Map(fd, off, n, p, f, hint)
	}
	if err != nil {
		account.mu.Lock()
		account.vmas--
		account.mu.Unlock()
		return nil, err
	}
	m := &addrRange{&block{b: b}}
	runtime.AddCleanup(m, (*block).unmap, m.block)
	return m, nil
}

// reserveVMA counts one range more, unless that is one too many.
func reserveVMA() bool {
	account.mu.Lock()
	defer account.mu.Unlock()
	if account.vmas >= maxVMAs() {
		startGC()
		return false
	}
	account.vmas++
	return true
}

// reclaimable reports whether a collection could free a range.
func reclaimable() bool {
	account.mu.Lock()
	defer account.mu.Unlock()
	return account.unreclaimed > 0
}

// unmap returns the addresses. It runs when the collector has found that
// nobody holds the memory.
func (b *block) unmap() {
	err := sys.Unmap(b.b)
	account.mu.Lock()
	defer account.mu.Unlock()
	if b.revoked {
		account.unreclaimed--
		account.unreclaimedBytes -= uint64(len(b.b))
	}
	if err == nil { // a sealed range (mseal) stays, and stays counted
		account.vmas -= 1 + b.extraVMAs
	}
}

// addVMAs counts cuts maps more for the memory.
func (b *block) addVMAs(cuts int) {
	account.mu.Lock()
	defer account.mu.Unlock()
	if !b.revoked {
		account.vmas += cuts
		b.extraVMAs += cuts
	}
}

// reserveVMAs counts cuts maps beyond one for the memory, unless those are too many.
func (b *block) reserveVMAs(cuts int) bool {
	account.mu.Lock()
	defer account.mu.Unlock()
	more := cuts - b.extraVMAs
	if b.revoked || more > 0 && account.vmas+more > maxVMAs() {
		return false
	}
	account.vmas += more
	b.extraVMAs = cuts
	return true
}

// escape notes that the memory's bytes are known outside the library. From
// now on the memory lives until it is retired, whoever holds it.
func (m *addrRange) escape() {
	if m.escaped.Load() {
		return
	}
	account.mu.Lock()
	defer account.mu.Unlock()
	if m.escaped.Swap(true) {
		return
	}
	if m.revoked {
		account.unreclaimed--
		account.unreclaimedBytes -= uint64(len(m.b))
		quarantineLocked(m)
		return
	}
	account.pinned[m] = struct{}{}
}

// revoke revokes the memory: from now on every touch faults. Without raw
// bytes it then waits for the collector, with them for the quarantine's turn.
func (m *addrRange) revoke() error {
	err := sys.Revoke(m.b)
	account.mu.Lock()
	defer account.mu.Unlock()
	if m.revoked {
		return err
	}
	m.revoked = true
	if err == nil {
		account.vmas -= m.extraVMAs // it is one map now
		m.extraVMAs = 0
	}
	if m.escaped.Load() {
		delete(account.pinned, m)
		quarantineLocked(m)
		return err
	}
	awaitGCLocked(m)
	return err
}

// quarantineLocked puts m into the quarantine and lets the oldest go while the quarantine
// is over its bound: an eighth of the addresses, or of the maps the library
// allows itself. ledger.mu is held.
func quarantineLocked(m *addrRange) {
	account.quarantine = append(account.quarantine, m)
	account.quarantineBytes += uint64(len(m.b))
	for len(account.quarantine) > maxVMAs()/8 || account.quarantineBytes > sys.AddressSpace()/8 {
		oldest := account.quarantine[0]
		account.quarantine[0] = nil
		account.quarantine = account.quarantine[1:]
		account.quarantineBytes -= uint64(len(oldest.b))
		awaitGCLocked(oldest)
	}
}

// awaitGCLocked counts m as waiting for the collector, and calls the collector when
// enough wait. ledger.mu is held.
func awaitGCLocked(m *addrRange) {
	account.unreclaimed++
	account.unreclaimedBytes += uint64(len(m.b))
	if account.unreclaimed >= account.gcThreshold || account.unreclaimedBytes > sys.AddressSpace()/8 {
		startGC()
	}
}

// startGC starts one collection if none is under way. ledger.mu
// is held.
func startGC() {
	if account.gcRunning {
		return
	}
	account.gcRunning = true
	go func() {
		runGC()
		account.mu.Lock()
		defer account.mu.Unlock()
		account.gcRunning = false
		// What is left is held by somebody: do not ask again at once.
		account.gcThreshold = min(minGCThreshold+2*account.unreclaimed, maxVMAs()/2)
	}()
}

// runGC runs the collector and waits until the cleanups have had their
// turn, or for a tenth of a second.
func runGC() {
	done := make(chan struct{})
	mark := new([32]byte)
	runtime.AddCleanup(mark, func(c chan struct{}) { close(c) }, done)
	runtime.GC()
	select {
	case <-done:
	case <-time.After(100 * time.Millisecond):
	}
}

// offset returns which of the memory's bytes has the address.
func (m *addrRange) offset(addr uintptr) (off int64, ok bool) {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(m.b)))
	return int64(addr - base), addr >= base && addr-base < uintptr(len(m.b))
}

// headPages returns the memory of the first n bytes, to whole pages.
func (m *mapping) headPages(n int64) []byte {
	return m.pagesOf(-m.lead, m.lead+n)
}
