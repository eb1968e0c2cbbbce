#!/usr/bin/python3
"""What other tools than gcc say about the C sources.

usage: compilers.py clang|headers|format|cppcheck|tidy|sparse...

Each tool is run on the files it can judge; a tool that is not installed is
a fault. The flags are those that the Makefile builds with, where a tool
knows them.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import tempfile

BUILD = os.environ.get("HOLDFAST_BUILD", "build")
ALL = sorted(glob.glob("kernel/**/*.c", recursive=True))
HEADERS = sorted(glob.glob("kernel/**/*.h", recursive=True))
OURS = ALL + HEADERS + sorted(
    p for pattern in ("user/**/*.[ch]", "tests/host/*.[ch]", "tests/system/guest/*.c",
                      "tools/**/*.c", "bench/**/*.c")
    for p in glob.glob(pattern, recursive=True))
INCLUDES = ["-Ikernel", "-I" + os.path.join(BUILD, "gen")]
GCC_ONLY = re.compile(r"-mstack-protector|-fno-delete-null|-MMD|-MP|-Werror|-Wvla|-fsanitize"
                      r"|-fno-asynchronous")


LWIP = ["-isystem", os.path.join(BUILD, "lwip/src/src/include"), "-Ikernel/net/lwip"]


def from_make(variable):
    """A variable of the Makefile as a list of words; empty when there is none."""
    done = subprocess.run(["make", "--no-print-directory", "-s", "-f", "-", "print"],
                          input="include Makefile\nprint:\n\t@echo $(%s)\n" % variable,
                          capture_output=True, text=True, check=False)
    return done.stdout.split()


# What is built now; sources for special builds are another build's affair.
KERNEL = from_make("K_C") or ALL


def kernel_flags():
    """K_CFLAGS as make has them, and where net/ finds lwIP."""
    return (from_make("K_CFLAGS") or ["-std=gnu11", *INCLUDES]) + LWIP


def portable_flags():
    return [f for f in kernel_flags() if not GCC_ONLY.match(f)]


def run(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "%s is missing: make deps" % command[0]
    text = (done.stdout + done.stderr).strip()
    return text if done.returncode or "warning:" in text else ""


def each(paths, command):
    """Run a command on every path, two at a time; => returns the complaints"""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [t for t in pool.map(lambda path: run(command(path)), paths) if t]


def clang():
    flags = portable_flags() + ["-fsyntax-only", "-Werror", "-Wthread-safety",
                                "-Wmissing-prototypes", "-Wno-unknown-warning-option",
                                "-Wno-gnu-variable-sized-type-not-at-end",
                                "-Wno-unknown-pragmas", "-Wno-ignored-pragmas"]
    return each(KERNEL, lambda path: ["clang", *flags, path])


def headers():
    """Does every header compile alone, and twice?"""
    flags = [f for f in kernel_flags() if not f.startswith(("-MM", "-MP"))]
    with tempfile.TemporaryDirectory() as work:
        def command(path):
            name = os.path.relpath(path, "kernel")
            source = os.path.join(work, name.replace("/", "_") + ".c")
            with open(source, "w", encoding="utf-8") as file:
                file.write('#include "%s"\n#include "%s"\n' % (name, name))
            return ["gcc", *flags, "-fsyntax-only", source]
        return each(HEADERS, command)


def layout():
    return each(OURS, lambda path: ["clang-format", "--dry-run", "-Werror", path])


def cppcheck():
    if not KERNEL:
        return []
    return [t for t in [run(
        ["cppcheck", "--quiet", "--error-exitcode=1", "--inline-suppr", "--std=c11",
         "--platform=unix64", "-j", str(os.cpu_count()), "--enable=warning",
         "--suppress=missingInclude", "--suppress=missingIncludeSystem",
         "--suppress=preprocessorErrorDirective", "--suppress=internalAstError",
         "--suppress=comparePointers",
         *INCLUDES, *KERNEL])] if t]


def tidy():
    flags = portable_flags()
    return each(KERNEL, lambda path: ["clang-tidy", "--quiet", "--warnings-as-errors=*", path,
                                      "--", *flags, "-w"])


def sparse():
    flags = [f for f in kernel_flags() if f.startswith(("-I", "-D", "-std", "-ffree"))] + LWIP[:2]
    quiet = ["-Wno-decl", "-Wno-vla", "-Wno-non-pointer-null", "-Wno-cast-truncate",
             "-Wno-bitwise", "-Wno-unknown-attribute", "-D__KERNEL__"]

    def command(path):
        # What only SAN=1 builds is checked as that builds it.
        san = ["-DHOLDFAST_DEBUG", "-DHOLDFAST_KASAN"] if path == "kernel/mm/kasan.c" else []
        return ["sparse", *flags, *san, "-m64", *quiet, "-Wsparse-error", path]
    return each(KERNEL, command)


TOOLS = {"clang": clang, "headers": headers, "format": layout, "cppcheck": cppcheck,
         "tidy": tidy, "sparse": sparse}


def main(names):
    faults = [text for name in names or TOOLS for text in TOOLS[name]()]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
