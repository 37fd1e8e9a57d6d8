// Metrics shows what package mmap does in a process to Prometheus. The collector
// is what a program of your own would copy; main serves it, and opens files to
// have something to show.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-93fed273/mmap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program, and returns its exit code. It serves until ctx is
// done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("metrics", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: metrics [-port PORT] [FILE...]")
		flags.PrintDefaults()
	}
	port := flags.Int("port", 0, "of 127.0.0.1; 0 is any that is free")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := serve(ctx, flags.Args(), *port, stdout); err != nil {
		fmt.Fprintln(stderr, "metrics:", err)
		return 1
	}
	return 0
}

// serve maps the files, listens on this machine alone, prints the address, and
// serves the figures until ctx is done.
func serve(ctx context.Context, names []string, port int, stdout io.Writer) (err error) {
	for _, name := range names {
		r, err := mmap.Open(name)
		if err != nil {
			return err
		}
		defer r.Close()
		_ = r.Mapped() // maps it; if it cannot be, the figures say so
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(newCollector()); err != nil {
		return err
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	if _, err := fmt.Fprintf(stdout, "http://%s/metrics\n", l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return s.Shutdown(last)
}
