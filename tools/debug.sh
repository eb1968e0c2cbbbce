#!/bin/sh
# Boot with the processors halted and gdb attached; ends with gdb.
# Arguments are those of `holdfast run`.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
port=${GDB_PORT:-1234}

"$top/holdfast" run --accel tcg --headless --qemu=-S --qemu=-gdb --qemu="tcp:127.0.0.1:$port" \
	"$@" > "$top/build/debug.log" 2>&1 &
machine=$!
trap 'kill -TERM $machine 2>/dev/null; kill -TERM $machine 2>/dev/null; true' EXIT
echo "console: $top/build/debug.log"

set --
for script in "$top"/tools/gdb/*.py; do
	[ -e "$script" ] && set -- "$@" -x "$script"
done
gdb -q "$top/build/holdfast.elf" -ex "target remote 127.0.0.1:$port" "$@"
