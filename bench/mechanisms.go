//go:build linux && !386 && !arm && !mips && !mipsle

package main

// mechanism is a part of the library that is there for the sake of speed. It
// earns its place if the library is slower without it where it must show.
type mechanism struct {
	name string
	file string // of the root module
	from string // its source text, there once
	to   string // what replaces it, to switch it off
	rows []spot
}

// spot is a figure of the table: that of an entrant, by default the Region, in
// the first cell of a row whose workload contains the words, which are
// separated by commas.
type spot struct {
	row, words, entrant string
	full                bool // the quick form of the row is too small to show it
}

// mechanisms are all of them, by file.
var mechanisms = []mechanism{
	{"pages not known to be resident go by the descriptor", "reader.go",
		"off+n > m.limit.Load() && !r.knowsResident(m, off, n) {", "false {",
		[]spot{{row: "P5"}, {row: "P6"}}},
	{"small cold reads in two steps: RWF_NOWAIT, Gosched, pread", "reader.go",
		"if len(p) <= nowaitMost && !r.waits.Load() && r.m.Load() != nil {", "if false {",
		[]spot{{row: "P5"}, {row: "P6"}, {row: "P7"}}},
	{"the Gosched between these steps", "reader.go",
		"\t\truntime.Gosched()\n", "",
		[]spot{{row: "P5"}}},
	{"a limit below which no page is looked up", "reader.go",
		"limit := m.limit.Load()\n", "limit := m.limit.Load() * 0\n",
		[]spot{{row: "P1"}}},
	{"reads above 256 KiB by the descriptor", "reader.go",
		"n > piece && !r.fixed() ||", "",
		[]spot{{row: "P3", words: "1 MiB"}, {row: "P10", words: "small folios"}, {row: "P10", words: "large folios"}}},
	{"the guard recovers only after a fault", "guard.go",
		"if !ok {\n\t\t\trecover()\n\t\t}", "recover()",
		[]spot{{row: "P1"}}},
	{"copies in pieces of 256 KiB, with a place to stop between", "guard.go",
		"const piece = 256 << 10", "const piece = 1 << 30",
		[]spot{{row: "P23", entrant: "private Region"}, {row: "P23"}}},
	{"what was read counts as resident", "resident.go",
		"m.add(&m.pages.seen, &m.limit, off, n)", "",
		[]spot{{row: "P1"}}},
	{"a bit for each page above the limit", "resident.go",
		"if m.pages.seen.all(lo, hi) {\n\t\treturn true\n\t}\n\tif r.mute", "if r.mute",
		[]spot{{row: "P5", words: "again"}}},
	{"cachestat of the 2 MiB around a first read", "resident.go",
		"if r.mute.Load() {", "if true {",
		[]spot{{row: "P10", words: "each page once, small"}, {row: "P10", words: "each page once, large"}}},
	{"ageing: evicted pages are forgotten", "resident.go",
		"if r.ages.Load() || r.ages.Swap(true) {", "if true {",
		[]spot{{row: "P20", words: "random, evicted"}, {row: "P20", words: "overrun, evicted"}}},
	{"pages stay writable as long as they are dirty", "resident.go",
		"if !r.mute.Load() && end <= lookMost {", "if false {",
		[]spot{{row: "P13", words: "dirty, small", full: true}, {row: "P13", words: "dirty, large", full: true}}},
	{"the same", "resident.go",
		"if !r.mute.Load() && end <= lookMost {", "if false {",
		[]spot{{row: "P22", words: "frozen"}}},
	{"none is stored to while pages are written back", "resident.go",
		"m.pages.pressed.Store(pressed); pressed {", "m.pages.pressed.Store(false); pressed {",
		[]spot{{row: "P22", words: "throttled"}}},
	{"a bound below which no page is looked up for a write", "writer.go",
		"limit, end := m.open.Load(),", "limit, end := m.open.Load()*0,",
		[]spot{{row: "P13", words: "dirty, small"}}},
	{"pages written twice are written in memory", "writer.go",
		"case sys.Populate(m.around(off, n), true) != nil:", "case true:",
		[]spot{{row: "P13", words: "dirty, small"}, {row: "P13", words: "dirty, large"}}},
	{"so are large writes that come again and again", "writer.go",
		"n > populateMost && !m.pages.afford(n):", "n > populateMost:",
		[]spot{{row: "P14", words: "pass 24, small"}, {row: "P14", words: "pass 24, large"}}},
	{"but not at the second time", "writer.go",
		"n > populateMost && !m.pages.afford(n):", "false:",
		[]spot{{row: "P14", words: "pass 2, small"}, {row: "P14", words: "pass 2, large"}}},
	{"pages are made writable by POPULATE_WRITE, not by a fault", "writer.go",
		"case sys.Populate(m.around(off, n), true) != nil:", "case false:",
		[]spot{{row: "P22", words: "throttled"}}},
	{"a page's first write goes by the descriptor", "writer.go",
		"case !m.pages.once.all(lo, hi):", "case false:",
		[]spot{{row: "P13", words: "first touches, small"}, {row: "P13", words: "first touches, large"},
			{row: "P16", words: "16 dirty, small"}, {row: "P16", words: "16 dirty, large"}}},
	{"the size is not asked after each append", "writer.go",
		"if !r.stale.Load() {\n\t\t\tr.stale.Store(true)\n\t\t}", "_ = r.refresh()",
		[]spot{{row: "P15", words: "records of 100 B"}}},
	{"addresses past the end, to grow into", "region.go",
		"return max(size, 1<<20)", "return 0",
		[]spot{{row: "P15", words: "each read back"}}},
	{"no mapping before the eighth read", "region.go",
		"const few, pause = 8,", "const few, pause = 1,",
		[]spot{{row: "P11"}}},
	{"a thousand closed mappings share a collection", "mapping.go",
		"const deadAtFirst = 1000", "const deadAtFirst = 10",
		[]spot{{row: "P12"}}},
	{"a View's pages come in before its function runs", "view.go",
		"if n <= viewPopulated && off+n", "if false && off+n",
		[]spot{{row: "P20", entrant: "Region.View"}}},
	{"Flush by msync, not by fdatasync", "sync.go",
		"if m != nil && n > 0 && off+n <= m.room && !r.anyReleased(off, n) {", "if false {",
		[]spot{{row: "P16", words: "with 1 dirty, small"}, {row: "P16", words: "256 dirty, small"}}},
	{"sockets are given memory", "handon.go",
		"case ok || socket(w):", "case ok:",
		[]spot{{row: "P17", words: "small folios"}, {row: "P17", words: "large folios"}}},
	{"2 MiB of it at a time", "handon.go",
		"const sendPiece = 2 << 20", "const sendPiece = 64 << 20",
		[]spot{{row: "P17", words: "small folios"}, {row: "P17", words: "large folios"}}},
	{"from file to file the kernel copies", "handon.go",
		"case ok && regular(f) && r.handsOver():", "case ok && false:",
		[]spot{{row: "P19"}}},
	{"and into a Region too", "handon.go",
		"if r.handsOver() && !r.appends && fromFile(src) {", "if false {",
		[]spot{{row: "P19", entrant: "into Region"}}},
	{"a descriptor for net's sendfile", "cursor.go",
		"err := r.orClosed(nil)\n", "err := r.orClosed(errors.ErrUnsupported)\n",
		[]spot{{row: "P18"}}},
	{"calls of the descriptor are made without closures", "descriptor.go",
		"op := fileOps.Get().(*fileOp)", "op := fileOps.New().(*fileOp)",
		[]spot{{row: "P21"}}},
}

// kept says why a mechanism stays where its row does not move, or gets worse.
var kept = [][2]string{
	{"small cold reads in two steps: RWF_NOWAIT, Gosched, pread", "one goroutine (P7) gains nothing and loses nothing; 64 of them (P5, P6) gain."},
	{"reads above 256 KiB by the descriptor", "a first pass (P10) gains; over pages that are mapped (P3) both ways cost the same."},
	{"so are large writes that come again and again", "small folios gain three times; on large ones, where a write by the descriptor is cheap, both are within the noise of one another."},
	{"a page's first write goes by the descriptor", "a store to a clean page is a fault in Go code, which may wait (P22), and on large folios makes all of the folio dirty: a Flush then takes four times as long. Only first touches of large folios by themselves are slower for it."},
	{"a thousand closed mappings share a collection", "what a collection costs depends on the program's heap; here it is small."},
	{"Flush by msync, not by fdatasync", "it is as fast, and FlushRange needs it for a range."},
	{"2 MiB of it at a time", "it is as fast, and between two pieces the cursor moves and Close is noticed."},
	{"a descriptor for net's sendfile", "the descriptor is part of what a Region is, and net takes it where it is. As fast as os.File is all that P18 asks; the loopback copies, and sendfile gains on a card that does not."},
}
