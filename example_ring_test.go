//go:build unix || windows

package mmap_test

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/seed-93fed273/mmap"
)

// ringHead is the beginning of a file that two processes share: a counter that
// both increment, and a ring buffer that one fills and the other empties. What
// each side writes lies in a cache line of its own.
type ringHead struct {
	count atomic.Uint64 // incremented by both
	_     [56]byte
	put   atomic.Uint64 // messages ever put in
	_     [56]byte
	taken atomic.Uint64 // messages ever taken out
	_     [56]byte
}

const (
	ringSlots    = 64
	ringMessages = 10000
	ringSlotsAt  = 4096 // the slots begin here in the file
)

// ring is a ring buffer in a Region.
type ring struct {
	head  *ringHead
	slots []uint64
}

// newRing finds the ring in the memory of r.
func newRing(r *mmap.Region) (ring, error) {
	head, err := mmap.Pointer[ringHead](r, 0)
	if err != nil {
		return ring{}, err
	}
	slots, err := mmap.Slice[uint64](r, ringSlotsAt, ringSlots)
	return ring{head, slots}, err
}

// send puts a message in, and waits while the ring is full, as long as the
// other side lives. Storing to put publishes the slot that was filled before.
func (r ring) send(v uint64, alive func() bool) bool {
	n := r.head.put.Load()
	for n-r.head.taken.Load() == ringSlots {
		if !alive() {
			return false
		}
		runtime.Gosched()
	}
	r.slots[n%ringSlots] = v
	r.head.put.Store(n + 1)
	r.head.count.Add(1)
	return true
}

// receive takes a message out, and waits while there is none, as long as the
// other side lives.
func (r ring) receive(alive func() bool) (uint64, bool) {
	n := r.head.taken.Load()
	for r.head.put.Load() == n {
		if !alive() && r.head.put.Load() == n {
			return 0, false
		}
		runtime.Gosched()
	}
	v := r.slots[n%ringSlots]
	r.head.taken.Store(n + 1)
	r.head.count.Add(1)
	return v, true
}

// Two processes share a counter and a ring buffer, without a system call for a
// message: Pointer and Slice show the file's memory as Go values, on which
// sync/atomic works between processes as between goroutines.
func ExampleSlice_processes() {
	if name := os.Getenv("MMAP_EXAMPLE_RING"); name != "" {
		ringSender(name)
	}
	dir, err := os.MkdirTemp("", "ring")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r, err := mmap.Create(filepath.Join(dir, "ring"))
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if err := r.Truncate(ringSlotsAt + 8*ringSlots); err != nil {
		log.Fatal(err)
	}
	in, err := newRing(r)
	if err != nil {
		log.Fatal(err)
	}

	alive, wait := startSender(r.Name())
	sum := uint64(0)
	for range ringMessages {
		v, ok := in.receive(alive)
		if !ok {
			break
		}
		sum += v
	}
	wait()
	fmt.Println(sum, in.head.count.Load())
	// Output: 50005000 20000
}

// startSender starts the other process. Alive reports whether it still runs,
// and wait waits for its end.
func startSender(name string) (alive func() bool, wait func()) {
	exe, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^ExampleSlice_processes$")
	cmd.Env = append(os.Environ(), "MMAP_EXAMPLE_RING="+name)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	var ended atomic.Bool
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		ended.Store(true)
		done <- err
	}()
	return func() bool { return !ended.Load() }, func() {
		if err := <-done; err != nil {
			log.Fatal("the sender: ", err)
		}
	}
}

// ringSender is the other process: it sends 1, 2, 3 and so on.
func ringSender(name string) {
	r, err := mmap.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	out, err := newRing(r)
	if err != nil {
		log.Fatal(err)
	}
	parent := os.Getppid()
	alive := func() bool { return os.Getppid() == parent }
	for v := uint64(1); v <= ringMessages; v++ {
		if !out.send(v, alive) {
			log.Fatal("nobody receives")
		}
	}
	if err := r.Close(); err != nil {
		log.Fatal(err)
	}
	os.Exit(0)
}
