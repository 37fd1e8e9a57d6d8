package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// console is where a verb writes.
type console struct {
	out, err io.Writer
	// outSize and errSize return how many columns and lines the terminal has
	// that the stream goes to; nil when it goes elsewhere.
	outSize, errSize func() (width, height int)
	ascii            bool // no block characters: the locale has other characters
	colour           bool

	shown  time.Time // when progress was shown last; zero when none is to be seen
	failed bool      // something failed, and was said
}

// newConsole looks at what the streams are.
func newConsole(stdout, stderr io.Writer) *console {
	c := &console{out: stdout, err: stderr, outSize: terminalSize(stdout), errSize: terminalSize(stderr)}
	c.ascii = asciiOnly()
	c.colour = c.outSize != nil && os.Getenv("NO_COLOR") == ""
	return c
}

// terminalSize returns what tells the size of the terminal behind w, or nil.
func terminalSize(w io.Writer) func() (width, height int) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || !understands(f) {
		return nil
	}
	return func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width < 1 || height < 1 {
			return 80, 24
		}
		return width, height
	}
}

// asciiOnly reports whether the locale asks for other characters than UTF-8's.
func asciiOnly() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(os.Getenv(name)); v != "" {
			return !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8")
		}
	}
	return false
}

// terminal reports whether standard output is a terminal.
func (c *console) terminal() bool { return c.outSize != nil }

// width returns the columns of standard output, or 0 where it is no terminal.
func (c *console) width() int {
	if c.outSize == nil {
		return 0
	}
	width, _ := c.outSize()
	return width
}

// progressEvery is how often progress is shown at most.
const progressEvery = 100 * time.Millisecond

// progress shows what is being done, on a terminal; elsewhere it does nothing.
func (c *console) progress(format string, args ...any) {
	if c.errSize == nil || time.Since(c.shown) < progressEvery {
		return
	}
	width, _ := c.errSize()
	c.shown = time.Now()
	fmt.Fprintf(c.err, "\r\x1b[K%s", clip(fmt.Sprintf(format, args...), width-1))
}

// clear takes the progress away.
func (c *console) clear() {
	if c.errSize != nil && !c.shown.IsZero() {
		fmt.Fprint(c.err, "\r\x1b[K")
		c.shown = time.Time{}
	}
}

// fail says that something failed, and goes on.
func (c *console) fail(err error) {
	c.clear()
	fmt.Fprintln(c.err, "mmap:", oneLine(err.Error()))
	c.failed = true
}

// result is what a verb returns in the end: whether something had failed.
func (c *console) result() error {
	c.clear()
	if c.failed {
		return errSaid
	}
	return nil
}

// write writes what was built to standard output.
func (c *console) write(text string) error {
	c.clear()
	_, err := io.WriteString(c.out, text)
	return err
}

// The colours that are used, and the end of each.
const (
	dim, bold, red, green, yellow = "\x1b[2m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"
	plain                         = "\x1b[0m"
)

// paint colours text, where colours are wanted.
func (c *console) paint(colour, text string) string {
	if !c.colour || text == "" || colour == "" {
		return text
	}
	return colour + text + plain
}
