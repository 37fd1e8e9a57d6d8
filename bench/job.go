//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A job is measured in a process of its own: one whose memory is limited, or
// of which it is asked how much memory it holds.

// jobs are all of them, by name. Each gets its arguments as JSON and returns
// the figures of one round.
var jobs = map[string]func(args []byte) []float64{
	"load":      asJob(load.run),
	"lookup":    asJob(lookup.run),
	"sort":      asJob(sortJob.run),
	"reference": asJob(referenceJob.run),
}

// asJob decodes the arguments of fn.
func asJob[T any](fn func(T) []float64) func([]byte) []float64 {
	return func(args []byte) []float64 {
		var v T
		must(json.Unmarshal(args, &v))
		return fn(v)
	}
}

// runJob measures a job in a new process, inside group if that is not nil. A
// job that skips or fails does so for the row.
func (l *lab) runJob(group *memoryGroup, name string, args any) []float64 {
	flags := []string{"-job", name}
	if group != nil {
		flags = append(flags, "-group", group.dir)
	}
	out, err := l.output(must1(json.Marshal(args)), "/proc/self/exe", flags...)
	must(err)
	first, rest, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if first == "skip" {
		panic(skip(rest))
	}
	var figures []float64
	for word := range strings.FieldsSeq(rest) {
		figures = append(figures, must1(strconv.ParseFloat(word, 64)))
	}
	return figures
}

// serveJob is the process of a job: it enters the group, reads the arguments
// from standard input, and prints the figures, or why there are none.
func serveJob(name, group string) (err error) {
	run, ok := jobs[name]
	if !ok {
		return fmt.Errorf("there is no job %q", name)
	}
	if group != "" {
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
	}
	args, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case skip:
			fmt.Println("skip", string(v))
		case failure:
			err = v.err
		default:
			panic(v)
		}
	}()
	figures := run(args)
	fmt.Print("figures")
	for _, v := range figures {
		fmt.Print(" ", v)
	}
	fmt.Println()
	return nil
}

// output runs a program and returns what it prints. When the lab closes first,
// the program is ended and waited for: it may have mounts to take away, and
// makes files in the lab's folder.
func (l *lab) output(in []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	forget := l.atEnd(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	err := cmd.Wait()
	close(ended)
	forget()
	if err != nil {
		return nil, errors.Join(err, errors.New(strings.TrimSpace(errs.String())))
	}
	return out.Bytes(), nil
}
