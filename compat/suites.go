package main

import "time"

// suite is a project's tests, and how the library is put below them.
type suite struct {
	name     string
	about    string   // what is exchanged
	module   string   // a path with a version; "" for packages of Go itself
	packages []string // directories of the module, or import paths of Go
	runFlag  string   // -test.run
	skip     string   // -test.skip: tests that cannot be run here, or say nothing
	short    bool     // -test.short
	tags     string
	limit    time.Duration // for one test program; 0: five minutes
	quick    bool          // belongs to the short form
	edits    []edit

	// unchanged says why tests fail in the baseline, where that is known.
	unchanged string

	// known says of tests that fail over the library alone why that is no
	// fault, by "package.Name". They are counted and named, and do not fail
	// the suite.
	known map[string]string
}

// source says what the suite is of.
func (s suite) source() string {
	if s.module == "" {
		return "Go's own " + s.packages[0]
	}
	return s.module
}

// suites are all there are, in the order in which they run: first the short form's,
// the cheap ones before the others, so that a slow machine gets through most.
var suites = []suite{
	{
		name:     "mmap-go",
		module:   "github.com/edsrzf/mmap-go@v1.2.0",
		about:    "the library's own tests; all of its code is mmapgo",
		packages: []string{""},
		quick:    true,
		edits: []edit{
			rewrite{file: "mmap.go", text: shim},
			rewrite{file: "mmap_unix.go"},
			rewrite{file: "mmap_windows.go"},
			rewrite{file: "mmap_plan9.go"},
			rewrite{file: "mmap_wasm.go"},
		},
	},
	{
		name:     "vellum",
		module:   "github.com/blevesearch/vellum@v1.2.1",
		about:    "finite state transducers in a mapped file; the module that maps is mmapgo",
		packages: []string{""},
		quick:    true,
		edits:    []edit{replaceModule{"github.com/blevesearch/mmap-go"}},
	},
	{
		name:     "zapx",
		module:   "github.com/blevesearch/zapx/v16@v16.3.2",
		about:    "segments of a search index; the module that maps is mmapgo",
		packages: []string{""},
		quick:    true,
		edits:    []edit{replaceModule{"github.com/blevesearch/mmap-go"}},
	},
	{
		name:      "maxminddb",
		module:    "github.com/oschwald/maxminddb-golang/v2@v2.9.0",
		about:     "a database of addresses in a mapped file; what maps is mmapgo",
		packages:  []string{""},
		quick:     true,
		unchanged: "the module's archive lacks the databases that they read",
		edits: []edit{
			rewrite{file: "mmap_unix.go", text: maxminddbMmap},
			substitute{file: "reader.go", old: "openMmap(mapFile, size)", new: "mmapFile(mapFile, size)"},
		},
	},
	{
		name:     "pebble",
		module:   "github.com/cockroachdb/pebble/v2@v2.1.7",
		about:    "the file system of a key-value store; its files are Regions",
		packages: []string{"vfs", "vfs/atomicfs"},
		quick:    true,
		edits:    []edit{exchange{files: []string{"vfs/vfs.go", "vfs/default_linux.go", "vfs/syncing_file_test.go", "vfs/syncing_file_linux_test.go"}}},
	},
	{
		name:     "vm-fs",
		module:   "github.com/VictoriaMetrics/VictoriaMetrics@v1.140.0",
		about:    "reading parts of a time series database; its files are Regions, and its own mapping is switched off",
		packages: []string{"lib/fs", "lib/filestream"},
		quick:    true,
		edits:    victoria,
	},
	{
		name:     "go-archive",
		about:    "archives; their files are Regions",
		packages: []string{"archive/zip", "archive/tar"},
		short:    true,
		quick:    true,
		edits:    []edit{exchange{files: []string{"archive/zip/reader.go", "archive/tar/reader_test.go"}}},
	},
	{
		name:     "go-debug",
		about:    "executables and their debug information; their files are Regions",
		packages: []string{"debug/elf", "debug/macho", "debug/pe", "debug/dwarf"},
		quick:    true,
		edits: []edit{exchange{files: []string{"debug/elf/file.go", "debug/elf/file_test.go",
			"debug/macho/file.go", "debug/macho/fat.go", "debug/pe/file.go"}}},
	},
	{
		name:     "go-http",
		about:    "serving files; what http.Dir opens is Regions",
		packages: []string{"net/http"},
		runFlag:  "FileServer|ServeFile|ServeContent|ServerFileStatError|DirJoin|EmptyDir|FSRedirect|FileTransport|Dir|ServeIndexHtml|LinuxSendfile|ScanETag|Range",
		quick:    true,
		edits:    []edit{exchange{files: []string{"net/http/fs.go", "net/http/fs_test.go"}}},
	},
	{
		name:     "ristretto",
		module:   "github.com/dgraph-io/ristretto/v2@v2.4.2",
		about:    "buffers and trees in mapped files; what maps and unmaps is mmapgo",
		packages: []string{"z"},
		quick:    true,
		edits: []edit{
			rewrite{file: "z/mmap_linux.go", text: ristrettoMmap},
			substitute{file: "z/file_linux.go", old: "mremap(m.Data, int(maxSz))", new: "remap(m, maxSz)"},
		},
	},
	{
		name:     "go-os",
		about:    "the tests of os.File: Open, OpenFile, Create, CreateTemp and File are those of Regions",
		packages: []string{"os"},
		quick:    true,
		skip:     "RemoveAll|Process|Exec|Pipe|TestRoot|TestMkdir|Kill|Env|Hostname|Wait|Getppid|Stdin|Getwd|Hardlink|Symlink|Clearenv",
		edits:    osEdits(),
		known: map[string]string{
			"os.TestWriteAtInAppendMode": "it compares with an error value that package os does not export; the text is the same",
		},
	},
	{
		name:     "torrent",
		module:   "github.com/anacrolix/torrent@v1.61.0",
		about:    "storage of pieces in mapped files, and a packed list of addresses; the module that maps is mmapgo",
		packages: []string{"storage", "iplist"},
		tags:     "nosqlite", // which would be compiled from C
		edits:    []edit{replaceModule{"github.com/edsrzf/mmap-go"}},
	},
	{
		name:     "kopia",
		module:   "github.com/kopia/kopia@v0.23.1",
		about:    "maps of hashes that spill into mapped files, and the index of a backup repository; the module that maps is mmapgo",
		packages: []string{"internal/bigmap", "repo/content"},
		edits:    []edit{replaceModule{"github.com/edsrzf/mmap-go"}},
		known: map[string]string{
			"repo/content.TestCommittedContentIndexCache_Disk_FDsNotGrowingOnOpen_Linux": "it counts descriptors, and a mapping of mmapgo keeps one, as its documentation says",
		},
	},
	{
		name:     "promql",
		module:   "github.com/prometheus/prometheus@v0.316.0",
		about:    "the log of active queries is a mapped file; the module that maps is mmapgo",
		packages: []string{"promql"},
		edits:    []edit{replaceModule{"github.com/edsrzf/mmap-go"}},
	},
	{
		name:     "go-billy",
		module:   "github.com/go-git/go-billy/v5@v5.9.2",
		about:    "a file system interface over files; its files are Regions",
		packages: []string{"osfs", "util", "helper/chroot", "helper/temporal"},
		edits:    []edit{exchange{files: []string{"osfs/os.go"}}},
	},
	{
		name:     "go-git",
		module:   "github.com/go-git/go-git/v5@v5.19.3",
		about:    "a git implementation over go-billy, whose files are Regions",
		packages: []string{"storage/filesystem", "storage/filesystem/dotgit", "plumbing/format/packfile", "plumbing/format/idxfile", "plumbing/format/index", ""},
		limit:    10 * time.Minute,
		edits: []edit{dependency{
			module: "github.com/go-git/go-billy/v5@v5.9.2",
			edits:  []edit{exchange{files: []string{"osfs/os.go"}}},
		}},
	},
	{
		name:     "bbolt",
		module:   "go.etcd.io/bbolt@v1.5.0",
		about:    "a database in one file; its file is a Region (it goes on mapping by itself, beside it)",
		packages: []string{""},
		short:    true,
		edits:    []edit{exchange{files: []string{"db.go", "tx.go"}}},
	},
	{
		name:     "parquet-go",
		module:   "github.com/parquet-go/parquet-go@v0.32.0",
		about:    "columnar files; what it reads, writes and spills is Regions",
		packages: []string{"", "format"},
		short:    true,
		limit:    10 * time.Minute,
		edits:    []edit{exchange{files: []string{"*.go", "format/*_test.go"}}},
	},
	{
		name:     "arrow-go",
		module:   "github.com/apache/arrow-go/v18@v18.8.0",
		about:    "columnar files, opened by golang.org/x/exp/mmap: the import is changed, and os.Open",
		packages: []string{"parquet/file", "parquet/metadata"},
		edits: []edit{
			substitute{file: "parquet/file/file_reader_mmap.go", old: `"golang.org/x/exp/mmap"`, new: `"` + modulePath + `"`},
			exchange{files: []string{"parquet/file/file_reader.go", "parquet/file/file_reader_test.go", "parquet/metadata/page_index_test.go"}},
		},
	},
	{
		name:     "vm-storage",
		module:   "github.com/VictoriaMetrics/VictoriaMetrics@v1.140.0",
		about:    "a time series database, its merge sets and its logs; its files are Regions, and its own mapping is switched off",
		packages: []string{"lib/mergeset", "lib/storage", "lib/persistentqueue"},
		short:    true,
		limit:    15 * time.Minute,
		edits:    victoria,
	},
}

// victoria are the changes to VictoriaMetrics. Its own mapping reads what lies
// behind the end of a file in the last page, which mmapgo refuses to map: so
// files are read as io.ReaderAt, which it can do as well.
var victoria = []edit{
	exchange{files: []string{"lib/fs/reader_at.go", "lib/fs/fs.go", "lib/fs/fs_unix.go", "lib/fs/fadvise_unix.go",
		"lib/filestream/filestream.go", "lib/storage/storage.go", "lib/persistentqueue/persistentqueue.go"}},
	substitute{file: "lib/fs/reader_at.go", old: "if !*disableMmap {", new: "if false {"},
}

// ristrettoMmap is the part of ristretto's z that maps files, by mmapgo.
const ristrettoMmap = `package z

import (
	"os"

	"` + modulePath + `/mmapgo"
)

func mmap(fd *os.File, writable bool, size int64) ([]byte, error) {
	prot := mmapgo.RDONLY
	if writable {
		prot = mmapgo.RDWR
	}
	return mmapgo.MapRegion(fd, int(size), prot, 0, 0)
}

func munmap(b []byte) error {
	m := mmapgo.MMap(b)
	return m.Unmap()
}

func madvise(b []byte, readahead bool) error { return nil }

func msync(b []byte) error { return mmapgo.MMap(b).Flush() }

func remap(m *MmapFile, size int64) ([]byte, error) {
	if err := munmap(m.Data); err != nil {
		return nil, err
	}
	return mmap(m.Fd, true, size)
}
`

// maxminddbMmap is the part of maxminddb that maps files, by mmapgo.
const maxminddbMmap = `package maxminddb

import (
	"os"

	"` + modulePath + `/mmapgo"
)

func mmapFile(f *os.File, size int) ([]byte, error) {
	return mmapgo.MapRegion(f, size, mmapgo.RDONLY, 0, 0)
}

func mmap(fd, length int) ([]byte, error) { panic("nothing calls it") }

func munmap(b []byte) error {
	m := mmapgo.MMap(b)
	return m.Unmap()
}
`
