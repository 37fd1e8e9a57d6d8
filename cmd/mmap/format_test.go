package main

import (
	"strings"
	"testing"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1024: "1 KiB", 1536: "1.5 KiB", 5000: "4.88 KiB",
		miB - 1: "1023 KiB", miB: "1 MiB", 1023 * miB: "1023 MiB", giB: "1 GiB", 5 * tiB / 2: "2.5 TiB", -4096: "-4 KiB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "4k": 4096, "4K": 4096, "4KiB": 4096, "1.5M": 1536 * kiB, "2gb": 2 * giB, "1T": tiB, "7b": 7,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "k", "-1", "1x", "1kk", "inf", "nan", "9e18K", "1 M", "99999999999999999999"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d", text, got)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		part, whole int64
		want        string
	}{{0, 0, "-"}, {0, 9, "0 %"}, {9, 9, "100 %"}, {1, 1000, "<1 %"}, {999, 1000, "99 %"}, {1, 2, "50 %"}} {
		if got := percent(c.part, c.whole); got != c.want {
			t.Errorf("percent(%d, %d) = %q, want %q", c.part, c.whole, got, c.want)
		}
	}
}

// TestNames checks that no name of a file can do anything to a terminal, and
// that what is shortened fits.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"plain": "plain", "a\nb": `a\nb`, "\x1b[2J": `\x1b[2J`, "\xff": `\xff`, "Ünïcode": "Ünïcode", "日本": "日本",
	} {
		if got := oneLine(name); got != want {
			t.Errorf("oneLine(%q) = %q, want %q", name, got, want)
		}
	}
	if n := columns("日本e\u0301x"); n != 6 {
		t.Errorf("%d columns, want 6", n)
	}
	for _, name := range []string{"short", strings.Repeat("folder/", 20) + "file", strings.Repeat("日本", 20)} {
		for width := 8; width < 30; width++ {
			if got := clipName(name, width); columns(got) > width || !strings.HasSuffix(name, strings.TrimPrefix(got, "…")) {
				t.Errorf("clipName(%q, %d) = %q", name, width, got)
			}
			if got := clip(name, width); columns(got) > width || !strings.HasPrefix(name, strings.TrimSuffix(got, "…")) {
				t.Errorf("clip(%q, %d) = %q", name, width, got)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	text := strings.Repeat("some words and an-unbreakable-word ", 20)
	lines := wrap(text, 30)
	if strings.Join(lines, " ") != strings.TrimSpace(text) {
		t.Error("words were lost")
	}
	for _, line := range lines {
		if columns(line) > 30 || columns(line) < 5 {
			t.Errorf("a line of %d columns: %q", columns(line), line)
		}
	}
}
