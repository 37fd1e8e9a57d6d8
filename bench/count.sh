#!/bin/sh
# Counts what one operation of a Region costs whatever the machine is doing:
# system calls (strace), instructions (valgrind --tool=callgrind) and locked
# instructions in the code of the fast paths (go tool objdump). Each operation
# runs n and 2n times; the difference, by n, is one operation.
#
#   bench/count.sh [operation ...]      # all of them by default
#
# Environment: N (8000; the first touches and cold reads have 16384 pages for 2n), DIR (where the files go; cold operations need a disk).
set -eu
cd "$(dirname "$0")"
n=${N:-8000} dir=${DIR:-${TMPDIR:-/tmp}}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/bench" .
[ $# -gt 0 ] || set -- $("$tmp/bench" -count list | grep -v huge)

# calls prints "name count" for every system call of n operations.
calls() {
	strace -f -c -U name,calls -o "$tmp/strace" "$tmp/bench" -dir "$dir" -count "$1" -n "$2" >/dev/null
	awk 'NR > 2 && $1 !~ /^-/ && $1 != "total" { print $1, $2 }' "$tmp/strace"
}

# instructions prints how many n operations take. Valgrind does not follow the
# signals by which the runtime preempts, so there are none.
instructions() {
	GODEBUG=asyncpreemptoff=1 GOMAXPROCS=1 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$tmp/bench" -dir "$dir" -count "$1" -n "$2" 2>&1 |
		awk '/Collected/ { print $4 }'
}

echo "| operation | system calls each | instructions each |"
echo "|---|---|---|"
for op; do
	list='not counted' instr='not counted'
	if command -v strace >/dev/null; then
		calls "$op" "$n" >"$tmp/a"
		calls "$op" $((2 * n)) >"$tmp/b"
		# The runtime's own calls, for its threads and timers, come and go.
		list=$(awk -v n="$n" 'NR == FNR { a[$1] = $2; next }
			$1 ~ /^(futex|nanosleep|sched_yield|tgkill|getpid|epoll_pwait|rt_sig.*)$/ { next }
			{ each = ($2 - a[$1]) / n; if (each >= 0.01) printf "%s %.2f, ", $1, each }' "$tmp/a" "$tmp/b" | sed 's/, $//')
		list=${list:-none}
	fi
	if command -v valgrind >/dev/null; then
		a=$(instructions "$op" "$n") b=$(instructions "$op" $((2 * n)))
		if [ -n "$a" ] && [ -n "$b" ]; then
			instr=$(((b - a) / n))
		fi
	fi
	echo "| $op | $list | $instr |"
done

echo
echo "Locked instructions in the code of the fast paths:"
echo
for f in 'mmap.\(\*Region\).ReadAt$' 'mmap.\(\*Region\).WriteAt$' 'mmap.guarded$' 'mmap.guarded.func1$' 'debug.setPanicOnFault$' \
	'mmap.\(\*bitmap\).all$' 'mmap.\(\*bitmap\).add$' 'poll.\(\*FD\).Pread$' 'poll.\(\*FD\).RawControl$'; do
	go tool objdump -s "$f" "$tmp/bench" >"$tmp/code"
	awk -v f="$f" '/LOCK|XCHG|\$0xf0/ { n++ } /^ / { all++ } END { gsub(/\\|\$/, "", f); printf "    %-28s %d of %d\n", f, n, all }' "$tmp/code"
done
