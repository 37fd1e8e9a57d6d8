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

// writeResults writes what the parts found as Markdown: a section each, with the
// command that it is from. The sections of parts that did not run now stay as the
// file has them.
func writeResults(o options, labs []*lab) error {
	old, err := os.ReadFile(o.out)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	sections := sectionsOf(string(old))
	for _, l := range labs {
		sections[l.part.name] = l.section(o)
	}
	b := strings.Builder{}
	b.WriteString("# Results\n\nWhat each part found when it ran last, and the command that ran it.\n")
	for _, p := range parts {
		b.WriteString(sections[p.name])
	}
	return os.WriteFile(o.out, []byte(b.String()), 0o644)
}

// sectionsOf returns the sections of a file of results, by the part's name.
func sectionsOf(text string) map[string]string {
	sections := map[string]string{}
	const begin = "\n## "
	for _, s := range strings.Split(text, begin)[1:] {
		name, _, _ := strings.Cut(s, ":")
		sections[name] = begin + strings.TrimRight(s, "\n") + "\n"
	}
	return sections
}

// section is what is written of the part.
func (l *lab) section(o options) string {
	var b strings.Builder
	form := "-quick"
	if o.full {
		form = "-full"
	}
	fmt.Fprintf(&b, "\n## %s: %s\n\n    go -C torture run . %s -parts %s -seed %d -o RESULTS.md\n\n",
		l.part.name, l.part.about, form, l.part.name, o.seed)
	if l.ran {
		fmt.Fprintf(&b, "%s in %v. %s, %s, %s, %d processors.\n\n", capital(l.verdict()), l.took.Round(time.Second),
			time.Now().UTC().Format("2006-01-02"), kernel(), runtime.Version(), runtime.NumCPU())
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
	return strings.TrimRight(b.String(), "\n") + "\n"
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
