// Package project is a project whose tests show what the harness makes of
// them.
package project

import "os"

// Read reads the whole file.
func Read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	return b, err
}

// Open opens the file, for those who care what type it is.
func Open(name string) (any, error) {
	f, err := os.Open(name)
	return f, err
}
