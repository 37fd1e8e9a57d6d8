//go:build linux && !386 && !arm && !mips && !mipsle

package main

import (
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
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
		draw := plotutil.AddLinePoints
		if pl.file == "ticker" {
			draw = plotutil.AddLines // hundreds of points
		}
		if err := draw(p, all...); err != nil {
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
