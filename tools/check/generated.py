#!/usr/bin/python3
"""Are the generated documents what their sources make today?"""
import subprocess
import sys

MADE = {"doc/abi.md": ["tools/gen-calls", "--doc", "kernel/linux/calls.tbl"]}


def main():
    stale = 0
    for path, command in MADE.items():
        text = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        with open(path, "rb") as file:
            if file.read() != text:
                print("%s is old: %s > %s" % (path, " ".join(command), path))
                stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
