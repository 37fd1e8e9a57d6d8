//go:build linux

package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// survivors are the mutants that live, each with the reason why no test kills it.
type survivors map[name]string

// unknown is the reason of a survivor that nobody has looked at.
const unknown = "?"

// equal begins the reason of a mutant that does what the code does: no test can
// kill it, so it does not count.
const equal = "equivalent: "

// survivorsHead explains the file.
const survivorsHead = `# Mutants that live: function, operator, ordinal, and why, with tabs between them.
# "go -C torture run ./mutation" writes this file and keeps the reasons; a new
# survivor gets "?", which fails the run: kill it by a test, or say why it lives.
# A reason that begins with "` + equal + `" says that the mutant does what the code
# does, and is not counted.
`

// readSurvivors reads the file. One that is not there is empty.
func readSurvivors(file string) (survivors, error) {
	all := survivors{}
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != 4 {
			return nil, fmt.Errorf("%s:%d: not four cells", file, n)
		}
		ordinal, err := strconv.Atoi(cells[2])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		all[name{cells[0], cells[1], ordinal}] = cells[3]
	}
	return all, lines.Err()
}

// write writes the file.
func (s survivors) write(file string) error {
	var b strings.Builder
	b.WriteString(survivorsHead)
	for _, n := range slices.SortedFunc(maps.Keys(s), name.compare) {
		fmt.Fprintf(&b, "%s\t%s\t%d\t%s\n", n.Function, n.Operator, n.Ordinal, s[n])
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
