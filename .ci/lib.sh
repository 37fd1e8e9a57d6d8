# What the scripts beside this one share; they source it.

# need installs packages where a command is missing.
need() {
	command -v "$1" >/dev/null && return
	apt-get update -q >&2 && apt-get install -y -q --no-install-recommends "${@:2}" >&2
}

# tested prints the folders of those of the packages that have tests.
tested() { go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' "$@" | grep .; }

# pattern prints a pattern for the names of tests in its input.
pattern() { grep -a -Eo '\b(Test|Fuzz|Example)[A-Z]\w*' | paste -sd '|' | sed 's/.*/^(&)$/'; }

# print_skips prints the tests that skipped themselves, from a log of go test -v,
# and why. The first argument says where they ran.
print_skips() {
	awk -v where="$1" '/^=== / { name = $3 }
		/^ +[^ ]+\.go:[0-9]+: / { $1 = ""; reason[name] = $0 }
		/^--- SKIP: / { print "skipped: " where ": " $3 ":" reason[$3] }' "$2"
}

# print_failures prints what failed, from a log of go test -v: of each test what
# it said first, and how the program ended.
print_failures() {
	awk '/^=== / { name = $3; next }
		/^ *--- (PASS|SKIP)/ { next }
		/^--- FAIL: / { print; printf "%s", text[$3]; for (t in text) if (index(t, $3 "/") == 1) printf "%s", text[t]; next }
		name != "" && length(text[name]) < 1500 { text[name] = text[name] substr($0, 1, 400) "\n" }' "$1"
	echo "and at the end:"
	grep -a -m 1 -A 6 -E '^(panic|fatal error|SIG[A-Z]+): ' "$1" || true
	grep -a -v '^ *--- \|^=== \|^sandbox: ' "$1" | tail -n 40 | cut -c 1-400
}
