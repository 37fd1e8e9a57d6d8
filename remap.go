package mmap

import (
	"math"
	"os"
	"slices"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/addrspace"
	"github.com/seed-93fed273/mmap/internal/sys"
)

// mapped returns the current mapping and makes one if there is none.
func (r *Region) mapped() (*mapping, error) {
	if m := r.m.Load(); m != nil {
		return m, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mappedLocked()
}

// mappedLocked is mapped for a caller that holds mu.
func (r *Region) mappedLocked() (*mapping, error) {
	if r.closed.Load() {
		return nil, os.ErrClosed
	}
	if m := r.m.Load(); m != nil {
		return m, nil
	}
	if r.neverMapped != nil {
		return nil, r.neverMapped
	}
	if !sys.MapsPastEOF && !r.memoryOnly() {
		info, err := r.fstat() // a mapping must not be longer than the file is now
		if err != nil {
			return nil, err
		}
		r.size.Store(r.clampToWindow(info.Size)) // without a mapping there is nothing else to publish
	}
	m, err := r.remap(r.size.Load(), 0)
	r.noteMapped(r.size.Load(), err)
	return m, r.mapErr
}

// noteMapped notes how an attempt to map the Region went when it had size bytes.
// mu is held.
func (r *Region) noteMapped(size int64, err error) {
	r.mapErr, r.unmappable = notMapped(err), size
}

// remap maps the Region's bytes, of which there are or will be size, and makes
// that the current mapping. Slices of an earlier one stay what they were: both
// show the same pages. mu is held.
func (r *Region) remap(size int64, hint uintptr) (*mapping, error) {
	if r.fdWritable {
		_ = r.withFD(func(fd uintptr) { r.eofPage = sys.EOFPageOf(fd) })
	}
	want := size
	if r.window > 0 && (sys.MapsPastEOF || r.memoryOnly()) {
		want = r.window
	}
	if slack := r.slack(size); slack > 0 {
		m, err := r.mapBytes(size, size+slack, hint)
		if err == nil || want == 0 && sys.RefusesShared(err) {
			return m, err // an empty file that will never be mapped
		} // RLIMIT_AS, or a file system that maps no more than there is
	}
	if want == 0 {
		return nil, errEmpty
	}
	return r.mapBytes(size, want, hint)
}

// slack is by how many bytes a mapping reaches past the end of the file, so
// that growth needs no new one: as much as the file has, and at least 1 MiB,
// but no more than a thousandth of the address space. Where addresses are few it
// is an eighth of the file.
func (r *Region) slack(size int64) int64 {
	grows := r.fdWritable && r.effectiveProt()&sys.Write != 0 || len(r.ranges) > 0
	switch {
	case !sys.MapsPastEOF || r.eofPage.GrowsFile || r.window > 0 || r.memoryOnly() || !grows:
		return 0
	case addrspace.Scarce:
		return max(size/8, 64<<10)
	}
	return min(max(size, 1<<20), int64(sys.AddressSpace()>>10))
}

// mapBytes maps room bytes of the file, of which size are there. mu is held.
func (r *Region) mapBytes(size, room int64, hint uintptr) (*mapping, error) {
	span, lead, err := Span{r.base, room}.Align()
	if err != nil || span.Len > math.MaxInt {
		return nil, errTooLarge
	}
	if r.f == nil {
		span.Off, lead = 0, 0
	}
	var mem *addrspace.Range
	cerr := r.withMappableFD(func(fd uintptr) {
		mem, err = addrspace.Map(fd, span.Off, int(span.Len), r.effectiveProt(), r.flags, hint)
	})
	if err == syscall.EPERM && r.effectiveProt()&sys.Write != 0 && !r.explicitProt && !r.memoryOnly() {
		r.writeSealed.Store(true) // by another: it can be read
		return r.mapBytes(size, room, hint)
	}
	if cerr == nil && err != nil && r.mayMapPrivately(err) {
		cerr = r.withFD(func(fd uintptr) {
			mem, err = addrspace.Map(fd, span.Off, int(span.Len), r.effectiveProt(), r.flags|sys.Private, hint)
		})
		r.viewOnly = err == nil
	}
	if err = firstError(cerr, err); err != nil {
		return nil, err
	}
	if err := r.applyAttrs(mem, alignUp(lead+size)); err != nil {
		_ = mem.Revoke()
		return nil, err
	}
	m := &mapping{mem: mem, at: dataPtr(mem.Bytes()[lead:]), lead: lead, capacity: room}
	m.residency = newResidency(mem, r.eofPage.NoWriteback)
	m.dirtyEnd = r.storedEnd()
	if sys.MapsPastEOF && r.window == 0 && !r.memoryOnly() {
		m.capacity = span.Len - lead
	}
	r.install(m, size)
	r.watchMapping()
	return m, nil
}

// install makes m the current mapping and retires the one before. mu is held.
func (r *Region) install(m *mapping, size int64) {
	r.ranges = slices.DeleteFunc(r.ranges, (*addrspace.State).Gone)
	if len(r.ranges) > 0 {
		old := slices.Clone(r.ranges)
		m.old.Store(&old)
	}
	r.setLimits(m, size)
	r.ranges = append(r.ranges, m.mem.State)
	before := r.m.Swap(m)
	r.member.setMapped(true)
	switch {
	case before == nil:
	case revokesSuperseded && !before.mem.InUse():
		_ = before.mem.Revoke() // a reader in it faults, and goes on through the descriptor
	default:
		before.mem.Supersede()
	}
	m.forgetOld() // a View that begins now gets m: see lend
}

// revokesSuperseded says that a replaced mapping is revoked at once, unless
// its bytes are lent or escaped: where addresses are few, and where a mapping
// holds the file's size. A View counts itself there; see lend.
const revokesSuperseded = addrspace.Scarce || !sys.MapsPastEOF

// applyAttrs makes fresh memory what the caller made of the last; end is where
// the file's last page ends. Only the first mapping must be locked as it was
// asked for: later ones belong to a file that has grown already.
func (r *Region) applyAttrs(mem *addrspace.Range, end int64) error {
	l := r.attrs.get()
	if l == nil {
		return nil
	}
	if !mem.ReserveVMAs(l.extraVMAs()) {
		return addrspace.ErrTooMany
	}
	err, lockErr := l.apply(mem.Bytes(), r.effectiveProt(), min(end, int64(mem.Len())))
	if r.m.Load() == nil {
		err = firstError(err, lockErr)
	}
	return err
}

// setLimits sets how far m may be read and stored to, given that size bytes of
// the Region exist. Anonymous memory never waits for storage: both limits are
// the size at once. File memory begins at 0 and earns its limits: see
// residency.go. mu is held.
func (r *Region) setLimits(m *mapping, size int64) {
	n := min(size, m.capacity)
	if r.incoherent && !r.memoryOnly() || r.viewOnly {
		n = 0 // memory and descriptor may differ: see View
	}
	m.setBacked(n)
	warm := (r.f == nil || assumePages == assumeWarm) && !m.aliased()
	if warm && r.effectiveProt()&sys.Read != 0 && r.permittedPrefix(0, n, sys.Read) == n {
		m.readLimit.Store(n)
	}
	if warm && r.writesUseMemory() && r.permittedPrefix(0, n, sys.Write) == n {
		m.writeLimit.Store(n)
	}
}

// revokeAll revokes all ranges of the Region. mu is held.
func (r *Region) revokeAll() (err error) {
	for _, s := range r.ranges {
		err = firstError(err, s.Revoke())
	}
	return err
}

// countFDCall counts a call that memory might have served, and maps the file when
// the descriptor has served enough: a mapping costs about as much as eight
// small reads.
func (r *Region) countFDCall() {
	const few, pause = 8, 1 << 16
	if r.neverMapped != nil || r.incoherent || r.memoryOnly() || r.size.Load() == 0 {
		return
	}
	if m := r.m.Load(); m != nil && !r.worthRemapping(m) {
		return
	}
	if r.fdCalls.Add(1) < few {
		return
	}
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if _, err := r.mappedToEndLocked(); err != nil {
		r.fdCalls.Store(-pause)
	} else {
		r.fdCalls.Store(0)
	}
}

// worthRemapping reports whether so much of the file lies beyond the mapping
// that a new one pays.
func (r *Region) worthRemapping(m *mapping) bool {
	return r.size.Load()-m.capacity > m.capacity/4
}

// mappedToEndLocked returns a mapping that reaches the known end of the
// Region, and makes one if need be. mu is held.
func (r *Region) mappedToEndLocked() (*mapping, error) {
	m, err := r.mappedLocked()
	if err != nil || r.size.Load() <= m.capacity {
		return m, err
	}
	m, err = r.remap(r.size.Load(), 0)
	r.noteMapped(r.size.Load(), err)
	return m, r.mapErr
}

// mayMapPrivately reports whether a mapping that was refused with err may be a
// private one: nobody writes through this Region, so that it differs only in what
// it shows of the writes of others, and for that reason serves View and its kin
// alone.
func (r *Region) mayMapPrivately(err error) bool {
	return sys.RefusesShared(err) && !r.fdWritable && !r.memoryOnly() && r.flags&sys.SyncMap == 0 && r.serve != AccessMemory
}

// withMappableFD is withFD with a descriptor whose mapping shows what the
// Region's own descriptor reads. mu is held.
func (r *Region) withMappableFD(fn func(fd uintptr)) (err error) {
	if !r.clock.reopened && r.f != nil && !r.fdWritable {
		// An overlay may have put a copy in the file's place since it was opened.
		info, err := r.fstat()
		r.clock.reopened = err == nil && info.Changed != r.clock.changed.Load() && r.coherence() == sys.AfterReopen
	}
	if !r.clock.reopened {
		return r.withFD(fn)
	}
	cerr := r.withFD(func(fd uintptr) { err = sys.Reopened(fd, fn) })
	return firstError(cerr, err)
}

// coherence says what it takes after a change of the file.
func (r *Region) coherence() (how sys.Coherence) {
	if r.withFD(func(fd uintptr) { how = sys.CoherenceOf(fd) }) != nil {
		return sys.AfterRead
	}
	return how
}

// adviseAll gives advice for all of m, unless the caller has given some; Random not
// where he has bytes of it either. It reports whether it did.
func (r *Region) adviseAll(m *mapping, a sys.Advice) bool {
	if !r.mu.TryLock() {
		return false
	}
	defer r.mu.Unlock()
	if r.closed.Load() || r.m.Load() != m || r.attrs.get() != nil || a == sys.Random && m.mem.InUse() {
		return false
	}
	return sys.Advise(m.mem.Bytes(), a) == nil
}
