# A script for busybox sh: pipelines, here-documents, jobs, traps, files.
# Its output on Linux is script.expected; every system must print the same.
# Run it as: busybox sh script.sh

IFS=:
for directory in $PATH; do
	[ -x "$directory/busybox" ] && busybox=$directory/busybox && break
done
unset IFS
work=${TMPDIR:-/tmp}/script.$$
mkdir -p "$work/bin" || exit 1
for tool in awk basename cat chmod cmp cp cut date dd dirname env expr find \
	grep gzip head kill ln ls md5sum mkdir mkfifo mv od paste printf \
	readlink rm sed seq sh sleep sort stat tac tail tar tee test timeout \
	touch tr true uname uniq usleep wc xargs yes; do
	ln -s "$busybox" "$work/bin/$tool"
done
PATH=$work/bin
export PATH
cd "$work" || exit 1
unset CDPATH ENV
LC_ALL=C
export LC_ALL
umask 022

say() { printf '%s\n' "$*"; }
title() { say "-- $*"; }

title pipelines
seq 1 20 | grep 1 | sort -rn | head -n 5 | tr '\n' ' '
say
yes holdfast | head -n 1000 | sort | uniq -c | awk '{print $1, $2}'
seq 1 1000 | awk '{s += $1} END {print s}'
seq 1 5000 | tac | sort -n | md5sum | cut -c1-32
printf 'b\na\nc\n' | sort | paste -s -d, -
dd if=/dev/zero bs=64k count=16 2>/dev/null | wc -c
dd if=/dev/zero bs=1k count=300 2>/dev/null | gzip -c | gzip -dc | wc -c
seq 1 100000 | head -n 1
false | true; say "status $?"
true | false; say "status $?"
! true; say "not $?"

title here-documents
name=world
cat <<END
hello $name
sum $((6 * 7))
command $(say inner)
END
cat <<'END'
literal $name $(no)
END
cat <<-END
	tabs are gone
	END
tr a-z A-Z <<ONE && cat <<TWO
first
ONE
second
TWO
while read -r left right; do
	say "[$right] [$left]"
done <<END
a b
c d e
END

title redirection
say one >file; say two >>file; cat file
{ say out; say err >&2; } >both 2>&1; cat both
exec 5>five; say "to five" >&5; exec 5>&-; cat five
exec 6<file; read -r line <&6; say "read $line"; read -r line <&6
say "read $line"; exec 6<&-
say swapped 3>&1 1>&2 2>&3 | cat
(say sub; exit 3); say "sub $?"
cat <file >copy && cmp file copy && say same
cat missing 2>/dev/null || say "no such file"
: >empty; [ -s empty ] || say empty
set -C; (say clobber >file) 2>/dev/null || say kept; set +C

title expansion
text=abc.tar.gz
say "${text%.gz} ${text%%.*} ${text#*.} ${text##*.} ${#text}"
say "${unset:-default} ${text:+set} ${unset-none}"
say "$((1 + 2 * 3)) $((1 << 10)) $((17 % 5)) $((0x10))"
set -- a 'b c' d
say "$# $1 $2"; shift; say "$# $*"
for word in "$@"; do say "<$word>"; done
IFS=:; set -- x:y:z; for part in $*; do say "$part"; done; unset IFS
touch g1 g2 g3; say g*; say g[12]; say nomatch*; rm g*
case $text in *.zip) say zip ;; *.gz) say gz ;; *) say other ;; esac
i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && continue; say "i$i"; done
until [ $i = 0 ]; do i=$((i - 1)); done; say "until $i"
fact() { if [ "$1" -le 1 ]; then say 1; else say $(($1 * $(fact $(($1 - 1))))); fi; }
fact 10
local_test() { local text=inside; say "$text"; }
local_test; say "$text"
eval 'say "eval $text"'
say "$(say a | tr a b)$(say c)"

options() {
	OPTIND=1
	while getopts ab:c option; do
		case $option in
		b) say "b=$OPTARG" ;;
		?) say "option $option" ;;
		esac
	done
	shift $((OPTIND - 1)); say "rest $*"
}
options -a -b value -c x y
outer=1; (outer=2; say "sub $outer"); say "outer $outer"
count=0; for a in 1 2 3; do for b in 1 2 3; do
	[ $b = 3 ] && break; count=$((count + a * b))
done; done; say "count $count"
printf 'x 1\ny 2\nx 3\n' | awk '{n[$1] += $2} END {print n["x"], n["y"]}'
alias_like() { "$@"; }; alias_like say through "a function"
pwd_of() { (cd "$1" && pwd); }; pwd_of /; pwd_of /dev/..
true && say and || say or; false && say and || say or
say "a  b" $(say "c  d") "$(say "e  f")"
say "\$HOME \"quoted\" 'single'" \
	continued

title jobs
sleep 0 & first=$!; wait $first; say "wait $?"
(exit 7) & wait $!; say "exit $?"
sh -c 'kill -TERM $$' 2>/dev/null &
wait $! 2>/dev/null; say "killed $?"
for n in 3 1 2; do (say "job $n" >"job$n") & done
wait; cat job1 job2 job3
sleep 100 & pid=$!
kill -0 $pid && say alive
kill $pid; wait $pid 2>/dev/null; say "ended $?"
kill -0 $pid 2>/dev/null || say gone
sleep 100 & pid=$!
kill -STOP $pid; kill -CONT $pid; kill -KILL $pid
wait $pid 2>/dev/null; say "kill $?"
mkfifo pipe
(cat pipe >from_pipe) & say "through a fifo" >pipe; wait; cat from_pipe
(for n in 1 2 3; do read -r line; say "got $line"; done) <<END
x
y
z
END
{ sleep 0; say late; } | cat
(sh -c 'exit 5'); say "nested $?"
sh -c 'sh -c "sh -c \"exit 6\""'; say "deep $?"
timeout 5 true; say "timeout $?"
timeout -s KILL 1 sleep 100 2>/dev/null; say "cut off $?"

(for n in 1 2 3; do (exit $n) & wait $!; say "child $?"; done)
yes | cat >/dev/null & pid=$!
kill $pid; wait $pid 2>/dev/null; say "pipe end $?"
kill $(sh -c 'sleep 100 >/dev/null & echo $!') && say "stranger"
seq 1 3 | while read -r n; do (say "$((n * n))" &); done | sort -n
say $(seq 1 30 | while read -r n; do true & wait $!; printf .; done)

title traps
trap 'say "got USR1"' USR1
kill -USR1 $$
say after
(trap 'say "bye"' EXIT; say work)
sh -c 'trap "echo cleanup; exit 9" TERM; kill -TERM $$; echo not here'
say "trap $?"
sh -c 'trap "" TERM; kill -TERM $$; echo ignored'
trap - USR1
sh -c 'trap "echo child" USR1; (kill -USR1 $$); wait; echo end'
ready=$work/ready
mkfifo "$ready"
sh -c 'trap "echo asked to stop; exit 4" TERM; echo >"$0"
	while :; do usleep 1000; done' "$ready" & pid=$!
read -r line <"$ready"
kill -TERM $pid; wait $pid; say "stopped $?"

title files
mkdir -p d/e/f; touch d/e/f/g; say hello >d/h; ln -s ../h d/e/link
cat d/e/link; readlink d/e/link
find d | sort
chmod 640 d/h; ls -l d/h | cut -c1-10
ln d/h d/i; stat -c '%h %s %F' d/h
mv d/h d/j; [ -e d/h ] || say moved; cmp d/i d/j && say linked
cp -r d copy2; find copy2 -type f | sort
tar cf - d | tar tf - | sort | head -n 3
(cd d/e && pwd | sed "s|$work|WORK|")
[ -d d ] && [ ! -f d ] && [ -L d/e/link ] && say tests
rm -r d; ls -d d 2>/dev/null || say removed
printf '%05d|%-5s|%x|%c\n' 42 ab 255 z
say 'one two three' | while read -r a b c; do say "$c $b $a"; done
seq 1 10 | xargs -n 3 echo
say "a b c" | sed 's/ /\n/g' | sort -r | tr '\n' ' '; say
printf 'abc' | od -An -tx1
expr 7 \* 6; expr length holdfast
basename /a/b/c.txt .txt; dirname /a/b/c.txt
env -i A=1 env
(ulimit -n 50; ulimit -n)
uname -s
test "$(date +%s)" -gt 1600000000 && say dated

title errors
(set -e; false; say unreachable); say "set -e $?"
(set -u; : "$undefined_name") 2>/dev/null; say "set -u $?"
nosuchcommand 2>/dev/null; say "not found $?"
say text >noexec; ./noexec 2>/dev/null; say "no permission $?"
chmod +x noexec; printf '#!/no/such/shell\n' >noexec; ./noexec 2>/dev/null
say "bad interpreter $?"
printf '#!%s\necho "script $1"\n' "$work/bin/sh" >script; chmod +x script
./script argument

cd /; rm -rf "$work"
title end
