//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/seed-93fed273/mmap"
	expmmap "golang.org/x/exp/mmap"
)

// countMode repeats one operation n times and measures nothing: others count
// (strace, valgrind) what it does, once for n and once for 2n, so that the
// difference is what n operations cost. See count.sh.
func countMode(op string, n int, dir string) (err error) {
	if op == "list" {
		for _, name := range operationNames() {
			fmt.Println(name)
		}
		return nil
	}
	prepare, ok := operations[op]
	if !ok {
		return fmt.Errorf("there is no operation %q; these are: %v", op, operationNames())
	}
	l, err := newLab(dir, true)
	if err != nil {
		return err
	}
	defer l.close()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case failure:
			err = v.err
		case skip:
			err = fmt.Errorf("%s", string(v))
		default:
			panic(v)
		}
	}()
	if op == "huge" {
		return countHuge(l)
	}
	name := l.file(countSize, miB)
	warm(name)
	prepare(l, name)(n)
	return nil
}

// countSize is how long the file of the counted operations is.
const countSize = 64 * miB

// operations are the calls that can be counted. Each prepares itself and
// returns what repeats the call.
var operations = map[string]func(l *lab, name string) func(n int){
	"huge":            nil, // see countHuge
	"readat-64":       regionReads(64),
	"readat-4k":       regionReads(4 * kiB),
	"readat-4k-first": func(_ *lab, name string) func(int) { return coldReads(name, false) },
	"readat-4k-cold": func(l *lab, name string) func(int) {
		l.cold(name)
		return coldReads(name, false)
	},
	"osfile-readat-4k-cold": func(l *lab, name string) func(int) {
		l.cold(name)
		return coldReads(name, true)
	},
	"read-64": func(_ *lab, name string) func(int) {
		r, p := openWarmRegion(name, countSize), make([]byte, 64)
		return func(n int) {
			for i := range n {
				if i%100_000 == 0 {
					must1(r.Seek(0, 0))
				}
				must1(r.Read(p))
			}
		}
	},
	"view-64": func(_ *lab, name string) func(int) {
		r := openWarmRegion(name, countSize)
		return func(n int) {
			for i := range n {
				must(r.View(int64(i%1000)*64, 64, func([]byte) error { return nil }))
			}
		}
	},
	"writeat-8": func(_ *lab, name string) func(int) {
		r, p := openRegionRW(name), make([]byte, 8)
		makeDirty(r, countSize, true)
		return func(n int) {
			for i := range n {
				must1(r.WriteAt(p, int64(i%1000)*64))
			}
		}
	},
	"writeat-8-first": func(_ *lab, name string) func(int) {
		r, p := openRegionRW(name), make([]byte, 8)
		return func(n int) {
			for i := range n {
				must1(r.WriteAt(p, int64(i)*page%countSize))
			}
		}
	},
	"flush": func(_ *lab, name string) func(int) {
		r := openRegionRW(name)
		return func(n int) {
			for i := range n {
				must1(r.WriteAt([]byte{1}, int64(i)*page%countSize))
				must(r.Flush())
			}
		}
	},
	"open-close": func(_ *lab, name string) func(int) {
		return func(n int) {
			for range n {
				must(must1(mmap.Open(name)).Close())
			}
		}
	},
	"osfile-open-close": func(_ *lab, name string) func(int) {
		return func(n int) {
			for range n {
				must(must1(os.Open(name)).Close())
			}
		}
	},
	"osfile-readat-64": func(_ *lab, name string) func(int) {
		f, p := must1(os.Open(name)), make([]byte, 64)
		return func(n int) {
			for i := range n {
				must1(f.ReadAt(p, int64(i%1000)*64))
			}
		}
	},
	"xexp-readat-64": func(_ *lab, name string) func(int) {
		f, p := must1(expmmap.Open(name)), make([]byte, 64)
		return func(n int) {
			for i := range n {
				must1(f.ReadAt(p, int64(i%1000)*64))
			}
		}
	},
}

// regionReads reads size bytes at a time of pages that the Region knows.
func regionReads(size int) func(*lab, string) func(int) {
	return func(_ *lab, name string) func(int) {
		r, p := openWarmRegion(name, countSize), make([]byte, size)
		return func(n int) {
			for i := range n {
				must1(r.ReadAt(p, int64(i%1000)*64))
			}
		}
	}
}

// coldReads reads every page once, at random.
func coldReads(name string, plain bool) func(int) {
	o := openRegion
	if plain {
		o = openOSFile
	}
	r, p := o.open(name), make([]byte, page)
	pages := rand.New(rand.NewPCG(1, 2)).Perm(countSize / page)
	return func(n int) {
		for i := range n {
			must1(r.ReadAt(p, int64(pages[i%len(pages)])*page))
		}
	}
}

// operationNames lists the operations.
func operationNames() (out []string) {
	for name := range operations {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
