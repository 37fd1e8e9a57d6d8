// Server serves files over HTTP from mapped memory: a folder, and one large file
// that all requests share.
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
	"path/filepath"
	"time"

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
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", ".", "the folder served under /files/")
	port := flags.Int("port", 0, "of 127.0.0.1; 0 is any that is free")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(stderr, "usage: server [-dir DIR] [-port PORT] FILE   (served as /file)")
		return 2
	}
	if err := serve(ctx, flags.Arg(0), *dir, *port, stdout); err != nil {
		fmt.Fprintln(stderr, "server:", err)
		return 1
	}
	return 0
}

// serve listens on this machine alone, prints the address, and serves until ctx
// is done and the requests in progress have ended.
func serve(ctx context.Context, name, dir string, port int, stdout io.Writer) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return errors.Join(fmt.Errorf("no folder: %s", dir), err)
	}
	r, err := mmap.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: handler(r, dir), ReadHeaderTimeout: 10 * time.Second}
	if _, err := fmt.Fprintf(stdout, "http://%s\n", l.Addr()); err != nil {
		l.Close()
		return err
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

// handler serves r as /file and the folder under /files/.
func handler(r *mmap.Region, dir string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/files/", http.StripPrefix("/files", http.FileServerFS(mmap.DirFS(dir))))
	mux.HandleFunc("/file", func(w http.ResponseWriter, req *http.Request) { serveRegion(w, req, r) })
	return mux
}

// serveRegion answers a request for r, ranges and If-Modified-Since included.
// Each request has a SectionReader of its own, which has the cursor; the memory
// behind them is one.
func serveRegion(w http.ResponseWriter, req *http.Request, r *mmap.Region) {
	info, err := r.Stat()
	if err != nil {
		http.Error(w, "the file cannot be had", http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, req, filepath.Base(r.Name()), info.ModTime(), io.NewSectionReader(r, 0, info.Size()))
}
