// Command mmap measures on this machine what package mmap does for a file.
//
// Usage:
//
//	mmap bench [flags] [FILE]
//	mmap help [command]
//
// The exit status is 0 when all went well, 1 when something could not be done,
// with one line that says what, 2 for wrong arguments, and 130 after an
// interrupt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// verb is one thing that the command can do.
type verb struct {
	name  string
	args  string // what follows the name in the usage
	short string // one line
	long  string // what help adds, before the flags

	// flags defines the verb's flags and returns what carries it out with
	// the arguments that are left.
	flags func(fs *flag.FlagSet) action
}

// action carries a verb out. A [usageError] means wrong arguments.
type action func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// verbs is the table of what the command can do.
var verbs = []verb{benchVerb}

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

// errInterrupted is how work ends that a signal cut short.
var errInterrupted = errors.New("interrupted")

// run is the whole command, from its arguments to its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return statusUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return help(args[1:], stdout, stderr)
	}
	v := find(args[0])
	if v == nil {
		return wrong(stderr, fmt.Sprintf("unknown command %q", args[0]), usage)
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
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			v.usage(stdout)
			return statusOK
		}
		return wrong(stderr, err.Error(), v.usage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	defer stop()
	err := act(ctx, fs.Args(), stdout, stderr)
	var bad usageError
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &bad):
		return wrong(stderr, err.Error(), v.usage)
	}
	fmt.Fprintln(stderr, "mmap:", err)
	if errors.Is(err, errInterrupted) {
		return statusInterrupted
	}
	return statusFailed
}

// flagSet returns the verb's flags, and what to do once they are parsed.
func (v *verb) flagSet() (*flag.FlagSet, action) {
	fs := flag.NewFlagSet(v.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs, v.flags(fs)
}

// wrong says what is wrong with the arguments and how they should be.
func wrong(stderr io.Writer, what string, usage func(io.Writer)) int {
	fmt.Fprintln(stderr, "mmap:", what)
	usage(stderr)
	return statusUsage
}

// help is the command's help, or that of one verb.
func help(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stdout)
		return statusOK
	}
	v := find(args[0])
	if v == nil || len(args) > 1 {
		return wrong(stderr, fmt.Sprintf("no help on %q", args), usage)
	}
	v.usage(stdout)
	return statusOK
}

// usage lists the verbs.
func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: mmap COMMAND [flags] [arguments]")
	fmt.Fprintln(w)
	for _, v := range verbs {
		fmt.Fprintf(w, "  mmap %s %s\n    \t%s\n", v.name, v.args, v.short)
	}
	fmt.Fprintf(w, "  mmap help [COMMAND]\n    \tsay more about a command\n")
}

// usage describes one verb and its flags.
func (v *verb) usage(w io.Writer) {
	fmt.Fprintf(w, "usage: mmap %s %s\n\n%s\n\n", v.name, v.args, v.long)
	fs, _ := v.flagSet()
	fs.SetOutput(w)
	fs.PrintDefaults()
}
