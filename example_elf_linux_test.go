package mmap_test

import (
	"debug/elf"
	"fmt"
	"log"
	"os"

	"github.com/seed-93fed273/mmap"
)

// The parsers of debug/elf and its kin jump about in a file: a Region is the
// io.ReaderAt that they want.
func ExampleRegion_elf() {
	name, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	f, err := elf.NewFile(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Section(".text").Type)
	// Output: SHT_PROGBITS
}
