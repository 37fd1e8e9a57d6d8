package mmap_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-93fed273/mmap"
)

// raceRounds returns how many rounds a test of a race plays.
func raceRounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// againstClose plays call on a mapped Region, on another goroutine, while this
// one closes it. Call must fail with os.ErrClosed from the first time on that
// it began after Close had returned. The addresses stay revoked whatever call
// did.
func againstClose(t *testing.T, call func(r *mmap.Region, round int) error) {
	t.Helper()
	needsMemory(t)
	page := os.Getpagesize()
	name := newFile(t, pattern(1, 4*page))
	for round := range raceRounds(1000) {
		r := openMapped(t, name, os.O_RDWR, nil)
		addr, n, hold := mmap.Memory(r)
		var closed atomic.Bool
		begun := make(chan struct{})
		var caller sync.WaitGroup
		caller.Go(func() {
			for i := 0; ; i++ {
				was := closed.Load()
				err := call(r, i)
				if i == 0 {
					close(begun)
				}
				switch {
				case was && !errors.Is(err, os.ErrClosed):
					t.Errorf("round %d: began after Close, returned %v", round, err)
					return
				case was:
					return
				case err != nil && !errors.Is(err, os.ErrClosed):
					t.Errorf("round %d: %v", round, err)
					return
				}
			}
		})
		<-begun
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		closed.Store(true)
		caller.Wait()
		if round%50 == 0 {
			checkRevoked(t, addr, n)
		}
		keepAlive(hold)
		if t.Failed() {
			return
		}
		if err := os.Truncate(name, int64(4*page)); err != nil {
			t.Fatal(err)
		}
	}
}

// keepAlive keeps v from the collector up to here.
//
//go:noinline
func keepAlive(v any) { _ = v }

func TestFlushAgainstClose(t *testing.T) {
	page := []byte{1}
	againstClose(t, func(r *mmap.Region, i int) error {
		_, err := r.WriteAt(page, 0)
		if err == nil && i%4 == 0 {
			err = r.FlushAsync(0, mmap.ToEnd)
		} else if err == nil {
			err = flushSometimes(r, i)
		}
		return err
	})
}

// flushSometimes flushes every eighth time: a disk is slow.
func flushSometimes(r *mmap.Region, i int) error {
	if i%8 != 1 {
		return nil
	}
	return r.Flush()
}

// TestFlushNeverClaims: a Flush that begins after Close returned does not say
// nil, even though msync(2) of revoked memory does.
func TestFlushNeverClaims(t *testing.T) {
	againstClose(t, func(r *mmap.Region, _ int) error { return r.FlushRange(0, 1) })
}

func TestTruncateAgainstClose(t *testing.T) {
	page := int64(os.Getpagesize())
	againstClose(t, func(r *mmap.Region, i int) error { return r.Truncate(page * int64(i%4)) })
}

// TestGrowthAgainstClose grows inside the addresses set aside, which changes
// limits, and beyond them, which makes a new mapping.
func TestGrowthAgainstClose(t *testing.T) {
	page := int64(os.Getpagesize())
	againstClose(t, func(r *mmap.Region, i int) error {
		at := page * int64(4+i)
		if i == 3 {
			at = 64 << 20
		}
		_, err := r.WriteAt([]byte{1}, at)
		return err
	})
}

func TestProtectAgainstClose(t *testing.T) {
	againstClose(t, func(r *mmap.Region, i int) error {
		return r.Protect(0, mmap.ToEnd, []mmap.Prot{mmap.ProtRead, mmap.ProtRead | mmap.ProtWrite}[i%2])
	})
}

func TestLockAgainstClose(t *testing.T) {
	r := openMapped(t, newFile(t, pattern(1, 100)), os.O_RDWR, nil)
	if err := r.Lock(0, 1); err != nil {
		t.Skip("no memory can be locked: ", err)
	}
	againstClose(t, func(r *mmap.Region, i int) error {
		if i%2 == 0 {
			return r.Lock(0, mmap.ToEnd)
		}
		return r.Unlock(0, mmap.ToEnd)
	})
}

func TestAdviseAgainstClose(t *testing.T) {
	if !mmap.AdviceRandom.Supported() {
		t.Skip("no advice on this system")
	}
	againstClose(t, func(r *mmap.Region, i int) error {
		return r.Advise(0, mmap.ToEnd, []mmap.Advice{mmap.AdviceNormal, mmap.AdviceRandom}[i%2])
	})
}

// TestMapAgainstClose: the first use that maps a Region, against its Close. No
// mapping is left of a closed Region.
func TestMapAgainstClose(t *testing.T) {
	needsMemory(t)
	name := newFile(t, pattern(1, 10_000))
	for range raceRounds(3000) {
		r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		parallel(
			func() {
				err := r.View(0, mmap.ToEnd, func(b []byte) error { b[0] = 1; return nil })
				if err != nil && !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
			},
			func() { r.Bytes() },
			func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			},
		)
	}
	if !settle(given) {
		t.Fatalf("after collections: %+v", mmap.ReadLedger())
	}
}

// TestCloseAgainstClose: of many Closes one succeeds.
func TestCloseAgainstClose(t *testing.T) {
	name := newFile(t, pattern(1, 10_000))
	for range raceRounds(1000) {
		r := openRegion(t, name, os.O_RDWR, nil)
		r.Bytes()
		var good atomic.Int32
		closing := func() {
			switch err := r.Close(); {
			case err == nil:
				good.Add(1)
			case !errors.Is(err, os.ErrClosed):
				t.Error(err)
			}
		}
		parallel(closing, closing, closing)
		if good.Load() != 1 {
			t.Fatalf("%d Closes succeeded", good.Load())
		}
	}
}

// TestExtendAgainstTruncate: writes that extend the file beside Truncate. When
// both are done, Size is what the file has, and reads end where it ends.
func TestExtendAgainstTruncate(t *testing.T) {
	page := int64(os.Getpagesize())
	name := newFile(t, nil)
	r := openRegion(t, name, os.O_RDWR, nil)
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range raceRounds(2000) {
		off, size := rng.Int64N(20*page), rng.Int64N(20*page)
		extend := func() {
			for i := range int64(3) {
				if _, err := r.WriteAt([]byte("end"), off+i*page); err != nil {
					t.Error(err)
				}
			}
		}
		truncate := func() {
			if err := r.Truncate(size); err != nil {
				t.Error(err)
			}
		}
		if round%2 == 0 {
			parallel(extend, truncate)
		} else {
			parallel(extend, truncate, extend, truncate)
		}
		checkAtRest(t, r, name, round)
		if t.Failed() {
			return
		}
		if round%500 == 0 {
			r.View(0, mmap.ToEnd, func([]byte) error { return nil }) // mapped, from now on
		}
	}
}

// checkAtRest compares what a Region knows of its file with the file.
func checkAtRest(t *testing.T, r *mmap.Region, name string, round int) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if r.Size() != info.Size() {
		t.Fatalf("round %d: Size is %d, the file has %d bytes", round, r.Size(), info.Size())
	}
	if n, err := r.ReadAt(make([]byte, 10), max(info.Size()-5, 0)); n != int(min(info.Size(), 5)) || err != io.EOF {
		t.Fatalf("round %d: %d, %v at the end of %d bytes", round, n, err, info.Size())
	}
}

// TestShrinkLosesNothing: writes below the new end, beside a Truncate, are
// there when both are done, and nothing above it is when the file grows again.
func TestShrinkLosesNothing(t *testing.T) {
	page := os.Getpagesize()
	name := newFile(t, nil)
	r := openRegion(t, name, os.O_RDWR, nil)
	below := int64(page + page/2)
	for round := range raceRounds(1000) {
		if err := r.Truncate(int64(4 * page)); err != nil {
			t.Fatal(err)
		}
		mark := byte(round%255) + 1
		parallel(
			func() { r.WriteAt([]byte{mark}, below-1) },
			func() { r.WriteAt(bytes.Repeat([]byte{mark}, page/4), below) },
			func() { r.Truncate(below) },
		)
		size := r.Size()
		if err := r.Truncate(int64(4 * page)); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 4*page)
		if _, err := r.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
		if p[below-1] != mark {
			t.Fatalf("round %d: a write below the new end is gone", round)
		}
		if i := bytes.IndexFunc(p[size:], func(c rune) bool { return c != 0 }); i >= 0 {
			t.Fatalf("round %d: byte %d appears, past the end at %d", round, size+int64(i), size)
		}
	}
}

// copies are the destinations of io.Copy that may pass what they are given to
// another goroutine, where no guard stands.
var copies = map[string]func(t *testing.T, r *mmap.Region){
	"pipe": func(t *testing.T, r *mmap.Region) {
		from, to := io.Pipe()
		parallel(
			func() { _, err := io.Copy(to, r); to.CloseWithError(err) },
			func() { _, _ = io.Copy(io.Discard, plain{from}) },
		)
	},
	"buffer": func(t *testing.T, r *mmap.Region) {
		var b bytes.Buffer
		_, _ = io.Copy(&b, r)
	},
	"hash": func(t *testing.T, r *mmap.Region) {
		_, _ = io.Copy(sha256.New(), r)
	},
	"multi": func(t *testing.T, r *mmap.Region) {
		var b bytes.Buffer
		_, _ = io.Copy(io.MultiWriter(&b, sha256.New()), r)
	},
}

// plain hides everything but Read.
type plain struct{ io.Reader }

// TestCopyWhileCut: io.Copy of a Region to those who touch the bytes elsewhere,
// while somebody cuts the file again and again: fewer bytes or an error.
func TestCopyWhileCut(t *testing.T) {
	needsCut(t)
	for name, copying := range copies {
		t.Run(name, func(t *testing.T) {
			whileCut(t, raceRounds(600), func(file string) {
				r, err := mmap.Open(file)
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				_ = r.View(0, 1, func([]byte) error { return nil })
				copying(t, r)
			})
		})
	}
}

// whileCut calls use while another goroutine cuts and restores the file.
func whileCut(t *testing.T, rounds int, use func(file string)) {
	t.Helper()
	data := pattern(1, 4<<20)
	file := newFile(t, data)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var done atomic.Bool
	parallel(
		func() {
			for range rounds {
				use(file)
			}
			done.Store(true)
		},
		func() {
			for i := 0; !done.Load(); i++ {
				if err := f.Truncate(int64(i*7919%40) << 12); err != nil {
					t.Error(err)
				}
				if err := f.Truncate(int64(len(data))); err != nil {
					t.Error(err)
				}
			}
		},
	)
}

// TestServeWhileCut: HTTP handlers that send a Region, over HTTP/1 and HTTP/2,
// while the file is cut. The server lives, and serves the file whole once
// nobody cuts it any more.
func TestServeWhileCut(t *testing.T) {
	needsCut(t)
	for name, handler := range map[string]func(w http.ResponseWriter, q *http.Request, r *mmap.Region){
		"copy":    func(w http.ResponseWriter, _ *http.Request, r *mmap.Region) { _, _ = io.Copy(w, r) },
		"writeto": func(w http.ResponseWriter, _ *http.Request, r *mmap.Region) { _, _ = r.WriteTo(w) },
		"servecontent": func(w http.ResponseWriter, q *http.Request, r *mmap.Region) {
			http.ServeContent(w, q, "x", time.Time{}, r)
		},
	} {
		for _, two := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "/http1", true: "/http2"}[two], func(t *testing.T) {
				serveWhileCut(t, two, handler)
			})
		}
	}
}

// serveWhileCut fetches a file that is being cut, then one that is not.
func serveWhileCut(t *testing.T, two bool, handler func(http.ResponseWriter, *http.Request, *mmap.Region)) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r, err := mmap.Open(q.Header.Get("File"))
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		_ = r.View(0, 1, func([]byte) error { return nil })
		handler(w, q, r)
	}))
	srv.EnableHTTP2 = two
	srv.Config.ErrorLog = discardLog
	if two {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	defer srv.Close()
	defer srv.Client().CloseIdleConnections()
	whileCut(t, 30, func(file string) { _, _ = fetch(t, srv, file, two) })

	data := pattern(2, 1<<20)
	body, err := fetch(t, srv, newFile(t, data), two)
	if err != nil || !bytes.Equal(body, data) {
		t.Fatalf("a file that nobody cuts: %d bytes of %d, %v", len(body), len(data), err)
	}
}

// discardLog takes the server's complaints about connections that ended early.
var discardLog = log.New(io.Discard, "", 0)

// fetch asks the server for a file.
func fetch(t *testing.T, srv *httptest.Server, file string, two bool) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), "GET", srv.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("File", file)
	resp, err := srv.Client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if two != (resp.ProtoMajor == 2) {
		t.Errorf("the server speaks %s", resp.Proto)
	}
	return io.ReadAll(resp.Body)
}

// TestPairs: every method may run beside every other. Each pair of calls plays on
// a Region of its own, in three kinds: what they return does not matter here, a
// panic or a race (under -race) does.
func TestPairs(t *testing.T) {
	names := slices.Sorted(maps.Keys(closedCalls))
	kinds := map[string]func(name string) (*mmap.Region, error){
		"file":   func(name string) (*mmap.Region, error) { return mmap.OpenFile(name, os.O_RDWR, 0, nil) },
		"append": func(name string) (*mmap.Region, error) { return mmap.OpenFile(name, os.O_RDWR|os.O_APPEND, 0, nil) },
		"private": func(name string) (*mmap.Region, error) {
			return mmap.OpenFile(name, os.O_RDWR, 0, &mmap.Options{Private: true})
		},
	}
	data := pattern(1, 20_000)
	for kind, open := range kinds {
		t.Run(kind, func(t *testing.T) {
			name := newFile(t, data)
			for i, a := range names {
				if testing.Short() && i%4 != 0 {
					continue
				}
				for _, b := range names[i:] {
					if err := os.WriteFile(name, data, 0o666); err != nil {
						t.Fatal(err) // some calls cut it
					}
					r, err := open(name)
					if err != nil {
						t.Fatal(err)
					}
					_ = r.View(0, 1, func([]byte) error { return nil })
					again := func(call func(*mmap.Region) error) func() {
						return func() {
							for range 3 {
								_ = call(r)
							}
						}
					}
					parallel(again(closedCalls[a]), again(closedCalls[b]), again(closedCalls[a]))
					r.Close()
				}
			}
		})
	}
}
