package mmap

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Advice tells the system how a range will be used: the advice of madvise(2)
// and posix_madvise(3).
type Advice uint8

// The advice there is. A system that has not one returns an error wrapping
// [errors.ErrUnsupported] for it; [Advice.Supported] tells beforehand. Ranges
// are widened to whole pages, except where it says "whole pages only": then a
// page that lies partly outside the range is left alone.
const (
	AdviceNormal        = Advice(sys.Normal)        // no special treatment: the default
	AdviceSequential    = Advice(sys.Sequential)    // read ahead far, drop behind early
	AdviceRandom        = Advice(sys.Random)        // do not read ahead
	AdviceWillNeed      = Advice(sys.WillNeed)      // start reading now; PrefetchVirtualMemory on Windows
	AdviceDontNeed      = Advice(sys.DontNeed)      // unmap the pages, whole pages only; what was stored to a file stays. On anonymous memory the bytes become zero; on private memory of a file it is refused, see [Region.Discard]
	AdviceFree          = Advice(sys.Free)          // anonymous memory, whole pages only: the bytes may become zero at any time until the page is written again
	AdviceCold          = Advice(sys.Cold)          // evict these first, whole pages only
	AdvicePageOut       = Advice(sys.PageOut)       // evict now, whole pages only
	AdviceHugePage      = Advice(sys.HugePage)      // use huge pages
	AdviceNoHugePage    = Advice(sys.NoHugePage)    // use small pages
	AdviceCollapse      = Advice(sys.Collapse)      // make huge pages of what is there, now
	AdvicePopulateRead  = Advice(sys.PopulateRead)  // bring the pages in, for reading; waits
	AdvicePopulateWrite = Advice(sys.PopulateWrite) // bring the pages in, for writing; waits, and makes a file's pages dirty
	AdviceDontFork      = Advice(sys.DontFork)      // not in a child
	AdviceDoFork        = Advice(sys.DoFork)        // in a child again
	AdviceDontDump      = Advice(sys.DontDump)      // not in a core dump
	AdviceDoDump        = Advice(sys.DoDump)        // in a core dump again
	AdviceMergeable     = Advice(sys.Mergeable)     // merge equal private pages
	AdviceUnmergeable   = Advice(sys.Unmergeable)   // and no longer
)

var adviceNames = [...]string{"Normal", "Sequential", "Random", "WillNeed", "DontNeed", "Free", "Cold",
	"PageOut", "HugePage", "NoHugePage", "Collapse", "PopulateRead", "PopulateWrite", "DontFork", "DoFork",
	"DontDump", "DoDump", "Mergeable", "Unmergeable"}

// String returns the name of the constant.
func (a Advice) String() string {
	if int(a) < len(adviceNames) {
		return adviceNames[a]
	}
	return fmt.Sprintf("Advice(%d)", uint8(a))
}

// Supported reports whether this system has the advice. The kernel in use may
// be older than the advice: then Advise returns an error all the same.
func (a Advice) Supported() bool { return int(a) < len(adviceNames) && sys.HasAdvice(sys.Advice(a)) }

// inner reports whether the advice must not touch a page in part.
func (a Advice) wholePagesOnly() bool {
	return a == AdviceDontNeed || a == AdviceFree || a == AdviceCold || a == AdvicePageOut
}

// Advise tells the system how the n bytes from off on will be used; n may be
// [ToEnd], which includes what the file grows by, and 0 does nothing.
//
// Advice that lasts (Normal to Random, HugePage to Unmergeable but Collapse)
// splits the system's map of the memory where its range begins and ends. A
// Region shares its process's allowance of such maps, a quarter of the
// system's limit, and returns an error when that is used up.
func (r *Region) Advise(off, n int64, a Advice) error {
	return wrap("advise", r.name, r.advise(off, n, a))
}

func (r *Region) advise(off, n int64, a Advice) error {
	switch {
	case int(a) >= len(adviceNames):
		return fmt.Errorf("%v: %w", a, syscall.EINVAL)
	case (a == AdviceDontNeed || a == AdviceFree) && r.flags&sys.Private != 0:
		return fmt.Errorf("%v would lose what was written to private memory: %w", a, syscall.EINVAL)
	case a == AdviceFree && r.f != nil:
		return fmt.Errorf("%v is for anonymous memory: %w", a, syscall.EINVAL)
	}
	if _, err := r.checkRange(off, n); err != nil {
		return err
	}
	if !a.Supported() {
		return fmt.Errorf("%v: %w", a, errors.ErrUnsupported)
	}
	c, err := r.pageSpanOf(off, n)
	if err != nil {
		return err
	}
	if a.wholePagesOnly() {
		c.wholePagesOnly()
	}
	note := a.attrUpdate()
	if note != nil {
		c.toCapacity()
	} else if c.empty() {
		return nil
	}
	if note != nil || a.wholePagesOnly() {
		return r.changePages(c, note, func(b []byte) error { return sys.Advise(b, sys.Advice(a)) })
	}
	err = sys.Advise(c.bytes(), sys.Advice(a))
	runtime.KeepAlive(c.m)
	return r.closedOr(err)
}

// section is a range of the memory in whole pages: [lo, hi) from its first
// page on.
type pageSpan struct {
	m      *mapping
	lo, hi int64
	off, n int64 // the range as it was asked for, from the Region's byte 0 on
	toEnd  bool  // hi stands for all that the memory will ever show
}

func (c *pageSpan) empty() bool { return c.m == nil || c.lo >= c.hi }

// bytes returns the memory of the section.
func (c *pageSpan) bytes() []byte { return c.m.mem.b[c.lo:c.hi] }

// shrink leaves out the pages that lie partly outside the range. The Region's
// own last page is whole: nothing but its bytes counts there.
func (c *pageSpan) wholePagesOnly() {
	if c.m == nil {
		return
	}
	lo, hi := c.m.lead+c.off, c.m.lead+c.off+c.n
	c.lo = alignUp(lo)
	if !c.toEnd {
		c.hi = AlignDown(hi)
	}
}

// begins checks a range and maps the Region if it is not yet. The section is
// widened to whole pages.
func (r *Region) pageSpanOf(off, n int64) (pageSpan, error) {
	m, size, err := r.mappedRange(off, n)
	if err == nil && m == nil && n == ToEnd {
		m, err = r.mapped() // for what the file grows by
		if errors.Is(err, errEmpty) {
			at := AlignDown(r.lead())
			return pageSpan{lo: at, hi: at, toEnd: true}, nil
		}
	}
	if err != nil || m == nil {
		return pageSpan{}, err
	}
	c := pageSpan{m: m, off: off, n: size, toEnd: n == ToEnd}
	c.lo = AlignDown(m.lead + off)
	c.hi = min(alignUp(m.lead+off+size), int64(len(m.mem.b)))
	if size == 0 {
		c.hi = c.lo
	}
	return c, nil
}

// grow makes a section to the end reach as far as the memory, so that what is
// made of it holds for what the file grows by.
func (c *pageSpan) toCapacity() {
	if c.toEnd && c.m != nil {
		c.hi = int64(len(c.m.mem.b))
	}
}

// unlearn forgets what is known of the pages of b, which is the section's
// memory.
func (c *pageSpan) forget(b []byte) {
	lo, hi := c.lo>>pageShift, (c.lo+int64(len(b)))>>pageShift
	c.m.forgetIn(&c.m.residency.resident, &c.m.readLimit, lo, hi)
	c.m.forgetWrites(lo, hi)
}

// change makes a system call that changes what the section's memory is, holds
// the control lock meanwhile, and notes the change in the layout. A revoked or
// released range is left alone: some calls would revive it.
func (r *Region) changePages(c pageSpan, note func(*pageAttr), call func(b []byte) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return os.ErrClosed
	}
	if c.empty() {
		r.recordForGrowth(c, note)
		return nil
	}
	m, err := r.mappedLocked()
	if err != nil {
		return err
	}
	c.m, c.hi = m, min(c.hi, int64(len(m.mem.b))) // it may have been replaced
	now := r.attrs.get()
	if _, ok := now.firstWhere(c.lo, c.hi, func(a pageAttr) bool { return a.released }); ok {
		return fmt.Errorf("part of the range was released: %w", sys.Fault)
	}
	if note == nil {
		return call(c.bytes())
	}
	hi := c.hi
	if c.toEnd {
		hi = math.MaxInt64
	}
	next := now.update(c.lo, hi, !r.memoryOnly(), note)
	if !c.m.mem.reserveVMAs(next.extraVMAs()) {
		return errTooManyMaps
	}
	if err := call(c.bytes()); err != nil {
		c.m.mem.reserveVMAs(now.extraVMAs())
		return err
	}
	r.attrs.set(next)
	r.setLimits(c.m, r.size.Load())
	return nil
}

// noteGrowth notes a change of bytes that are not there yet, and that no memory
// shows: the mapping that will is made like that. mu is held.
func (r *Region) recordForGrowth(c pageSpan, note func(*pageAttr)) {
	if !c.toEnd || note == nil || r.memoryOnly() {
		return
	}
	r.attrs.set(r.attrs.get().update(c.lo, math.MaxInt64, true, note))
	if c.m != nil {
		r.setLimits(c.m, r.size.Load())
	}
}

// Prefetch starts reading all the spans and waits for none; they may overlap
// and come in any order. A span that is not inside the Region is an error, and
// then nothing was started. Where the system has no such call it does nothing.
func (r *Region) Prefetch(spans ...Span) error {
	for _, s := range spans {
		if _, err := r.checkRange(s.Off, s.Len); err != nil {
			return wrap("prefetch", r.name, err)
		}
	}
	if !AdviceWillNeed.Supported() {
		return nil
	}
	for _, s := range spans {
		if c, err := r.pageSpanOf(s.Off, s.Len); err == nil && !c.empty() {
			_ = sys.Advise(c.bytes(), sys.WillNeed)
			runtime.KeepAlive(c.m)
		}
	}
	return wrap("prefetch", r.name, r.closedOr(nil))
}

// canAsk checks a range, and that the Region is open.
func (r *Region) checkRange(off, n int64) (int64, error) {
	if r.closed.Load() {
		return 0, os.ErrClosed
	}
	return r.resolveRange(off, n)
}

// Resident reports for each page that holds some of the n bytes from off on
// whether it is in memory, so that reading it waits for nothing; n may be
// [ToEnd]. (mincore(2); QueryWorkingSetEx on Windows.) The answer may be old
// when it arrives. Where the system does not tell this caller, the error says
// so: Linux tells who owns the file or may write it.
func (r *Region) Resident(off, n int64) ([]bool, error) {
	in, err := r.resident(off, n)
	if err != nil {
		return nil, wrap("mincore", r.name, err)
	}
	return in, nil
}

func (r *Region) resident(off, n int64) ([]bool, error) {
	c, err := r.pageSpanOf(off, n)
	if err != nil || c.empty() {
		return nil, err
	}
	if r.f != nil {
		cerr := r.withFD(func(fd uintptr) { err = sys.CheckResidencyVisible(fd) })
		if err := firstError(cerr, err); err != nil {
			return nil, err
		}
	}
	in := make([]bool, (c.hi-c.lo)/pageSize)
	err = sys.Resident(c.bytes(), in)
	runtime.KeepAlive(c.m)
	// A revoked range would have been called not resident.
	if err = r.closedOr(err); err != nil {
		return nil, err
	}
	return in, nil
}

// CacheStat counts pages of a range in the system's page cache, as
// cachestat(2) does.
type CacheStat struct {
	Cached          uint64 // pages in the cache, also those still being read
	Dirty           uint64 // of these, to be written
	Writeback       uint64 // of these, being written
	Evicted         uint64 // pages that were in the cache and are no longer
	RecentlyEvicted uint64 // of these, so recently that reading one again means memory is short
}

// CacheStat asks how the n bytes from off on lie in the page cache; n may be
// [ToEnd]. Only Linux from 6.5 on tells, and only those who own the file or
// may write it; elsewhere the error wraps [errors.ErrUnsupported]. Large
// folios are counted whole. On tmpfs no page is ever dirty.
func (r *Region) CacheStat(off, n int64) (CacheStat, error) {
	n, err := r.checkRange(off, n)
	if err == nil && r.f == nil {
		err = errors.ErrUnsupported
	}
	if err != nil || n == 0 {
		return CacheStat{}, wrap("cachestat", r.name, err)
	}
	var c sys.Cache
	cerr := r.withFD(func(fd uintptr) { c, err = sys.CacheStat(fd, r.base+off, n) })
	if err := r.closedOr(firstError(cerr, err)); err != nil {
		return CacheStat{}, wrap("cachestat", r.name, err)
	}
	return CacheStat(c), nil
}

// Lock pins the pages that hold the n bytes from off on in memory (mlock(2));
// n may be [ToEnd]. Locks do not nest. When the system's limit is the reason
// for an error, the error names it (RLIMIT_MEMLOCK). See [Options] for a lock
// that follows growth.
func (r *Region) Lock(off, n int64) error {
	c, err := r.pageSpanOf(off, n)
	if err == nil && !c.empty() {
		c.toEnd = false // what is not there cannot be pinned
		err = r.changePages(c, func(a *pageAttr) { a.locked = true }, func(b []byte) error { return r.lock(c, b) })
	}
	return wrap("mlock", r.name, err)
}

// lock pins b, the section's memory. The kernel marks pages as locked even when
// it could not bring them in: what was not locked before is unlocked again.
func (r *Region) lock(c pageSpan, b []byte) error {
	err := lockPages(b)
	if err != nil {
		r.attrs.get().runs(c.lo, c.lo+int64(len(b)), func(a pageAttr, lo, hi int64) {
			if !a.locked && !a.released {
				_ = sys.Unlock(b[lo-c.lo : hi-c.lo])
			}
		})
	}
	return err
}

// lockPages is sys.Lock with an error that names the limit.
func lockPages(b []byte) error {
	err := sys.Lock(b)
	if limit := sys.LockLimit(); err != nil && limit < math.MaxInt64 {
		return fmt.Errorf("%w (RLIMIT_MEMLOCK is %d bytes)", err, limit)
	}
	return err
}

// Unlock undoes Lock for the pages that hold the n bytes from off on; n may be
// [ToEnd].
func (r *Region) Unlock(off, n int64) error {
	c, err := r.pageSpanOf(off, n)
	if err == nil && !c.empty() {
		c.toEnd = false
		err = r.changePages(c, func(a *pageAttr) { a.locked = false }, sys.Unlock)
	}
	return wrap("munlock", r.name, err)
}

// Protect sets what the pages that hold the n bytes from off on allow
// (mprotect(2)): [ProtNone], or ProtRead, ProtWrite and ProtExec combined; n
// may be [ToEnd], which includes what the file grows by. What is not allowed
// faults in memory, and ReadAt, WriteAt and their kin return EACCES for it:
// the descriptor is no way round. Writing to shared memory can only be allowed
// where the file is open for writing.
//
// Each boundary splits the system's map, as with [Region.Advise].
func (r *Region) Protect(off, n int64, p Prot) error {
	return wrap("mprotect", r.name, r.protect(off, n, p))
}

func (r *Region) protect(off, n int64, p Prot) error {
	if p&^(ProtRead|ProtWrite|ProtExec) != 0 && p != ProtNone {
		return fmt.Errorf("unknown protection %#x: %w", uint8(p), syscall.EINVAL)
	}
	want := sys.Prot(p &^ ProtNone)
	if want&sys.Write != 0 && !r.fdWritable && !r.memoryOnly() {
		return fmt.Errorf("writing to a file open for reading only: %w", syscall.EACCES)
	}
	c, err := r.pageSpanOf(off, n)
	if err != nil {
		return err
	}
	c.toCapacity()
	return r.changePages(c, func(a *pageAttr) { a.denied, a.granted = r.prot&^want, want&^r.prot },
		func(b []byte) error { return r.protectPages(c, b, want) })
}

// protectPages is sys.Protect. What can no longer be written must not be
// written without a look: a copy that faults may have stored behind the fault.
func (r *Region) protectPages(c pageSpan, b []byte, want sys.Prot) error {
	c.forget(b)
	if err := sys.Protect(b, want); err != nil {
		return err
	}
	return r.eachOldRange(c.lo, c.lo+int64(len(b)), func(b []byte) error { return sys.Protect(b, want) })
}

// eachPast calls fn for the same pages of earlier mappings, whose slices may
// still be in use. mu is held.
func (r *Region) eachOldRange(lo, hi int64, fn func(b []byte) error) (err error) {
	for _, w := range r.oldRanges {
		if mem := w.Value(); mem != nil && lo < int64(len(mem.b)) {
			mem.addVMAs(2)
			err = firstError(err, fn(mem.b[lo:min(hi, int64(len(mem.b)))]))
			runtime.KeepAlive(mem)
		}
	}
	return err
}

// Allocate makes sure that the file system has room for the n bytes from off
// on, so that storing there does not run out of space; the file grows to
// off+n if it ends before. Bytes that are there stay. (fallocate(2) on Linux,
// F_PREALLOCATE on darwin; where there is no such call, zeros are written past
// the end, and a range before it is an error wrapping
// [errors.ErrUnsupported].) On file systems that write elsewhere each time
// (btrfs with snapshots) the promise is weaker than it looks.
func (r *Region) Allocate(off, n int64) error {
	return wrap("allocate", r.name, r.allocate(off, n))
}

func (r *Region) allocate(off, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == ToEnd && !r.closed.Load() {
		_ = r.refreshSizeLocked() // the file's end, not the last one seen
	}
	size := r.size.Load()
	switch {
	case r.closed.Load():
		return os.ErrClosed
	case off < 0, n < ToEnd, n > math.MaxInt64-off, off+n > math.MaxInt64-r.base:
		return fmt.Errorf("no range of %d bytes at %d: %w", n, off, syscall.EINVAL)
	case r.memoryOnly() || r.unsized:
		return errors.ErrUnsupported
	case n == ToEnd:
		n = max(size-off, 0) // any offset can be allocated, so none is past the end
	}
	if r.window > 0 && off+n > r.window {
		return fmt.Errorf("no range of %d bytes at %d in a window of %d: %w", n, off, r.window, io.ErrUnexpectedEOF)
	}
	if n == 0 {
		return nil
	}
	if off+n > size {
		r.zeroPastEOF()
	}
	var err error
	cerr := r.withFD(func(fd uintptr) { err = sys.Allocate(fd, r.base+off, n) })
	err = firstError(cerr, err)
	if errors.Is(err, errors.ErrUnsupported) && off >= size {
		err = r.writeZeros(size, off+n)
	}
	return firstError(err, r.refreshSizeLocked())
}

// writeZeros writes zeros by the descriptor.
func (r *Region) writeZeros(off, end int64) error {
	buf := bufferPool.Get().(*copyBuffer)
	defer bufferPool.Put(buf)
	clear(buf[:])
	for off < end {
		n, err := r.f.WriteAt(buf[:min(end-off, int64(len(buf)))], r.base+off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// Discard drops the contents of the n bytes from off on (n may be [ToEnd]),
// which then read as zeros, and gives the disk blocks that lie wholly inside back to the file
// system where that can be done (a hole; the size stays). On anonymous memory
// the pages are given back. On private memory of a file the pages that lie
// wholly inside are, and show what the file has; the others stay.
func (r *Region) Discard(off, n int64) error {
	return wrap("discard", r.name, r.discard(off, n))
}

func (r *Region) discard(off, n int64) error {
	toEnd := n == ToEnd
	n, err := r.checkRange(off, n)
	switch {
	case err != nil || n == 0:
		return err
	case r.unsized:
		return errors.ErrUnsupported
	case r.permittedPrefix(off, n, sys.Write) < n:
		return syscall.EACCES
	}
	if r.memoryOnly() {
		return r.discardPrivate(off, n, toEnd)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return os.ErrClosed
	}
	cerr := r.withFD(func(fd uintptr) { err = sys.PunchHole(fd, r.base+off, n) })
	err = firstError(cerr, err)
	if errors.Is(err, errors.ErrUnsupported) {
		err = r.writeZeros(off, off+n)
	}
	if m := r.m.Load(); m != nil && m.backs(off, n) {
		m.forget(off, n) // a hole has no pages
	}
	return err
}

// drop gives the pages of private or anonymous memory back, and zeroes the
// edges of anonymous memory. Pinned pages cannot be given back: they are
// zeroed too.
func (r *Region) discardPrivate(off, n int64, toEnd bool) error {
	c, err := r.pageSpanOf(off, n)
	if err != nil {
		return err
	}
	c.toEnd = toEnd || off+n == r.size.Load()
	c.wholePagesOnly()
	lo, hi := off+n, off+n
	if !c.empty() {
		lo, hi = max(c.lo-c.m.lead, off), min(c.hi-c.m.lead, off+n)
		err = r.changePages(c, nil, func(b []byte) error {
			if r.f != nil {
				c.forget(b)
			}
			return sys.DiscardPages(b)
		})
		if err != nil && (r.f != nil || !errors.Is(err, syscall.EINVAL)) {
			return err
		}
	}
	if r.f == nil {
		if err != nil {
			hi = lo
		}
		c.m.zero(off, lo)
		c.m.zero(hi, off+n)
	}
	return r.closedOr(nil)
}

// Release gives the memory of the pages that lie wholly inside the n bytes
// from off on back to the system (munmap(2) of a part): from then on [Region.View]
// and slices fault there. ReadAt and WriteAt go by the descriptor. The bytes of
// private and anonymous memory are lost, and reading or writing them is an
// error. There is no way back; n may be [ToEnd].
func (r *Region) Release(off, n int64) error {
	c, err := r.pageSpanOf(off, n)
	if err == nil && !c.empty() {
		c.wholePagesOnly()
		err = r.changePages(c, func(a *pageAttr) { *a = pageAttr{released: true} }, func(b []byte) error {
			c.forget(b)
			return firstError(sys.RevokePart(b), r.eachOldRange(c.lo, c.lo+int64(len(b)), sys.RevokePart))
		})
	}
	return wrap("munmap", r.name, err)
}
