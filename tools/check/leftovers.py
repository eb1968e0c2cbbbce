#!/usr/bin/python3
"""Is anything left behind: notes to self, dead code, debugging, stray bytes?"""
import re
import subprocess
import sys

NOTE = "|".join(("TO" + "DO", "XX" + "X", "FIX" + "ME", "HA" + "CK"))
RULES = [
    (re.compile(r"\b(%s)\b" % NOTE), "a note to self"),
    (re.compile(r"^\s*#\s*if\s+0\b"), "code that is switched off"),
    (re.compile(r"^(<<<<<<<|>>>>>>>) "), "a merge conflict"),
    (re.compile(r"[ \t]+$"), "a space at the end of the line"),
    (re.compile(r"^\s*//\s*\S.*;\s*$"), "code in a comment"),
]
ENDINGS = (".c", ".h", ".S", ".py", ".sh", ".erl", ".ex", ".exs", ".md", ".mk", ".ld", ".tbl",
           ".txt", ".hrl", "Makefile", "holdfast")
# Words that are names here, not notes.
EXCUSED = {"tools/check/leftovers.py"}
MAX_BYTES = 2_000_000


def tracked():
    out = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [p for p in out.stdout.split("\0") if p and p not in EXCUSED]


def check(path):
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, IsADirectoryError):
        return
    if len(data) > MAX_BYTES:
        yield "%s: %d bytes; large files are built or fetched, not kept" % (path, len(data))
    if not path.endswith(ENDINGS):
        return
    text = data.decode("utf-8", "replace")
    if text and not text.endswith("\n"):
        yield "%s: no newline at the end" % path
    if "\r" in text:
        yield "%s: carriage returns" % path
    for number, line in enumerate(text.split("\n"), 1):
        for pattern, what in RULES:
            if pattern.search(line):
                yield "%s:%d: %s" % (path, number, what)


def main():
    faults = [fault for path in tracked() for fault in check(path)]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
