package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listHead is the first line of a list of what was in the cache. The list is
// text, so that it can be looked at, compared and cut:
//
//	mmap list 1
//	file SIZE "NAME"
//	OFFSET LENGTH
//	...
const listHead = "mmap list 1"

// listed is one file of a list: which of its stretches were in the cache.
type listed struct {
	name  string
	size  int64
	spans []span
}

// saveList prints which stretches of the files are in the cache.
func (o *statOptions) saveList(ctx context.Context, args []string, c *console) error {
	out := bufio.NewWriter(c.out)
	fmt.Fprintln(out, listHead)
	n := 0
	err := newWalker(c, o.recurse).each(ctx, args, func(name string, info fs.FileInfo) error {
		if n++; info.Size() == 0 {
			return nil
		}
		c.progress("%d files", n)
		l, err := listFile(name)
		if err != nil {
			c.fail(err)
			return nil
		}
		return l.write(out)
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return err
	}
	return c.result()
}

// listFile finds out which stretches of a file are in the cache.
func listFile(name string) (*listed, error) {
	f, info, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	spans, err := stretches(f, info.Size(), true)
	if err != nil {
		return nil, fmt.Errorf("%s: not told: %w", name, err)
	}
	full, err := filepath.Abs(name)
	return &listed{full, info.Size(), spans}, err
}

// write writes the file's part of a list, when there is anything to say.
func (l *listed) write(w io.Writer) error {
	if len(l.spans) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "file %d %s\n", l.size, strconv.Quote(l.name))
	for _, s := range l.spans {
		if err == nil {
			_, err = fmt.Fprintf(w, "%d %d\n", s.off, s.n)
		}
	}
	return err
}

// readList reads a list; "-" is standard input.
func readList(name string) ([]listed, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	files, err := scanList(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return files, nil
}

// scanList reads the lines of a list.
func scanList(r io.Reader) (files []listed, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, miB)
	begun := false
	for n := 1; lines.Scan(); n++ {
		begun = true
		line := strings.TrimRight(lines.Text(), "\r")
		switch {
		case n == 1 && line != listHead:
			return nil, fmt.Errorf("not a list made by mmap stat -list: line 1 is not %q", listHead)
		case n == 1 || line == "":
			continue
		}
		if files, err = scanLine(files, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if lines.Err() == nil && !begun {
		return nil, errors.New("not a list made by mmap stat -list: it is empty")
	}
	return files, lines.Err()
}

// scanLine adds what a line says to the files.
func scanLine(files []listed, line string) ([]listed, error) {
	if rest, ok := strings.CutPrefix(line, "file "); ok {
		number, quoted, _ := strings.Cut(rest, " ")
		size, err := strconv.ParseInt(number, 10, 64)
		name, err2 := strconv.Unquote(quoted)
		if err != nil || err2 != nil || size < 0 || name == "" {
			return nil, fmt.Errorf(`%q is not: file SIZE "NAME"`, line)
		}
		return append(files, listed{name: name, size: size}), nil
	}
	first, second, _ := strings.Cut(line, " ")
	off, err := strconv.ParseInt(first, 10, 64)
	n, err2 := strconv.ParseInt(second, 10, 64)
	if err != nil || err2 != nil || off < 0 || n <= 0 || off+n < 0 {
		return nil, fmt.Errorf("%q is not: OFFSET LENGTH", line)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("a stretch of no file")
	}
	l := &files[len(files)-1]
	l.spans = append(l.spans, span{off, n})
	return files, nil
}
