//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-93fed273/mmap"
	"github.com/seed-93fed273/mmap/internal/difftest"
)

// longHands is how many goroutines make the load. Together they use half a
// processor.
const longHands = 3

// crew is the load: hands that play scenes, and what they share.
type crew struct {
	// work is held for reading by a hand that plays. Who holds it for writing
	// finds no call under way.
	work   sync.RWMutex
	begin  time.Time     // when the load last went on; written with work held
	spent  time.Duration // the processor time spent until then
	over   chan struct{}
	busy   sync.WaitGroup
	failed chan error
	hands  []*hand

	dir    string            // where the hands make their files
	tree   string            // a directory that does not change
	files  map[string][]byte // what its files hold
	names  []string          // their names
	fs     fs.FS             // it, by DirFS
	all    []byte            // what the largest file holds
	large  *mmap.Region      // it
	memory *mmap.Region      // shared memory: a stripe for each hand
}

// hand plays scenes, one after the other.
type hand struct {
	*crew
	rng    *rand.Rand
	n      int
	lab    *difftest.Lab // where it plays cases of the model test
	stripe []byte        // what its stripe of the shared memory holds
	buf    []byte
	room   []byte // for what the file of a scene holds
	sink   byte
	did    map[string]int64
}

// The sizes of what all share, of a file that is changed, and of one change.
const (
	largeSize  = 4 << 20
	stripeSize = 256 << 10
	longMost   = 3 << 19
	longTouch  = 64 << 10
)

// treeSizes are those of the files that do not change.
var treeSizes = []int{0, 1, 100, 4095, 4096, 4097, 10_000, 65_536, 70_001, 200_000, 1 << 20}

// newCrew makes the files and starts the hands, who wait until work is unlocked.
func newCrew(dir string, seed uint64) (c *crew, err error) {
	c = &crew{
		over: make(chan struct{}), failed: make(chan error, longHands),
		dir: dir, tree: filepath.Join(dir, "tree"), files: map[string][]byte{},
	}
	if err := c.plant(seed); err != nil {
		return nil, err
	}
	c.fs = mmap.DirFS(c.tree)
	if _, err := fs.Stat(c.fs, "."); err != nil { // the first use opens it
		return nil, err
	}
	if c.large, err = mmap.OpenFile(filepath.Join(dir, "large"), os.O_RDONLY, 0, &mmap.Options{Populate: true}); err != nil {
		return nil, err
	}
	if c.memory, err = mmap.Anonymous(longHands*stripeSize, &mmap.Options{Share: true, Populate: true}); err != nil {
		return nil, err
	}
	c.work.Lock()
	for i := range longHands {
		h := &hand{
			crew: c, rng: rand.New(rand.NewPCG(seed, uint64(i))), n: i,
			stripe: make([]byte, stripeSize), buf: make([]byte, longTouch),
			room: make([]byte, longMost), did: map[string]int64{},
		}
		if h.lab, err = difftest.NewLab(dir); err != nil {
			return nil, err
		}
		if err := h.useStripe(); err != nil {
			return nil, err
		}
		c.hands = append(c.hands, h)
		c.busy.Go(h.playOn)
	}
	return c, nil
}

// plant makes the files that do not change.
func (c *crew) plant(seed uint64) error {
	if err := os.MkdirAll(filepath.Join(c.tree, "below"), 0o755); err != nil {
		return err
	}
	for i, size := range treeSizes {
		name := fmt.Sprint("file", size)
		if i%2 == 1 {
			name = filepath.Join("below", name)
		}
		c.names = append(c.names, name)
		c.files[name] = fill(seed+uint64(i), size)
		if err := os.WriteFile(filepath.Join(c.tree, name), c.files[name], 0o600); err != nil {
			return err
		}
	}
	c.all = fill(seed, largeSize)
	if err := os.WriteFile(filepath.Join(c.dir, "large"), c.all, 0o600); err != nil {
		return err
	}
	return os.Symlink("../../large", filepath.Join(c.tree, "below", "out"))
}

// goOn lets the hands work. It begins at rest.
func (c *crew) goOn() {
	c.begin, c.spent = time.Now(), spent()
	c.work.Unlock()
}

// idle is how long to wait until no more than half a processor was used since
// the load last went on.
func (c *crew) idle() time.Duration { return 2*(spent()-c.spent) - time.Since(c.begin) }

// spent returns the processor time of this process.
func spent() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// playOn plays until it is over or something is wrong.
func (h *hand) playOn() {
	for {
		h.work.RLock()
		err := h.play()
		idle := h.idle()
		h.work.RUnlock()
		if err != nil {
			h.failed <- fmt.Errorf("hand %d: %w", h.n, err)
			return
		}
		select {
		case <-h.over:
			return
		case <-time.After(idle):
		}
	}
}

// play plays one scene, taken by chance.
func (h *hand) play() error {
	total := 0
	for _, s := range scenes {
		total += s.often
	}
	at := h.rng.IntN(total)
	for _, s := range scenes {
		if at -= s.often; at < 0 {
			h.did[s.name]++
			if err := s.play(h); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			return nil
		}
	}
	return nil
}

// did is what all hands did. It may be asked for at rest.
func (c *crew) did() map[string]int64 {
	sum := map[string]int64{}
	for _, h := range c.hands {
		for what, n := range h.did {
			sum[what] += n
		}
	}
	return sum
}

// end ends the hands and closes what stood open. It begins at rest.
func (c *crew) end() error {
	close(c.over)
	c.work.Unlock()
	c.busy.Wait()
	err := errors.Join(c.large.Close(), c.memory.Close())
	for _, h := range c.hands {
		err = errors.Join(err, h.lab.Close())
	}
	return err
}

// some returns the name of a file that does not change, in full, and what it
// holds: at least least bytes.
func (h *hand) some(least int) (name string, have []byte) {
	for {
		name := h.names[h.rng.IntN(len(h.names))]
		if have := h.files[name]; len(have) >= least {
			return filepath.Join(h.tree, name), have
		}
	}
}

// fresh fills b with what was not written before, and returns it.
func (h *hand) fresh(b []byte) []byte {
	v := h.rng.Uint64()
	for i := range b {
		if i%8 == 0 {
			v = v*6364136223846793005 + 1442695040888963407
		}
		b[i] = byte(v >> (8 * (i % 8)))
	}
	return b
}

// chance is true once in n times.
func (h *hand) chance(n int) bool { return h.rng.IntN(n) == 0 }

// own is the name of a file of this hand's.
func (h *hand) own(what string) string { return filepath.Join(h.dir, fmt.Sprint(what, h.n)) }
