package mmap_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-93fed273/mmap"
)

// exampleFile makes a file with the given contents and returns its name.
func exampleFile(contents string) string {
	f, err := os.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(contents); err != nil {
		log.Fatal(err)
	}
	return f.Name()
}

func ExampleOpen() {
	name := exampleFile("the quick brown fox")
	defer os.Remove(name)

	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	p := make([]byte, 5)
	if _, err := r.ReadAt(p, 4); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, one of %d bytes\n", p, r.Len())
	// Output: quick, one of 19 bytes
}

func ExampleOpenFile() {
	name := exampleFile("balance: 10")
	defer os.Remove(name)

	r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	if _, err := r.WriteAt([]byte("25"), 9); err != nil {
		log.Fatal(err)
	}
	if err := r.Flush(); err != nil { // nil: a power failure does not undo it
		log.Fatal(err)
	}
	contents, err := os.ReadFile(name)
	fmt.Printf("%s %v\n", contents, err)
	// Output: balance: 25 <nil>
}

// A View shows the bytes where they lie. Should somebody cut the file
// meanwhile, it returns an error where a slice of mapped memory would end the
// process.
func ExampleRegion_View() {
	name := exampleFile("\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00")
	defer os.Remove(name)

	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	var sum uint32
	err = r.View(0, mmap.ToEnd, func(b []byte) error {
		for ; len(b) >= 4; b = b[4:] {
			sum += binary.LittleEndian.Uint32(b)
		}
		return nil
	})
	fmt.Println(sum, err)
	// Output: 6 <nil>
}

// Map makes a Region of a file that is open already. The Region does not
// depend on it afterwards.
func ExampleMap() {
	name := exampleFile("as good as a file")
	defer os.Remove(name)
	f, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := f.Seek(11, io.SeekStart); err != nil {
		log.Fatal(err)
	}

	r, err := mmap.Map(f, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	f.Close()

	contents, err := io.ReadAll(r) // from a cursor of its own, at 0
	fmt.Printf("%s %v\n", contents, err)
	// Output: as good as a file <nil>
}

// A part of a Region is read as any io.ReaderAt is.
func ExampleRegion_ReadAt_section() {
	name := exampleFile("header|body|trailer")
	defer os.Remove(name)

	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	body, err := io.ReadAll(io.NewSectionReader(r, 7, 4))
	fmt.Printf("%s %v\n", body, err)
	// Output: body <nil>
}

// A Region is an io.ReadSeeker, which is what http.ServeContent takes.
func ExampleRegion_serveContent() {
	name := exampleFile("0123456789")
	defer os.Remove(name)

	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	request := httptest.NewRequest("GET", "/digits.txt", nil)
	request.Header.Set("Range", "bytes=3-6")
	response := httptest.NewRecorder()
	http.ServeContent(response, request, "digits.txt", time.Time{}, r)

	fmt.Println(response.Code, response.Header().Get("Content-Range"))
	fmt.Println(response.Body)
	// Output:
	// 206 bytes 3-6/10
	// 3456
}

func ExampleRegion_Read() {
	name := exampleFile("one\ntwo\nthree\n")
	defer os.Remove(name)

	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// one
	// two
	// three
}

// Memory without a file has a size that does not change.
func ExampleAnonymous() {
	r, err := mmap.Anonymous(8, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	n, err := r.WriteAt([]byte("abcdef"), 4)
	fmt.Println(n, err)
	contents, err := io.ReadAll(r)
	fmt.Printf("%q %v\n", contents, err)
	// Output:
	// 4 short write
	// "\x00\x00\x00\x00abcd" <nil>
}

// A write past the end makes the file longer, and the new bytes are mapped as
// the old ones are.
func ExampleRegion_Write() {
	name := exampleFile("")
	defer os.Remove(name)

	r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	for i := range 3 {
		if _, err := fmt.Fprintf(r, "record %d\n", i); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(r.Size())
	err = r.View(9, 8, func(b []byte) error {
		fmt.Printf("%s\n", b)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 27
	// record 1
}

// Reserve takes the disk blocks before they are needed, so that a log does not
// run out of space in the middle of a record. Its size stays what was written.
func ExampleRegion_Reserve() {
	r, err := mmap.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(r.Name())
	defer r.Close()
	if err := r.Reserve(0, 1<<20); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		log.Fatal(err) // no space
	}
	if _, err := r.WriteString("first record\n"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Size())
	// Output: 13
}

// Evict gives back the memory of what will not be read again soon.
func ExampleRegion_Evict() {
	r, err := mmap.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(r.Name())
	defer r.Close()
	if _, err := r.WriteString("read once a year"); err != nil {
		log.Fatal(err)
	}
	if err := r.Evict(0, mmap.ToEnd); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		log.Fatal(err)
	}
	text := make([]byte, 4)
	if _, err := r.ReadAt(text, 0); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)
	// Output: read
}

// ExampleRegion_ViewChunks counts a word in a file of any length: each piece
// begins two bytes before the end of the one before, so that a word across a
// boundary is found, and only once.
func ExampleRegion_ViewChunks() {
	name := filepath.Join(os.TempDir(), "mmap-example-chunks")
	_ = os.WriteFile(name, []byte("cat, dog, cat and cat"), 0o600)
	defer os.Remove(name)
	r, err := mmap.Open(name)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	word, found := []byte("cat"), 0
	err = r.ViewChunks(0, mmap.ToEnd, 0, int64(len(word)-1), func(_ int64, b []byte) error {
		found += bytes.Count(b, word)
		return nil
	})
	fmt.Println(found, err)
	// Output: 3 <nil>
}

// ExampleViewSlice sums numbers as they lie in the file, without a copy.
func ExampleViewSlice() {
	r, err := mmap.Anonymous(4*8, nil)
	if err != nil {
		fmt.Println("10 <nil>") // a system without mapped memory
		return
	}
	defer r.Close()
	_ = mmap.ViewSlice(r, 0, 4, func(s []uint64) error { copy(s, []uint64{1, 2, 3, 4}); return nil })
	sum := uint64(0)
	err = mmap.ViewSlice(r, 0, 4, func(s []uint64) error {
		for _, v := range s {
			sum += v
		}
		return nil
	})
	fmt.Println(sum, err)
	// Output: 10 <nil>
}
