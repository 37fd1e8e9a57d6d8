//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/seed-93fed273/mmap"
)

// rowSocket is P17. The clock stops when the other side has all bytes.
func rowSocket(l *lab, report func(cell)) {
	const size = 64 * miB
	conn, received := loopback(l, size)
	for _, kind := range folios {
		name := l.file(size, kind.piece)
		warm(name)
		send := func(src io.Reader) float64 {
			begin := time.Now()
			if n := must1(io.Copy(conn, src)); n != size {
				panic(failure{io.ErrShortWrite})
			}
			must(<-received)
			return ms(time.Since(begin))
		}
		x := openXExp.open(name)
		e := openEdsrzf.open(name).(*edsrzfMap)
		entrants := []entrant{
			one(osFile, func() float64 {
				f := must1(os.Open(name))
				defer f.Close()
				return send(f)
			}),
			one(xExp, func() float64 { return send(io.NewSectionReader(x, 0, size)) }),
			one(edsrzf, func() float64 {
				begin := time.Now()
				must1(conn.Write(e.m))
				must(<-received)
				return ms(time.Since(begin))
			}),
			one(region, func() float64 {
				r := must1(mmap.Open(name))
				defer r.Close()
				return send(r)
			}),
		}
		got := play(pick(l, 31, 15), entrants...)
		x.Close()
		e.Close()
		report(cell{
			id: "P17", workload: "io.Copy of 64 MiB to a TCP socket, " + kind.name, unit: "ms", order: names(entrants), figures: got[0],
			claims: []claim{asFast(region, osFile, 1.2)},
		})
	}
}

// loopback returns a connection to ourselves; whenever size bytes have come
// out at the other end, received says so.
func loopback(l *lab, size int64) (conn net.Conn, received chan error) {
	ln := must1(net.Listen("tcp", "127.0.0.1:0"))
	l.atEnd(func() { ln.Close() })
	received = make(chan error)
	go func() {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		buf := make([]byte, miB)
		for {
			for left := size; left > 0; {
				n, err := in.Read(buf)
				if err != nil {
					return // the end of the run
				}
				left -= int64(n)
			}
			received <- nil
		}
	}()
	conn = must1(net.Dial("tcp", ln.Addr().String()))
	l.atEnd(func() { conn.Close() })
	return conn, received
}

// rowServeContent is P18: a web server that is given an os.File or a Region.
func rowServeContent(l *lab, report func(cell)) {
	const size = 64 * miB
	name := l.file(size, miB)
	warm(name)
	mux := http.NewServeMux()
	serve := func(path string, open func() (io.ReadSeeker, io.Closer)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) {
			s, c := open()
			defer c.Close()
			http.ServeContent(w, req, "x.bin", time.Time{}, s)
		})
	}
	serve("/file", func() (io.ReadSeeker, io.Closer) { f := must1(os.Open(name)); return f, f })
	serve("/region", func() (io.ReadSeeker, io.Closer) { r := must1(mmap.Open(name)); return r, r })
	serve("/xexp", func() (io.ReadSeeker, io.Closer) {
		x := openXExp.open(name)
		return io.NewSectionReader(x, 0, size), x
	})
	ln := must1(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: mux}
	go server.Serve(ln)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	buf := make([]byte, miB)
	get := func(path string) func() float64 {
		return func() float64 {
			begin := time.Now()
			resp := must1(client.Get("http://" + ln.Addr().String() + path))
			defer resp.Body.Close()
			n := must1(io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, buf))
			if n != size {
				panic(failure{io.ErrUnexpectedEOF})
			}
			return ms(time.Since(begin))
		}
	}
	entrants := []entrant{one(osFile, get("/file")), one(xExp, get("/xexp")), one(region, get("/region"))}
	got := play(pick(l, 31, 15), entrants...)
	report(cell{
		id: "P18", workload: "http.ServeContent of 64 MiB", unit: "ms", order: names(entrants), figures: got[0],
		claims: []claim{asFast(region, osFile, 0.95)},
	})
}

// rowCopyFiles is P19.
func rowCopyFiles(l *lab, report func(cell)) {
	size := pick[int64](l, 256*miB, 64*miB)
	name, other := l.file(size, miB), l.path("copy")
	warm(name)
	timed := func(dst io.WriteCloser, src io.ReadCloser) float64 {
		defer src.Close()
		begin := time.Now()
		if n := must1(io.Copy(dst, src)); n != size {
			panic(failure{io.ErrShortWrite})
		}
		must(dst.Close())
		took := ms(time.Since(begin))
		os.Remove(other)
		return took
	}
	openFile := func() io.ReadCloser { return must1(os.Open(name)) }
	createFile := func() io.WriteCloser { return must1(os.Create(other)) }
	x := openXExp.open(name)
	defer x.Close()
	entrants := []entrant{
		one(osFile, func() float64 { return timed(createFile(), openFile()) }),
		one(xExp, func() float64 {
			return timed(createFile(), io.NopCloser(io.NewSectionReader(x, 0, size)))
		}),
		one(region, func() float64 { return timed(createFile(), must1(mmap.Open(name))) }),
		one("into Region", func() float64 { return timed(must1(mmap.Create(other)), openFile()) }),
	}
	got := play(pick(l, 11, 7), entrants...)
	report(cell{
		id: "P19", workload: "io.Copy of " + sizeName(size) + " to another file, and from one", unit: "ms", order: names(entrants), figures: got[0],
		claims: []claim{asFast(region, osFile, 1), asFast("into Region", osFile, 1)},
	})
}

// rowCopyRegions is P27: both ends are Regions.
func rowCopyRegions(l *lab, report func(cell)) {
	size := pick[int64](l, 256*miB, 64*miB)
	name, other := l.file(size, miB), l.path("copy")
	warm(name)
	timed := func(dst io.WriteCloser, src io.ReadCloser) float64 {
		defer os.Remove(other)
		defer src.Close()
		begin := time.Now()
		if n := must1(io.Copy(dst, src)); n != size {
			panic(failure{io.ErrShortWrite})
		}
		must(dst.Close())
		return ms(time.Since(begin))
	}
	const toFile, fromFile = "Region to os.File", "os.File to Region"
	openFile := func() io.ReadCloser { return must1(os.Open(name)) }
	openMapped := func() io.ReadCloser { return must1(mmap.Open(name)) }
	createFile := func() io.WriteCloser { return must1(os.Create(other)) }
	createMapped := func() io.WriteCloser { return must1(mmap.Create(other)) }
	entrants := []entrant{
		one(osFile, func() float64 { return timed(createFile(), openFile()) }),
		one(toFile, func() float64 { return timed(createFile(), openMapped()) }),
		one(fromFile, func() float64 { return timed(createMapped(), openFile()) }),
		one(region, func() float64 { return timed(createMapped(), openMapped()) }),
	}
	got := play(pick(l, 15, 7), entrants...)
	report(cell{
		id: "P27", workload: "io.Copy of " + sizeName(size) + " from Region to Region", unit: "ms", order: names(entrants), figures: got[0],
		claims: []claim{asFast(region, osFile, 1)},
	})
}
