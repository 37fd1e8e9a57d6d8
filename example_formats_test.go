package mmap_test

import (
	"archive/zip"
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/seed-93fed273/mmap"
)

// A zip archive is read at random: its directory is at the end.
func ExampleRegion_zip() {
	r, err := mmap.CreateTemp("", "example*.zip")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(r.Name())
	defer r.Close()
	w := zip.NewWriter(r)
	f, err := w.Create("greeting.txt")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.WriteString(f, "hello"); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	archive, err := zip.NewReader(r, r.Size())
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range archive.File {
		fmt.Println(f.Name, f.UncompressedSize64)
	}
	// Output: greeting.txt 5
}

// A Region is an io.Reader with a cursor, as an os.File is.
func ExampleRegion_csv() {
	r, err := mmap.CreateTemp("", "example*.csv")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(r.Name())
	defer r.Close()
	if _, err := r.WriteString("name,age\nAda,36\n\"Gödel, Kurt\",71\n"); err != nil {
		log.Fatal(err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		log.Fatal(err)
	}

	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range rows[1:] {
		fmt.Println(row[1], row[0])
	}
	// Output:
	// 36 Ada
	// 71 Gödel, Kurt
}

// Lines with bufio, and the same bytes again through a SectionReader, which has a
// cursor of its own.
func ExampleRegion_bufio() {
	r, err := mmap.CreateTemp("", "example*.txt")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(r.Name())
	defer r.Close()
	w := bufio.NewWriter(r)
	fmt.Fprintln(w, "first")
	fmt.Fprintln(w, "second")
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}

	lines := bufio.NewScanner(io.NewSectionReader(r, 0, r.Size()))
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// first
	// second
}
