//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// enterSandbox runs this program with the rest of its arguments in the sandbox
// of that name.
func enterSandbox(name string) error {
	for _, s := range sandboxes {
		if s.name == name {
			return s.enter(without(os.Args, "sandbox"))
		}
	}
	return fmt.Errorf("there is no sandbox %q", name)
}

// sandboxNames lists them.
func sandboxNames() string {
	var names []string
	for _, s := range sandboxes {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// without takes a flag and its value out of arguments.
func without(args []string, flag string) (out []string) {
	for i := 0; i < len(args); i++ {
		switch name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "="); {
		case name != flag || args[i] == name:
			out = append(out, args[i])
		case !joined:
			i++
		}
	}
	return out
}

// again runs some rows in a process of its own, in the quick form, and returns
// their cells. Extra are more flags.
func (l *lab) again(rows, dir string, extra ...string) []cell {
	flags := append([]string{"-quick", "-figures", "-rows", rows, "-dir", dir}, extra...)
	if l.quick {
		flags = append(flags, "-rounds", "1")
	}
	out, err := l.output(nil, "/proc/self/exe", flags...)
	must(err)
	var got []measured
	must(json.Unmarshal(out, &got))
	var cells []cell
	for _, m := range got {
		c := cell{id: m.ID, workload: m.Workload, unit: m.Unit, order: m.Order, figures: m.Figures, why: m.Why}
		cells = append(cells, c)
	}
	return cells
}

// atFileSpeed claims that a Region is at least that many times as fast as an
// os.File, whatever kind of figure the cell has.
func (c cell) atFileSpeed(times float64) claim {
	if c.small() {
		return asFast(region, osFile, times)
	}
	return atLeast(region, osFile, times)
}

// rowSandbox is P29: rows that stand for the others, where a filter or an old
// kernel refuses what the library would like to ask. What is refused is worth
// what the ratio to the same figure without the filter says.
func rowSandbox(l *lab, report func(cell)) {
	const rows = "P1,P5,P10,P13"
	const free = region + " unfiltered"
	who := []string{"-entrants", strings.Join([]string{osFile, xExp, region}, ",")}
	open := map[string]figures{}
	for _, c := range l.again(rows, l.dir, who...) {
		open[c.id+c.workload] = c.figures
	}
	for _, s := range sandboxes {
		for _, c := range l.again(rows, l.dir, append(who, "-sandbox", s.name)...) {
			free1 := open[c.id+c.workload][region]
			c.workload = s.words + ": " + c.id + ", " + c.workload
			if c.why == "" {
				c.figures[free] = free1
				c.claims = []claim{c.atFileSpeed(0.95), inform(region, free)}
				if strings.Contains(c.workload, "ReadAt 64 B") {
					c.claims = append(c.claims, atMost(region, xExp, 2.2))
				}
			}
			c.id, c.order = "P29", append(c.order, free)
			report(c)
		}
	}
}
