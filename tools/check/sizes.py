#!/usr/bin/python3
"""Are files and functions short enough? (STYLE: 800 lines, 80 lines.)

Python files of ours stop at 500 lines, the checks at 200.
"""
import glob
import json
import subprocess
import sys

FUNCTION_LINES = 80
LIMITS = (
    (800, ("kernel/**/*.[chS]", "user/**/*.[chS]", "tests/host/*.[ch]", "tools/**/*.[ch]")),
    (1000, ("tests/abi/*.[ch]", "tests/system/**/*.[ch]")),
    (500, ("tools/**/*.py", "tests/**/*.py", "bench/**/*.py")),
    (200, ("tools/check/*.py",)),
    (800, ("erlang/**/*.erl", "tests/**/*.erl", "bench/**/*.erl")),
)


def length(path):
    with open(path, "rb") as file:
        return file.read().count(b"\n")


def files():
    for limit, patterns in LIMITS:
        for pattern in patterns:
            for path in sorted(glob.glob(pattern, recursive=True)):
                lines = length(path)
                if lines > limit:
                    yield "%s: %d lines, more than %d" % (path, lines, limit)


def functions():
    paths = sorted(p for top in ("kernel", "user") for p in
                   glob.glob(top + "/**/*.c", recursive=True))
    if not paths:
        return
    done = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--kinds-C=f",
                           "-f", "-", "-L", "-"], input="\n".join(paths), text=True,
                          capture_output=True, check=True)
    for line in done.stdout.splitlines():
        tag = json.loads(line)
        if "end" in tag and tag["end"] - tag["line"] + 1 > FUNCTION_LINES:
            yield "%s:%d: %s has %d lines, more than %d" % (
                tag["path"], tag["line"], tag["name"], tag["end"] - tag["line"] + 1,
                FUNCTION_LINES)


def main():
    faults = list(files()) + list(functions())
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
