//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// referenceC is the plain C program: what the machine gives without any Go.
//
//go:embed reference/reference.c
var referenceC []byte

// reference is the C program, compiled.
type reference struct{ bin string }

// reference compiles the C program the first time. It returns nil where there
// is no compiler; the rows then go without.
func (l *lab) reference() *reference {
	if l.c != nil {
		return l.c
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		return nil
	}
	src, bin := l.path("reference.c"), l.path("reference")
	must(os.WriteFile(src, referenceC, 0o600))
	tool("gcc", "-O2", "-Wall", "-pthread", "-o", bin, src)
	l.c = &reference{bin}
	return l.c
}

// sum maps the file, touches every page, and returns how long adding it all up
// took after that.
func (c *reference) sum(name string) time.Duration { return c.run("sum", name) }

// random reads pages at random places in a number of threads.
func (c *reference) random(name string, reads, threads int, seed uint32) time.Duration {
	return c.run("random", name, fmt.Sprint(reads), fmt.Sprint(threads), fmt.Sprint(seed))
}

// run starts the program, which prints the nanoseconds it measured.
func (c *reference) run(args ...string) time.Duration {
	out := must1(exec.Command(c.bin, args...).Output())
	return time.Duration(must1(strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)))
}
