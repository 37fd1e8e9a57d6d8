// Command mmap shows and steers what the system's page cache holds of files,
// and measures what package mmap does for one.
//
// Usage:
//
//	mmap stat [flags] FILE|DIR...    how much of each file is in the page cache
//	mmap warm [flags] FILE|DIR...    read into the cache what is missing
//	mmap evict [flags] FILE|DIR...   drop files from the cache
//	mmap lock [flags] FILE|DIR...    keep files in memory until interrupted
//	mmap who [flags] FILE|DIR...     which processes have files open or mapped
//	mmap doctor [flags] [DIR]        what this machine and a file system allow
//	mmap bench [flags] [FILE]        measure a Region beside os.File
//	mmap version                     the version of this command
//	mmap help [COMMAND]              say more about a command
//
// The exit status is 0 when all went well, 1 when something could not be done,
// with one line on standard error that says what, 2 for wrong arguments, and
// 130 after an interrupt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// verb is one thing that the command can do.
type verb struct {
	name  string
	args  string // what follows the name in the usage
	short string // one line
	long  string // what help adds, before the flags: paragraphs without line ends

	// flags defines the verb's flags and returns what carries it out with
	// the arguments that are left.
	flags func(fs *flag.FlagSet) action
}

// action carries a verb out. A [usageError] means wrong arguments.
type action func(ctx context.Context, args []string, c *console) error

// verbs is the table of what the command can do.
var verbs = []verb{statVerb, warmVerb, evictVerb, lockVerb, whoVerb, doctorVerb, benchVerb, versionVerb}

// The exit statuses.
const (
	statusOK          = 0
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 130 // what a shell says of SIGINT
)

// usageError says what is wrong with the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// Errors that have a meaning of their own to run.
var (
	errInterrupted = errors.New("interrupted")               // a signal cut the work short
	errStopped     = errors.New("stopped")                   // a signal ended what only a signal ends: no word is needed
	errSaid        = errors.New("some of it failed: see it") // what failed has been said, line by line
)

// run is the whole command, from its arguments to its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return statusUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return help(args[1:], stdout, stderr)
	case "-version", "--version":
		args[0] = "version"
	}
	v := find(args[0])
	if v == nil {
		return wrong(stderr, fmt.Sprintf("unknown command %q", args[0]), "mmap COMMAND [flags] [arguments]", "mmap help")
	}
	return v.run(args[1:], stdout, stderr)
}

// find returns the verb of that name, or nil.
func find(name string) *verb {
	for i := range verbs {
		if verbs[i].name == name {
			return &verbs[i]
		}
	}
	return nil
}

// run parses the verb's flags and carries it out until it is done or a signal
// asks to stop.
func (v *verb) run(args []string, stdout, stderr io.Writer) int {
	fs, act := v.flagSet()
	args, err := parse(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		v.usage(stdout)
		return statusOK
	}
	if err != nil {
		return v.wrong(stderr, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	defer stop()
	c := newConsole(stdout, stderr)
	err = act(ctx, args, c)
	c.clear()
	return v.status(err, stderr)
}

// status says what is to be said about err and returns the exit status.
func (v *verb) status(err error, stderr io.Writer) int {
	var bad usageError
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &bad):
		return v.wrong(stderr, err)
	case errors.Is(err, errStopped):
		return statusInterrupted
	case errors.Is(err, errSaid):
		return statusFailed
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "mmap: interrupted")
		return statusInterrupted
	}
	fmt.Fprintln(stderr, "mmap:", oneLine(err.Error()))
	return statusFailed
}

// flagSet returns the verb's flags, and what to do once they are parsed.
func (v *verb) flagSet() (*flag.FlagSet, action) {
	fs := flag.NewFlagSet(v.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs, v.flags(fs)
}

// parse parses flags wherever they stand among the arguments, up to a "--",
// and returns the other arguments.
func parse(fs *flag.FlagSet, args []string) (others []string, err error) {
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		left := fs.Args()
		if parsed := args[:len(args)-len(left)]; len(parsed) > 0 && parsed[len(parsed)-1] == "--" || len(left) == 0 {
			return append(others, left...), nil
		}
		others, args = append(others, left[0]), left[1:]
	}
	return others, nil
}

// wrong says in two lines what is wrong with the arguments and how they should
// be.
func wrong(stderr io.Writer, what, usage, more string) int {
	fmt.Fprintf(stderr, "mmap: %s\nusage: %s   (more: %s)\n", oneLine(what), usage, more)
	return statusUsage
}

// wrong says what is wrong with the verb's arguments.
func (v *verb) wrong(stderr io.Writer, err error) int {
	return wrong(stderr, err.Error(), v.line(), "mmap help "+v.name)
}

// line is how the verb is called.
func (v *verb) line() string { return strings.TrimSpace("mmap " + v.name + " " + v.args) }

// help is the command's help, or that of one verb.
func help(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stdout)
		return statusOK
	}
	v := find(args[0])
	if v == nil || len(args) > 1 {
		return wrong(stderr, fmt.Sprintf("no help on %q", strings.Join(args, " ")), "mmap help [COMMAND]", "mmap help")
	}
	v.usage(stdout)
	return statusOK
}

// helpWidth is how wide help may be.
const helpWidth = 80

// usage lists the verbs.
func usage(w io.Writer) {
	fmt.Fprint(w, "mmap shows and steers what the page cache holds of files, and measures mapping.\n\n")
	fmt.Fprint(w, "usage: mmap COMMAND [flags] [arguments]\n\n")
	for _, v := range verbs {
		fmt.Fprintf(w, "  %-8s %s\n", v.name, v.short)
	}
	fmt.Fprintf(w, "  %-8s %s\n\n", "help", "say more about a command: mmap help COMMAND")
	fmt.Fprint(w, "Exit status: 0 done, 1 something failed, 2 wrong arguments, 130 interrupted.\n")
}

// usage describes one verb and its flags.
func (v *verb) usage(w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n", v.line())
	for paragraph := range strings.SplitSeq(v.long, "\n") {
		if strings.HasPrefix(paragraph, " ") { // an example
			fmt.Fprintln(w, paragraph)
			continue
		}
		fmt.Fprintln(w)
		for _, line := range wrap(paragraph, helpWidth) {
			fmt.Fprintln(w, line)
		}
	}
	fs, _ := v.flagSet()
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprint(w, "\nFlags:\n")
			first = false
		}
		printFlag(w, f)
	})
}

// printFlag shows a flag beside what it means.
func printFlag(w io.Writer, f *flag.Flag) {
	const column = 16
	value, text := flag.UnquoteUsage(f)
	name := strings.TrimSpace("-" + f.Name + " " + value)
	lines := wrap(text, helpWidth-column)
	if len(name) > column-4 {
		lines = slices.Insert(lines, 0, "")
	}
	for i, line := range lines {
		if i > 0 {
			name = ""
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %-*s%s", column-2, name, line), " "))
	}
}
