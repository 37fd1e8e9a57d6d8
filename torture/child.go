//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// A child is this program again, in another role: what may crash, or must not
// share a runtime with what it serves, is one.
var children = map[string]func(args []string) error{
	"writer": childWriter,
	"cases":  childCases,
	"peer":   childPeer,
	"full":   childFull,
	"cut":    childCut,
	"long":   childLong,
}

// runChild plays a role and returns the exit status.
func runChild(args []string) int {
	role, ok := children[args[0]]
	if !ok {
		fmt.Fprintln(os.Stderr, "torture: no role", args[0])
		return 2
	}
	if err := role(args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "torture %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// process is a running child.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser // its standard input: it ends when this is closed
	out io.ReadCloser
	err *head
}

// start starts a child that ends when this process does.
func start(ctx context.Context, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, "/proc/self/exe", append([]string{"child"}, args...)...), err: &head{}}
	p.cmd.Stderr = p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

// end lets the child come to its end and returns how it went.
func (p *process) end() error {
	p.in.Close()
	_, _ = io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%v: %w: %s", p.cmd.Args[2:], err, p.err)
	}
	return nil
}

// kill ends the child at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.end()
}

// head keeps the beginning of what is written to it: what a crash says first
// says most.
type head struct{ b []byte }

// Write implements [io.Writer].
func (h *head) Write(p []byte) (int, error) {
	const most = 4 << 10
	h.b = append(h.b, p[:min(len(p), most-len(h.b))]...)
	return len(p), nil
}

// String returns what was kept.
func (h *head) String() string { return string(h.b) }
