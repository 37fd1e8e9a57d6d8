//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// printSummary says how it went, part by part.
func printSummary(w io.Writer, labs []*lab) {
	fmt.Fprintf(w, "\n=== summary\n")
	for _, l := range labs {
		for _, s := range l.skips {
			fmt.Fprintf(w, "skipped: %s: %s\n", s.name, s.value)
		}
		if l.ran {
			fmt.Fprintf(w, "%s: %s\n", l.verdict(), l.part.name)
		}
	}
}

// verdict is one word for the part.
func (l *lab) verdict() string {
	switch {
	case !l.ran:
		return "skipped"
	case l.err != nil:
		return "failed"
	}
	return "passed"
}

// writeResults writes what the parts found as Markdown.
func writeResults(o options, labs []*lab) error {
	var b strings.Builder
	form := "-quick"
	if o.full {
		form = "-full"
	}
	if o.parts != "" {
		form += " -parts " + o.parts
	}
	fmt.Fprintf(&b, "# Results\n\n%s, %s, %s, %d processors, seed %d\n\n    go -C torture run . %s -o RESULTS.md\n",
		time.Now().UTC().Format("2006-01-02"), kernel(), runtime.Version(), runtime.NumCPU(), o.seed, form)
	for _, l := range labs {
		fmt.Fprintf(&b, "\n## %s: %s\n\n", l.part.name, l.part.about)
		if l.ran {
			fmt.Fprintf(&b, "%s in %v.\n\n", capital(l.verdict()), l.took.Round(time.Second))
		}
		if l.err != nil {
			const most = 2000
			text := l.err.Error()
			if len(text) > most {
				text = text[:most] + " …"
			}
			fmt.Fprintf(&b, "```\n%s\n```\n\n", strings.ToValidUTF8(text, "?"))
		}
		table(&b, "figure", l.figures)
		table(&b, "control: lost as it must", l.controls)
		table(&b, "skipped", l.skips)
	}
	return os.WriteFile(o.out, []byte(b.String()), 0o644)
}

// table writes figures, if there are any.
func table(w io.Writer, title string, figures []figure) {
	if len(figures) == 0 {
		return
	}
	fmt.Fprintf(w, "| %s | |\n|---|---|\n", title)
	for _, f := range figures {
		fmt.Fprintf(w, "| %s | %s |\n", cell(f.name), cell(f.value))
	}
	fmt.Fprintln(w)
}

// cell makes text fit into a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", "<br>")
}

// capital writes the first letter large.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
