//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// The pictures of P24 and P26, beside those of plots.go.
func init() {
	for _, p := range [][4]string{
		{"pressure", "Random 4 KiB reads of a file three times as large as memory", "goroutines", "thousand reads a second"},
		{"pressure-zipf", "The same, Zipf 1.1", "goroutines", "thousand reads a second"},
		{"learning-small", "The first n writes of 8 B at random, small folios", "n", "ns a write"},
		{"learning-large", "The first n writes of 8 B at random, large folios", "n", "ns a write"},
	} {
		one := plots[0]
		one.file, one.title, one.x, one.y = p[0], p[1], p[2], p[3]
		one.logX, one.logY = true, true
		plots = append(plots, one)
	}
}

// programsTitle is that of the picture of P30.
const programsTitle = "Real programs: speed by that of os.File"

// plotPrograms draws the figures of P30 by those of os.File, as bars.
func plotPrograms(cells []cell, dir string) error {
	var names []string
	bars := map[string]plotter.Values{}
	for i := len(cells) - 1; i >= 0; i-- { // the first is to be on top
		c := cells[i]
		if c.id != "P30" || c.why != "" || len(c.figures[osFile]) == 0 {
			continue
		}
		names = append(names, shortened(c.workload))
		for _, who := range []string{region, edsrzf, xExp} {
			v := 0.0 // took no part
			if len(c.figures[who]) > 0 {
				num, den := c.figures[who], c.figures[osFile]
				if c.small() {
					num, den = den, num
				}
				v = median(ratios(num, den))
			}
			bars[who] = append(bars[who], min(v, 10))
		}
	}
	if len(names) == 0 {
		return nil
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text = programsTitle, "times as fast as os.File (cut at 10)"
	p.X.Min, p.X.Max = 0, 10
	width := vg.Points(5)
	for i, who := range []string{region, edsrzf, xExp} {
		b, err := plotter.NewBarChart(bars[who], width)
		if err != nil {
			return err
		}
		b.Horizontal, b.LineStyle.Width = true, 0
		b.Color, b.Offset = plotutil.Color(i), width*vg.Length(1-i)
		p.Add(b)
		p.Legend.Add(who, b)
	}
	p.Add(plotter.NewGrid())
	p.NominalY(names...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	height := vg.Inch + vg.Points(22)*vg.Length(len(names))
	return p.Save(10*vg.Inch, height, filepath.Join(dir, "programs.png"))
}

// shortened cuts a workload down to what fits beside a bar.
func shortened(workload string) string {
	words := []rune(strings.TrimPrefix(workload, "a "))
	if len(words) > 70 {
		words = append(words[:69], '…')
	}
	return string(words)
}
