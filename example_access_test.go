package mmap_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/seed-93fed273/mmap"
)

// A file that must be served by memory, or not be opened at all.
func ExampleOptions_access() {
	name := exampleFile("an index that is searched all the time")
	defer os.Remove(name)

	r, err := mmap.OpenFile(name, os.O_RDONLY, 0, &mmap.Options{Access: mmap.AccessMemory})
	if errors.Is(err, mmap.ErrNotMapped) {
		r, err = mmap.Open(name) // slower, and as correct
	}
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	fmt.Println(r.Len(), "bytes")
	// Output: 38 bytes
}

// Why a Region is not in memory.
func ExampleRegion_Mapped() {
	name := exampleFile("some text")
	defer os.Remove(name)

	r, err := mmap.OpenFile(name, os.O_WRONLY, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	err = r.Mapped()
	fmt.Println(errors.Is(err, mmap.ErrNotMapped))
	// Output: true
}

// A log that another process appends to and sometimes cuts.
func ExampleRegion_Refresh() {
	name := exampleFile("first line\n")
	defer os.Remove(name)

	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	if err := os.WriteFile(name, []byte("first line\nsecond line\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	before := r.Size()
	after, err := r.Refresh()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before, after)
	// Output: 11 23
}

// A temporary file that is written, read again, and removed.
func ExampleCreateTemp() {
	r, err := mmap.CreateTemp("", "example-*.txt")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(r.Name())
	defer r.Close()

	if _, err := r.WriteString("scratch"); err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 7)
	if _, err := r.ReadAt(p, 0); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %v\n", p, strings.HasSuffix(r.Name(), ".txt"))
	// Output: scratch, true
}
