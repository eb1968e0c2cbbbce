#!/usr/bin/python3
"""Run every check; says nothing when all is right.

usage: all.py [NAME...]    such as: all.py layers clang
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CHECKS = {
    "layers": ["layers.py"],
    "leftovers": ["leftovers.py"],
    "sizes": ["sizes.py"],
    "statics": ["statics.py"],
    "generated": ["generated.py"],
    "headers": ["compilers.py", "headers"],
    "format": ["compilers.py", "format"],
    "clang": ["compilers.py", "clang"],
    "sparse": ["compilers.py", "sparse"],
    "cppcheck": ["compilers.py", "cppcheck"],
    "tidy": ["compilers.py", "tidy"],
}


def main(names):
    unknown = [n for n in names if n not in CHECKS]
    if unknown:
        sys.exit("no such check: %s; there are %s" % (unknown[0], " ".join(CHECKS)))
    bad = []
    for name in names or CHECKS:
        script, *rest = CHECKS[name]
        done = subprocess.run([sys.executable, os.path.join(HERE, script), *rest], cwd=TOP,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            print("--- %s\n%s" % (name, (done.stdout + done.stderr).strip()), flush=True)
            bad.append(name)
    if bad:
        print("check: %s" % ", ".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
