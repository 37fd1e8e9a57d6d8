package mmapgo

import (
	"cmp"
	"reflect"
	"slices"
	"sync"

	"github.com/seed-93fed273/mmap"
)

// mapping is what stands behind one slice that MapRegion returned. It does not
// change once it is registered.
type mapping struct {
	region  *mmap.Region
	base    int64 // where in the Region the slice begins
	bytes   []byte
	start   uintptr // the address of bytes[0]
	flushes bool    // stores reach a file
}

// address returns the address of b's first byte. Mapped memory does not move,
// so the number stays true; it is compared, and never made a pointer again.
func address(b []byte) uintptr { return reflect.ValueOf(b).Pointer() }

// live holds every mapping between MapRegion and Unmap. A slice says nothing
// about its owner, so the owner is looked up by its address.
//
// An address is registered once at most: a mapping leaves before its memory is
// revoked, and before Unmap revoked it nothing else can lie there. A call that
// found its mapping may run into an Unmap all the same; then the Region is
// closed, and answers os.ErrClosed.
var live registry

// registry is a set of mappings that do not overlap.
type registry struct {
	mu   sync.RWMutex
	list []*mapping // by address
}

// add registers m.
func (g *registry) add(m *mapping) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i, _ := g.search(m.start)
	g.list = slices.Insert(g.list, i, m)
}

// find returns the mapping that b begins in, and b's offset in it; nil if b is
// empty, or there is none. No slice reaches from one mapping past its end.
func (g *registry) find(b []byte) (m *mapping, off int64) {
	if len(b) == 0 {
		return nil, 0
	}
	at := address(b)
	g.mu.RLock()
	defer g.mu.RUnlock()
	i, exact := g.search(at)
	if !exact {
		i-- // the last one that begins below
	}
	if i < 0 {
		return nil, 0
	}
	m = g.list[i]
	if at-m.start >= uintptr(len(m.bytes)) {
		return nil, 0
	}
	return m, int64(at - m.start)
}

// remove takes out the mapping that is exactly b, and returns it; nil if there
// is none.
func (g *registry) remove(b []byte) *mapping {
	if len(b) == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i, exact := g.search(address(b))
	if !exact || len(g.list[i].bytes) != len(b) {
		return nil
	}
	m := g.list[i]
	g.list = slices.Delete(g.list, i, i+1)
	return m
}

// search returns where a mapping that begins at the address is, or belongs. mu
// is held.
func (g *registry) search(at uintptr) (i int, exact bool) {
	return slices.BinarySearchFunc(g.list, at, func(m *mapping, at uintptr) int { return cmp.Compare(m.start, at) })
}
