module github.com/seed-93fed273/mmap/compat

go 1.26.0

require (
	github.com/edsrzf/mmap-go v1.2.0
	github.com/seed-93fed273/mmap v0.0.0
)

require golang.org/x/sys v0.49.0 // indirect

replace github.com/seed-93fed273/mmap => ../
