package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionVerb is `mmap version`.
var versionVerb = verb{
	name:  "version",
	short: "the version of this command",
	long:  `Version prints the version of this command, of Go, and the system it was built for.`,
	flags: func(*flag.FlagSet) action {
		return func(_ context.Context, args []string, c *console) error {
			if len(args) > 0 {
				return usageError("version takes no arguments")
			}
			return c.write(fmt.Sprintf("mmap %s, %s, %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH))
		}
	},
}

// version returns the version of the module, and the commit where the build
// knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "of an unknown version"
	}
	text, changed := info.Main.Version, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12 && text == "(devel)":
			text += " (commit " + s.Value[:12] + ")"
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed since"
		}
	}
	return text + changed
}
