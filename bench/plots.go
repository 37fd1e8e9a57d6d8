//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// curve is the line of one entrant in a plot.
type curve struct {
	name   string
	points plotter.XYs
}

// plots are the pictures; the rows put the points in as they go.
var plots = []struct {
	file, title, x, y string
	logX, logY        bool
}{
	{"sizes", "ReadAt of mapped pages by size", "bytes a call", "GB/s", true, true},
	{"goroutines", "ReadAt of 64 B by goroutines", "goroutines", "million calls a second", true, true},
	{"concurrency", "Cold random 4 KiB reads by goroutines", "goroutines", "thousand reads a second", true, false},
	{"ticker", "A 1 ms sleep beside 64 goroutines that read cold pages", "percentile of the sleeps", "ms too late", false, true},
}

// point puts a point into a plot.
func (l *lab) point(file, name string, x, y float64) {
	curves := l.curves[file]
	for i := range curves {
		if curves[i].name == name {
			curves[i].points = append(curves[i].points, plotter.XY{X: x, Y: y})
			return
		}
	}
	l.curves[file] = append(curves, curve{name, plotter.XYs{{X: x, Y: y}}})
}

// plot draws what there are points for.
func (l *lab) plot(dir string) error {
	for _, pl := range plots {
		curves := l.curves[pl.file]
		if len(curves) == 0 {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		p := plot.New()
		p.Title.Text, p.X.Label.Text, p.Y.Label.Text = pl.title, pl.x, pl.y
		p.Legend.Top = pl.file != "sizes" // where the curves are not
		p.Legend.Left = p.Legend.Top
		if pl.logX {
			p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powers(curves[0].points)
		}
		if pl.logY {
			p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		} else {
			p.Y.Min = 0
		}
		p.Add(plotter.NewGrid())
		var all []any
		for _, c := range curves {
			all = append(all, c.name, c.points)
		}
		add := plotutil.AddLinePoints
		if pl.file == "ticker" {
			add = plotutil.AddLines // hundreds of points
		}
		if err := add(p, all...); err != nil {
			return err
		}
		if err := p.Save(7*vg.Inch, 4*vg.Inch, filepath.Join(dir, pl.file+".png")); err != nil {
			return err
		}
	}
	return nil
}

// powers puts a tick at every point of a curve whose x go up by powers of two.
func powers(points plotter.XYs) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, p := range points {
		label := sizeName(int64(p.X))
		if len(points) < 7 {
			label = short(p.X)
		}
		ticks = append(ticks, plot.Tick{Value: p.X, Label: label})
	}
	return ticks
}

// longPanels are the pictures of an hour of torture, one above the other: columns
// of its table that have one scale.
var longPanels = []struct {
	title, y string
	columns  []string
}{
	{"Memory: thick at rest, after a collection; thin under load", "MiB", []string{
		"anonymous memory, MiB", "file memory, MiB", "shared memory, MiB", "Go heap, MiB"}},
	{"Addresses revoked and not given back: the quarantine", "MiB", []string{"revoked addresses, MiB"}},
	{"Maps", "number", []string{"maps", "maps of files"}},
	{"Descriptors and goroutines", "number", []string{"descriptors", "goroutines"}},
}

// longPoints is how many points a curve has at most.
const longPoints = 120

// plotLong draws a long.csv as long.svg beside it.
func plotLong(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 2 {
		return errors.Join(fmt.Errorf("%s is no table of samples", name), err)
	}
	const width, height = 7 * vg.Inch, 2.5 * vg.Inch
	canvas := vgsvg.New(width, vg.Length(len(longPanels))*height)
	var all [][]*plot.Plot
	for _, panel := range longPanels {
		p := plot.New()
		p.Title.Text, p.X.Label.Text, p.Y.Label.Text = panel.title, "minutes", panel.y
		p.Y.Min = 0
		p.Legend.Top = true
		p.Add(plotter.NewGrid())
		for i, column := range panel.columns {
			if err := addGauge(p, i, column, rows); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		p.Y.Max *= 1.4 // room for the legend
		all = append(all, []*plot.Plot{p})
	}
	tiles := draw.Tiles{Rows: len(all), Cols: 1, PadTop: vg.Points(4), PadY: vg.Points(8), PadRight: vg.Points(8)}
	for i, row := range plot.Align(all, tiles, draw.New(canvas)) {
		all[i][0].Draw(row[0])
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(name, ".csv")+".svg", b.Bytes(), 0o644)
}

// addGauge draws a column twice, in one color.
func addGauge(p *plot.Plot, i int, name string, rows [][]string) error {
	rest, err1 := curveOf(rows, name+", at rest")
	load, err2 := curveOf(rows, name+", under load")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	rest.Color, rest.Width = plotutil.Color(i), vg.Points(1.5)
	r, g, b, _ := rest.Color.RGBA()
	load.Color, load.Width = color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 0x80}, vg.Points(0.5)
	p.Add(load, rest)
	label, _, _ := strings.Cut(name, ",") // the axis has the unit
	p.Legend.Add(label, rest)
	return nil
}

// curveOf returns a column over the first one. A point is the greatest value of
// as many samples as make one.
func curveOf(rows [][]string, name string) (*plotter.Line, error) {
	at := slices.Index(rows[0], name)
	if at < 0 {
		return nil, fmt.Errorf("there is no column %q", name)
	}
	var points plotter.XYs
	samples := rows[1:]
	each := (len(samples) + longPoints - 1) / longPoints
	for i, row := range samples {
		x, err1 := strconv.ParseFloat(row[0], 64)
		y, err2 := strconv.ParseFloat(row[at], 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if i%each == 0 {
			points = append(points, plotter.XY{X: x, Y: y})
		}
		last := &points[len(points)-1]
		last.Y = max(last.Y, y)
	}
	return plotter.NewLine(points)
}
