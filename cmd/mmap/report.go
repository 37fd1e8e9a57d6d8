package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
)

// report is what bench has to say.
type report struct {
	subject *subject
	checked []string
	rows    []row
	notes   []string
}

// row is a line of the table, or with only a name the head of a section. The
// times are nanoseconds of one operation.
type row struct {
	name         string
	unit         unit
	bytes        int64
	file, region float64
}

// unit says how a row shows its times.
type unit int

// The units.
const (
	perCall        unit = iota // the time of one operation
	perSecond                  // bytes in a second
	callsPerSecond             // operations in a second
)

func newReport(s *subject) *report { return &report{subject: s} }

// section begins a section of the table.
func (r *report) section(name string) { r.rows = append(r.rows, row{name: name}) }

// add adds a line to the table.
func (r *report) add(name string, u unit, bytes int64, file, region float64) {
	r.rows = append(r.rows, row{name, u, bytes, file, region})
}

// note says what is not in the table, and why.
func (r *report) note(what, why string) {
	line := fmt.Sprintf("not measured: %s: %s", what, why)
	for _, have := range r.notes {
		if have == line {
			return
		}
	}
	r.notes = append(r.notes, line)
}

// print writes it all.
func (r *report) print(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintln(&out, host())
	fmt.Fprintln(&out, r.subject)
	for _, c := range r.checked {
		fmt.Fprintln(&out, "same bytes,", c)
	}
	table := tabwriter.NewWriter(&out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table)
	for _, row := range r.rows {
		row.print(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(&out)
	for _, n := range r.notes {
		fmt.Fprintln(&out, n)
	}
	_, err := io.WriteString(w, strings.TrimRight(out.String(), "\n")+"\n")
	return err
}

// print writes one line of the table. All cells are aligned to the right, so
// the names are padded here.
func (r row) print(w io.Writer) {
	const width = -42
	if r.file == 0 && r.region == 0 {
		fmt.Fprintf(w, "%*s\tos.File\tRegion\tspeed\t\n", width, r.name)
		return
	}
	fmt.Fprintf(w, "%*s\t%s\t%s\t%s\t\n", width, "  "+r.name,
		r.unit.format(r.bytes, r.file), r.unit.format(r.bytes, r.region), ratio(r.file/r.region))
}

// format shows an operation on some bytes that took ns nanoseconds.
func (u unit) format(bytes int64, ns float64) string {
	switch u {
	case perSecond:
		return fmt.Sprintf("%s GB/s", digits(float64(bytes)/ns))
	case callsPerSecond:
		return fmt.Sprintf("%s k/s", digits(1e6/ns))
	}
	switch {
	case ns < 1e3:
		return digits(ns) + " ns"
	case ns < 1e6:
		return digits(ns/1e3) + " µs"
	}
	return digits(ns/1e6) + " ms"
}

// digits shows three significant digits.
func digits(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// ratio shows how many times as fast the Region is.
func ratio(x float64) string { return digits(x) + " ×" }

// host describes the machine.
func host() string {
	return fmt.Sprintf("%s, %s, %s, %d CPUs (GOMAXPROCS %d)",
		strings.TrimSpace(runtime.GOOS+" "+kernel()), runtime.GOARCH, runtime.Version(), runtime.NumCPU(), runtime.GOMAXPROCS(0))
}

// String describes the file.
func (s *subject) String() string {
	switch {
	case s.made:
		return fmt.Sprintf("%s, made for this: %s", s.name, size(s.size))
	case s.used < s.size:
		return fmt.Sprintf("%s: the first %s of %s", s.name, size(s.used), size(s.size))
	}
	return fmt.Sprintf("%s: %s", s.name, size(s.size))
}
