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
	mem    *memory        // what keeps the addresses ours: whoever uses at keeps the mapping alive
	at     unsafe.Pointer // the Region's byte 0
	lead   int64          // bytes of mem before at
	room   int64          // bytes from at on that the memory can show
	limit  atomic.Int64   // bytes below it were seen resident: they are read without another look
	open   atomic.Int64   // bytes below it were seen writable: they are written without another look
	extent atomic.Int64   // bytes that are there: memory could serve them
	pages  *pages         // what is known of the bytes from limit and open on
	end    *atomic.Int64  // the highest end of a store since the last Flush
	idle   atomic.Bool    // nothing was stored since the last ageing
}

// stored notes that a store ended at end.
func (m *mapping) stored(end int64) {
	if m.idle.Load() {
		m.idle.Store(false)
	}
	for {
		old := m.end.Load()
		if end <= old || m.end.CompareAndSwap(old, end) {
			return
		}
	}
}

// memory is one range of addresses that the library got from the system. Its
// life ends when the collector proves that nobody holds it: then, and not at
// Close, the addresses go back.
type memory struct {
	*block
}

// block is what outlives a memory until its addresses are given back. Retired
// and cuts are guarded by ledger.mu.
type block struct {
	b       []byte
	retired bool // revoked
	cuts    int  // maps it takes beyond one

	// raw: its bytes were handed out, so nothing proves that nobody holds
	// them. Set under ledger.mu.
	raw atomic.Bool
}

// ledger counts the ranges of the process and keeps those that no collector
// may take.
var ledger = struct {
	mu         sync.Mutex
	held       int                  // ranges got and not yet given back
	dead       int                  // of these, retired and waiting for the collector
	deadBytes  uint64               // their bytes
	raw        map[*memory]struct{} // handed out and not closed
	grave      []*memory            // handed out and closed: the quarantine, oldest first
	graveBytes uint64
	collecting bool
	patience   int // how many may be dead before the next collection
}{raw: map[*memory]struct{}{}, patience: deadAtFirst}

// deadAtFirst is how many dead ranges make a collection worth while. 1000
// closings then share its cost.
const deadAtFirst = 1000

// errMaps is why a Region stays on its descriptor when the process has many.
var errMaps = errors.New("a quarter of the system's limit of maps is in use (vm.max_map_count on Linux)")

// mapLimit is the number of ranges at which the library stops mapping: at the
// system's own limit the Go heap dies first.
func mapLimit() int { return sys.MaxMaps() / 4 }

// newMemory maps n bytes. When addresses or maps run out it collects once and
// tries once more.
func newMemory(fd uintptr, off int64, n int, p sys.Prot, f sys.Flag, hint uintptr) (*memory, error) {
	if !takeMap() {
		if !anyDead() {
			return nil, errMaps
		}
		collect()
		if !takeMap() {
			return nil, errMaps
		}
	}
	b, err := sys.Map(fd, off, n, p, f, hint)
	if sys.NoMemory(err) {
		collect() // dropped Regions hold addresses too
		b, err = sys.Map(fd, off, n, p, f, hint)
	}
	if err != nil {
		ledger.mu.Lock()
		ledger.held--
		ledger.mu.Unlock()
		return nil, err
	}
	m := &memory{&block{b: b}}
	runtime.AddCleanup(m, (*block).giveBack, m.block)
	return m, nil
}

// takeMap counts one range more, unless that is one too many.
func takeMap() bool {
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	if ledger.held >= mapLimit() {
		collectInBackground()
		return false
	}
	ledger.held++
	return true
}

// anyDead reports whether a collection could free a range.
func anyDead() bool {
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	return ledger.dead > 0
}

// giveBack returns the addresses. It runs when the collector has found that
// nobody holds the memory.
func (b *block) giveBack() {
	err := sys.Unmap(b.b)
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	if b.retired {
		ledger.dead--
		ledger.deadBytes -= uint64(len(b.b))
	}
	if err == nil { // a sealed range (mseal) stays, and stays counted
		ledger.held -= 1 + b.cuts
	}
}

// splitMore counts cuts maps more for the memory.
func (b *block) splitMore(cuts int) {
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	if !b.retired {
		ledger.held += cuts
		b.cuts += cuts
	}
}

// split counts cuts maps beyond one for the memory, unless those are too many.
func (b *block) split(cuts int) bool {
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	more := cuts - b.cuts
	if b.retired || more > 0 && ledger.held+more > mapLimit() {
		return false
	}
	ledger.held += more
	b.cuts = cuts
	return true
}

// handOut notes that the memory's bytes are known outside the library. From
// now on the memory lives until it is retired, whoever holds it.
func (m *memory) handOut() {
	if m.raw.Load() {
		return
	}
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	if m.raw.Swap(true) {
		return
	}
	if m.retired {
		ledger.dead--
		ledger.deadBytes -= uint64(len(m.b))
		bury(m)
		return
	}
	ledger.raw[m] = struct{}{}
}

// retire revokes the memory: from now on every touch faults. Without raw
// bytes it then waits for the collector, with them for the quarantine's turn.
func (m *memory) retire() error {
	err := sys.Revoke(m.b)
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	if m.retired {
		return err
	}
	m.retired = true
	if err == nil {
		ledger.held -= m.cuts // it is one map now
		m.cuts = 0
	}
	if m.raw.Load() {
		delete(ledger.raw, m)
		bury(m)
		return err
	}
	die(m)
	return err
}

// bury puts m into the quarantine and lets the oldest go while the quarantine
// is over its bound: an eighth of the addresses, or of the maps the library
// allows itself. ledger.mu is held.
func bury(m *memory) {
	ledger.grave = append(ledger.grave, m)
	ledger.graveBytes += uint64(len(m.b))
	for len(ledger.grave) > mapLimit()/8 || ledger.graveBytes > sys.AddressSpace()/8 {
		oldest := ledger.grave[0]
		ledger.grave[0] = nil
		ledger.grave = ledger.grave[1:]
		ledger.graveBytes -= uint64(len(oldest.b))
		die(oldest)
	}
}

// die counts m as waiting for the collector, and calls the collector when
// enough wait. ledger.mu is held.
func die(m *memory) {
	ledger.dead++
	ledger.deadBytes += uint64(len(m.b))
	if ledger.dead >= ledger.patience || ledger.deadBytes > sys.AddressSpace()/8 {
		collectInBackground()
	}
}

// collectInBackground starts one collection if none is under way. ledger.mu
// is held.
func collectInBackground() {
	if ledger.collecting {
		return
	}
	ledger.collecting = true
	go func() {
		collect()
		ledger.mu.Lock()
		defer ledger.mu.Unlock()
		ledger.collecting = false
		// What is left is held by somebody: do not ask again at once.
		ledger.patience = min(deadAtFirst+2*ledger.dead, mapLimit()/2)
	}()
}

// collect runs the collector and waits until the cleanups have had their
// turn, or for a tenth of a second.
func collect() {
	done := make(chan struct{})
	mark := new([32]byte)
	runtime.AddCleanup(mark, func(c chan struct{}) { close(c) }, done)
	runtime.GC()
	select {
	case <-done:
	case <-time.After(100 * time.Millisecond):
	}
}
