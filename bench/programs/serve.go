package programs

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// MakeSite makes n files of 1 KiB to 1 MiB in dir, small ones more often, and
// returns their names and sizes.
func MakeSite(dir string, n int) (names []string, sizes []int64, err error) {
	body := make([]byte, 1<<20)
	fillText(body, 11)
	rng := newRand(11, 11)
	for i := range n {
		size := int64(1) << (10 + rng.IntN(11))
		name := fmt.Sprintf("page%d.txt", i)
		if err := os.WriteFile(filepath.Join(dir, name), body[:size], 0o644); err != nil {
			return nil, nil, err
		}
		names, sizes = append(names, name), append(sizes, size)
	}
	return names, sizes, nil
}

// Site is a server of static files on this machine's loopback, and a client.
type Site struct {
	server *http.Server
	client *http.Client
	addr   string
}

// Serve starts a server for the files.
func Serve(files fs.FS) (*Site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Site{
		server: &http.Server{Handler: http.FileServerFS(files), ReadHeaderTimeout: time.Minute},
		client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}},
		addr:   "http://" + l.Addr().String() + "/",
	}
	go s.server.Serve(l)
	return s, nil
}

// Close ends both.
func (s *Site) Close() error {
	s.client.CloseIdleConnections()
	return s.server.Close()
}

// Fetch gets files at random with n clients, calls times in all.
func (s *Site) Fetch(names []string, sizes []int64, n, calls int, seed uint64) error {
	return workers(n, func(w int) error {
		rng, buf := newRand(seed, uint64(w)), make([]byte, 64<<10)
		for range calls / n {
			i := rng.IntN(len(names))
			if err := s.get(names[i], sizes[i], buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// get fetches one file, and throws it away.
func (s *Site) get(name string, size int64, buf []byte) error {
	resp, err := s.client.Get(s.addr + name)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, buf)
	if err == nil && (n != size || resp.StatusCode != http.StatusOK) {
		err = fmt.Errorf("%w: %s, %d bytes of %d, %s", errWrong, name, n, size, resp.Status)
	}
	return err
}
