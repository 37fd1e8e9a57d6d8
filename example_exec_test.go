//go:build (linux || freebsd) && (amd64 || arm64)

package mmap_test

import (
	"fmt"
	"log"
	"runtime"
	"unsafe"

	"github.com/seed-93fed273/mmap"
)

// machineCode is a function that returns 42, as Go's calling convention wants
// it: the first result is in AX on amd64, and in R0 on arm64.
var machineCode = map[string][]byte{
	"amd64": {
		0xb8, 42, 0, 0, 0, // MOVL $42, AX
		0xc3, // RET
	},
	"arm64": {
		0x40, 0x05, 0x80, 0xd2, // MOVD $42, R0
		0xc0, 0x03, 0x5f, 0xd6, // RET
	},
}[runtime.GOARCH]

// A compiler writes machine code into memory, then makes it executable, and no
// longer writable, and calls it.
func ExampleRegion_Protect_execute() {
	r, err := mmap.Anonymous(int64(len(machineCode)), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if _, err := r.WriteAt(machineCode, 0); err != nil {
		log.Fatal(err)
	}
	// On arm64 this is also what makes the processor see the new code: the
	// kernel cleans the caches of a page when it becomes executable.
	if err := r.Protect(0, mmap.ToEnd, mmap.ProtRead|mmap.ProtExec); err != nil {
		log.Fatal(err)
	}

	// A func value points to a word that holds where the code begins.
	code := unsafe.Pointer(unsafe.SliceData(r.Bytes()))
	value := unsafe.Pointer(&code)
	answer := *(*func() int)(unsafe.Pointer(&value))

	fmt.Println(answer())
	// Output: 42
}
