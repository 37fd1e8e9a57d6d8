package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The sizes of the drawing, in pixels.
const (
	svgWidth  = 760
	svgNames  = 200 // columns for the names
	svgBar    = 11  // height of a bar
	svgGap    = 10  // between two lines of the table
	svgTop    = 64
	svgBottom = 28
)

// svgColours are the colours of the sides.
var svgColours = [allSides]string{"#8c8c8c", "#0072b2", "#e69f00"}

// drawing is a picture that is being made: for each line of the table a bar a
// side, which shows how many times as fast as os.File it is, on a logarithmic
// scale, and a thin line from the slowest round to the fastest.
type drawing struct {
	strings.Builder
	low, high float64 // the ends of the scale
	y         int
}

// svg draws the table.
func (r *report) svg() string {
	d := &drawing{y: svgTop}
	d.low, d.high = r.range10()
	height := svgTop + svgBottom
	for _, w := range r.Rows {
		height += len(w.Times)*svgBar + svgGap
	}
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", svgWidth, height)
	fmt.Fprintf(d, `<rect width="%d" height="%d" fill="white"/>`+"\n", svgWidth, height)
	d.text(8, 18, "start", "How many times as fast as os.File (median; thin line: slowest to fastest round)")
	d.text(8, 34, "start", host())
	for by := range side(allSides) {
		x := svgNames + int(by)*110
		fmt.Fprintf(d, `<rect x="%d" y="42" width="11" height="11" fill="%s"/>`+"\n", x, svgColours[by])
		d.text(x+16, 52, "start", by.String())
	}
	d.grid(height)
	for _, w := range r.Rows {
		d.row(&w)
	}
	d.WriteString("</svg>\n")
	return d.String()
}

// range10 returns powers of ten that all figures lie between.
func (r *report) range10() (low, high float64) {
	low, high = 0.1, 10
	for _, w := range r.Rows {
		for _, t := range w.Times {
			base := w.Times[osFile.String()].Median
			low, high = min(low, base/t.High), max(high, base/t.Low)
		}
	}
	return math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)))
}

// x returns where a figure stands.
func (d *drawing) x(figure float64) float64 {
	part := math.Log(figure/d.low) / math.Log(d.high/d.low)
	return svgNames + part*(svgWidth-svgNames-20)
}

// text writes text.
func (d *drawing) text(x, y int, anchor, text string) {
	fmt.Fprintf(d, `<text x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(text))
}

// grid draws a line at each power of ten.
func (d *drawing) grid(height int) {
	for at := d.low; at <= d.high*1.01; at *= 10 {
		colour := "#e0e0e0"
		if math.Abs(at-1) < 0.01 {
			colour = "#404040"
		}
		fmt.Fprintf(d, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/>`+"\n", d.x(at), d.x(at), svgTop-4, height-svgBottom, colour)
		d.text(int(d.x(at)), height-svgBottom+14, "middle", fmt.Sprintf("%g×", at))
	}
}

// row draws a line of the table.
func (d *drawing) row(w *row) {
	d.text(svgNames-8, d.y+svgBar*len(w.Times)/2+4, "end", w.Section+": "+w.Name)
	base := w.Times[osFile.String()].Median
	for by := range side(allSides) {
		t, ok := w.Times[by.String()]
		if !ok {
			continue
		}
		from, to := d.x(1), d.x(base/t.Median)
		fmt.Fprintf(d, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n",
			min(from, to), d.y, max(math.Abs(to-from), 1), svgBar-2, svgColours[by])
		middle := float64(d.y) + float64(svgBar-2)/2
		fmt.Fprintf(d, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="black" stroke-width="0.8"/>`+"\n",
			d.x(base/t.High), d.x(base/t.Low), middle, middle)
		d.y += svgBar
	}
	d.y += svgGap
}
