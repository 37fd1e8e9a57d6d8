package mmap

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"github.com/seed-93fed273/mmap/internal/sys"
)

// Advise tells the system how the n bytes at off will be used; n may be
// [ToEnd], which includes what the file grows by, and 0 does nothing.
//
// Advice that lasts (Normal to Random, HugePage to Unmergeable but Collapse)
// splits the system's map of the memory where its range begins and ends. A
// Region shares its process's allowance of such maps, a quarter of the
// system's limit, and returns an error when that is used up.
func (r *Region) Advise(off, n int64, a Advice) error {
	if err := r.checkValid(); err != nil {
		return err
	}
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
	advise := func(s pageSpan) error { return sys.Advise(s.bytes(), sys.Advice(a)) }
	if update := a.attrUpdate(); update != nil || a.wholePagesOnly() {
		return r.changePages(off, n, pageChange{call: advise, update: update, whole: a.wholePagesOnly(), follows: update != nil})
	}
	s, err := r.pageSpanOf(off, n)
	if err != nil || s.empty() {
		return err
	}
	err = advise(s)
	runtime.KeepAlive(s.m)
	return r.closedOr(err)
}

// Prefetch starts reading all the spans and waits for none; they may overlap
// and come in any order, and what lies past the end is left out. A span that no
// file could have is an error, and then nothing was started. Where the system has no such call it does nothing.
func (r *Region) Prefetch(spans ...Span) error {
	if err := r.checkValid(); err != nil {
		return err
	}
	if r.unsized {
		return wrap("prefetch", r.name, r.closedOr(r.neverMapped))
	}
	for _, s := range spans {
		_, err := r.clipRange(s.Off, s.Len)
		if err == nil && r.unsized {
			err = errors.ErrUnsupported
		}
		if err != nil || r.isClosed() {
			return wrap("prefetch", r.name, r.closedOr(err))
		}
	}
	if !AdviceWillNeed.Supported() {
		return nil
	}
	for _, s := range spans {
		n, _ := r.clipRange(s.Off, s.Len)
		if c, err := r.pageSpanOf(s.Off, n); err == nil && !c.empty() {
			_ = sys.Advise(c.bytes(), sys.WillNeed)
			runtime.KeepAlive(c.m)
		}
	}
	return wrap("prefetch", r.name, r.closedOr(nil))
}

// Resident reports for each page that holds some of the n bytes at off
// whether it is in memory, so that reading it waits for nothing; n may be
// [ToEnd]. (mincore(2); QueryWorkingSetEx on Windows.) The answer may be old
// when it arrives. Where the system does not tell this caller, the error says
// so: Linux tells who owns the file or may write it.
func (r *Region) Resident(off, n int64) ([]bool, error) {
	if err := r.checkValid(); err != nil {
		return nil, err
	}
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

// CacheStat asks how the n bytes at off lie in the page cache; n may be
// [ToEnd]. Only Linux from 6.5 on tells, and only those who own the file or
// may write it; elsewhere the error wraps [errors.ErrUnsupported]. Large
// folios are counted whole. On tmpfs no page is ever dirty.
func (r *Region) CacheStat(off, n int64) (CacheStat, error) {
	if err := r.checkValid(); err != nil {
		return CacheStat{}, err
	}
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
