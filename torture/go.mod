module github.com/seed-93fed273/mmap/torture

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/seed-93fed273/mmap v0.0.0
	golang.org/x/sys v0.49.0
)

replace github.com/seed-93fed273/mmap => ../
