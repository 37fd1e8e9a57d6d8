package mmap

import (
	"github.com/seed-93fed273/mmap/internal/sys"
)

// prepareExtend makes the last page of the file ready for a write past its end. It
// reports whether it counted that write in growing: then no other goes to memory
// meanwhile, and who called lowers it again. mu is held.
func (r *Region) prepareExtend() bool {
	r.zeroPastEOF()
	m, size := r.m.Load(), r.size.Load()
	if m == nil || !r.eofPage.ZeroedByWriteback || size == 0 {
		return false
	}
	// Until it is written the page must be clean, and stay so. What fails
	// here the system reports once, so it is kept for Flush.
	r.pendingExtends.Add(1)
	lo, _ := m.pageRange(min(size, m.capacity)-1, 1)
	m.forgetWrites(lo, m.residency.n)
	_, err := r.call(fileArgs{kind: opBack, off: r.base + size - 1})
	r.setSticky(err)
	return true
}

// zeroPastEOF makes the bytes past the end of the file zero, up to the end of
// its last page: a slice or a writer that outlived a shrinking may have stored
// there, and tmpfs shows such bytes when the file grows again. Where the end is
// must be asked: what others appended is not to be cleared. mu is held.
func (r *Region) zeroPastEOF() {
	if !r.eofPageDirty || r.effectiveProt()&sys.Write == 0 || r.effectiveProt()&sys.Read == 0 || r.refreshSizeLocked() != nil {
		return
	}
	m, size := r.m.Load(), r.size.Load()
	if m == nil {
		return
	}
	end := min(alignUp(m.lead+size)-m.lead, m.capacity)
	m.zero(size, end)
}

// zeroPastEOFOnClose is clearTail for a Region that goes: if somebody else cut the file
// and it did not notice, it may have stored past the end, and nobody would know.
// mu is held.
func (r *Region) zeroPastEOFOnClose() {
	m := r.m.Load()
	if m == nil || !r.eofPage.KeepsStores || m.dirtyEnd.Load() == 0 && r.escapedEnd.Load() == 0 || r.refreshSizeLocked() != nil {
		return
	}
	r.zeroPastEOF()
}
