package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	kiB = 1 << 10
	miB = 1 << 20
	giB = 1 << 30
	tiB = 1 << 40
)

// size shows a number of bytes.
func size(n int64) string {
	switch {
	case n >= tiB:
		return units(n, tiB) + " TiB"
	case n >= giB:
		return units(n, giB) + " GiB"
	case n >= miB:
		return units(n, miB) + " MiB"
	case n >= kiB:
		return units(n, kiB) + " KiB"
	case n == 1:
		return "1 byte"
	case n > -kiB:
		return fmt.Sprintf("%d bytes", n)
	}
	return "-" + size(-n)
}

// units shows n in a unit, with four digits at most and never rounded up to
// 1024.
func units(n, unit int64) string {
	x := float64(n) / float64(unit)
	digits := 2
	switch {
	case x >= 1000:
		digits = 0
	case x >= 100:
		digits = 1
	}
	scale := math.Pow10(digits)
	return strconv.FormatFloat(math.Floor(x*scale)/scale, 'f', -1, 64)
}

// short is size in a column: without a word for bytes.
func short(n int64) string {
	if n < kiB {
		return strconv.FormatInt(n, 10)
	}
	return size(n)
}

// parseSize reads a number of bytes: 4096, 64K, 1.5GiB. The units are powers
// of 1024.
func parseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "bBiIkKmMgGtT")
	unit := strings.ToUpper(strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text[len(number):]), "b"), "i"))
	scale, ok := map[string]float64{"": 1, "K": kiB, "M": miB, "G": giB, "T": tiB}[unit]
	x, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(x >= 0) || x*scale >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is no size: give bytes, or a number with K, M, G or T", text)
	}
	return int64(x * scale), nil
}

// percent shows a part of a whole; 0 % and 100 % are none and all of it.
func percent(part, whole int64) string {
	switch {
	case whole <= 0:
		return "-"
	case part <= 0:
		return "0 %"
	case part >= whole:
		return "100 %"
	case part*100 < whole:
		return "<1 %"
	}
	return strconv.FormatInt(min(part*100/whole, 99), 10) + " %"
}

// count shows a number of things: "1 file", "12 files".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if strings.HasSuffix(one, "s") {
		return fmt.Sprintf("%d %ses", n, one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// oneLine makes text fit one line of a terminal: nothing in it moves the
// cursor.
func oneLine(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(text[:n])
		} else {
			b.WriteString(strings.Trim(strconv.Quote(text[:n]), `"`))
		}
		text = text[n:]
	}
	return b.String()
}

// columns returns how many columns of a terminal text takes.
func columns(text string) (n int) {
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

// runeColumns returns how many columns a character takes: none for marks on
// the one before, two for most of East Asia's and for emoji.
func runeColumns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana),
		r >= 0x3000 && r <= 0x303e, r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
		return 2
	}
	return 1
}

// clip shortens text to at most width columns, keeping its beginning.
func clip(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	n := 0
	for i, r := range text {
		if n += runeColumns(r); n > width-1 {
			return text[:i] + "…"
		}
	}
	return text
}

// clipName shortens a file's name to at most width columns, keeping its end,
// which tells most.
func clipName(name string, width int) string {
	name = oneLine(name)
	for columns(name) > width {
		trimmed := strings.TrimPrefix(name, "…")
		_, n := utf8.DecodeRuneInString(trimmed)
		if n == 0 {
			return ""
		}
		name = "…" + trimmed[n:]
	}
	return name
}

// left pads text on its right, right on its left, to width columns.
func left(text string, width int) string {
	return text + strings.Repeat(" ", max(width-columns(text), 0))
}

func right(text string, width int) string {
	return strings.Repeat(" ", max(width-columns(text), 0)) + text
}

// wrap breaks text into lines of at most width columns, at its spaces.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
