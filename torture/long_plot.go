//go:build linux

package main

import (
	"image/color"
	"os"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// longPanels are the pictures, one above the other: gauges of one scale each.
var longPanels = []struct {
	title, y string
	gauges   []string
}{
	{"Memory: thick at rest, after a collection; thin under load", "MiB", []string{
		"anonymous memory, MiB", "file memory, MiB", "shared memory, MiB", "Go heap, MiB"}},
	{"Addresses revoked and not given back: the quarantine", "MiB", []string{"revoked addresses, MiB"}},
	{"Maps", "number", []string{"maps", "maps of files"}},
	{"Descriptors and goroutines", "number", []string{"descriptors", "goroutines"}},
}

// longPoints is how many points a curve has at most.
const longPoints = 120

// plotLong draws the samples into a file.
func plotLong(name string, moments []moment) error {
	const width, height = 7 * vg.Inch, 2.5 * vg.Inch
	canvas := vgsvg.New(width, vg.Length(len(longPanels))*height)
	var rows [][]*plot.Plot
	for _, panel := range longPanels {
		p := plot.New()
		p.Title.Text, p.X.Label.Text, p.Y.Label.Text = panel.title, "minutes", panel.y
		p.Y.Min = 0
		p.Legend.Top = true
		p.Add(plotter.NewGrid())
		for i, name := range panel.gauges {
			if err := addGauge(p, i, name, moments); err != nil {
				return err
			}
		}
		p.Y.Max *= 1.4 // room for the legend
		rows = append(rows, []*plot.Plot{p})
	}
	tiles := draw.Tiles{Rows: len(rows), Cols: 1, PadTop: vg.Points(4), PadY: vg.Points(8), PadRight: vg.Points(8)}
	for i, row := range plot.Align(rows, tiles, draw.New(canvas)) {
		rows[i][0].Draw(row[0])
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// addGauge draws a gauge twice, in one color.
func addGauge(p *plot.Plot, i int, name string, moments []moment) error {
	for _, g := range gauges {
		if g.name != name {
			continue
		}
		load, err := plotter.NewLine(g.points(moments, func(m moment) usage { return m.Load }))
		if err != nil {
			return err
		}
		rest, err := plotter.NewLine(g.points(moments, func(m moment) usage { return m.Rest }))
		if err != nil {
			return err
		}
		rest.Color, rest.Width = plotutil.Color(i), vg.Points(1.5)
		r, gr, b, _ := rest.Color.RGBA()
		load.Color, load.Width = color.NRGBA{uint8(r >> 8), uint8(gr >> 8), uint8(b >> 8), 0x80}, vg.Points(0.5)
		p.Add(load, rest)
		label, _, _ := strings.Cut(name, ",") // the axis has the unit
		p.Legend.Add(label, rest)
	}
	return nil
}

// points are the greatest values of as many samples as make one point.
func (g gauge) points(moments []moment, at func(m moment) usage) (all plotter.XYs) {
	each := (len(moments) + longPoints - 1) / longPoints
	for i, m := range moments {
		x, y := m.At.Seconds()/time.Minute.Seconds(), float64(g.of(at(m)))/g.unit
		if i%each == 0 {
			all = append(all, plotter.XY{X: x, Y: y})
		}
		last := &all[len(all)-1]
		last.Y = max(last.Y, y)
	}
	return all
}
