#!/usr/bin/python3
"""Every test, part by part, with a line 'N passed, N failed' for each.

usage: test.py [--only PART[,PART]...]    parts: see PARTS below

HOLDFAST_TEST_SCALE stretches the time limits, for machines and kernels
(SAN=1) that are slow. HOLDFAST_TEST_DISK gives each machine that boots a disk
and a checkpoint after each such period (tests/system/guest.py).
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("HOLDFAST_BUILD", os.path.join(TOP, "build"))
LAST = re.compile(r"(\d+) passed, (\d+) failed")
CMOCKA = re.compile(r"\[  (PASSED|FAILED)  \] (\d+) test")
ABI_LIMIT_S = int(900 * float(os.environ.get("HOLDFAST_TEST_SCALE", "1")))
DISK = os.environ.get("HOLDFAST_TEST_DISK", "")
# Programs of tests/abi that are quick under SAN=1.
SANITIZED = ("process", "exit", "mmap", "pipes", "futex", "files", "signals", "unix", "inet")
# Tests of the tools that boot nothing.
QUICK = ("test_cli.py", "test_layout.py", "test_pack.py", "test_resume_kinds.py",
         "test_store.py")
# What tells of a failure in the lines that the runners print.
FAILURE = re.compile(r"\bFAIL(ED)?\b|^hung|panic|Sanitizer")
FAILURES_SHOWN = 12


def show(text):
    print(text.rstrip(), flush=True)


def run(command, limit, **options):
    """=> returns (status, output); a hang is status 124"""
    try:
        done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              stderr=subprocess.STDOUT, timeout=limit, check=False, **options)
        return done.returncode, done.stdout.decode("utf-8", "replace").replace("\r", "")
    except subprocess.TimeoutExpired as error:
        return 124, (error.stdout or b"").decode("utf-8", "replace") + "\nhung"


def named(text):
    """=> returns the lines of a part's output that tell what failed, or its last ones"""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ([line for line in lines if FAILURE.search(line)] or lines[-3:])[:FAILURES_SHOWN]


def make(goal):
    return run(["make", "--no-print-directory", "-s", "-j%d" % os.cpu_count(), goal], 1800)


# Each part returns how many tests passed, how many failed, and the names of those, or lines that
# tell of them. They are said once more at the end, where those who read only that find them.

def host():
    """Unit tests of what is pure: one program each, ASan and UBSan on."""
    programs = [p[:-2] for p in sorted(glob.glob(os.path.join(TOP, "tests", "host", "*_test.c")))]
    passed = failed = 0
    names = []
    for name in map(os.path.basename, programs):
        program = os.path.join(BUILD, "host", name)
        status, text = make(os.path.relpath(program, TOP))
        if status == 0:
            status, text = run([program], 600)
        counts = dict(CMOCKA.findall(text))
        good, bad = int(counts.get("PASSED", 0)), int(counts.get("FAILED", 0))
        if status and not bad:
            bad = 1
        if bad:
            show(text)
            names += ["%s: %s" % (name, line) for line in named(text)]
        passed, failed = passed + good, failed + bad
    return passed, failed, names


def crashes():
    """What power cuts leave of a disk: 20,000 states, always the same."""
    program = os.path.join(BUILD, "crashstates")
    status, text = make(os.path.relpath(program, TOP))
    if status == 0:
        status, text = run([program, "-n", "20000"], 600)
    if status:
        show(text)
    return int(not status), int(bool(status)), named(text) if status else []


def _total(status, text):
    """What a runner of tests/abi says at its end."""
    found = LAST.findall(text)
    passed, failed = map(int, found[-1]) if found else (0, 1)
    if status and not failed:
        failed = 1
    if failed:
        show(text[-8000:])
    return passed, failed, named(text) if failed else []


def _model(model, mistake):
    """Every state of a model, with one of its mistakes (0: none); => whether it is as it should be"""
    work = os.path.join(BUILD, "models", os.path.basename(model)[:-4])
    os.makedirs(work, exist_ok=True)
    status, text = run(["sh", "-c", "cd '%s' && spin -a -DBROKEN=%d '%s' && cc -O2 -w -DSAFETY -o pan "
                        "pan.c && ./pan -m1000000" % (work, mistake, model)], 600)
    if status == 0 and (("errors: 0" in text) if mistake == 0 else ("errors: 1" in text)):
        return True
    show("%s, mistake %d:\n%s" % (model, mistake, text))
    return False


def models():
    """The Spin models of the protocols in doc/, and that they find the mistakes they know of."""
    results = {}
    for model in sorted(glob.glob(os.path.join(TOP, "doc", "*.pml"))):
        with open(model, encoding="ascii") as file:
            mistakes = {int(n) for n in re.findall(r"BROKEN [!=]= (\d+)", file.read())}
        for mistake in sorted(mistakes | {0}):
            name = "%s, mistake %d" % (os.path.basename(model), mistake)
            results[name] = _model(model, mistake)
    bad = [name for name, good in results.items() if not good]
    return len(results) - len(bad), len(bad), bad


def abi_linux():
    """The Linux programs on Linux: what they ask for is what Linux does."""
    return _total(*run(["sh", "tests/abi/run-linux"], ABI_LIMIT_S))


def _abi_guest(cpus, *programs, period=DISK, options=()):
    status, text = run(["make", "-s", "abi"], 600)
    if status:
        return _total(status, text)
    with tempfile.TemporaryDirectory(prefix="holdfast-disk-") as folder:
        disk = ["--disk", os.path.join(folder, "state.img"), "--checkpoint", period]
        return _total(*run(
            [os.path.join(TOP, "holdfast"), "run", "--headless", "--base", "busybox",
             *(disk if period else []), *options,
             "--cpus", str(cpus), "--memory", "1G", "--timeout", str(ABI_LIMIT_S),
             "--add", os.path.join(TOP, "build", "abi") + ":/abi", "--kernel-args", "quiet",
             "--", "sh", "/abi/run-guest", *programs], ABI_LIMIT_S + 60))


def abi_1():
    """The same programs on Holdfast, one core."""
    return _abi_guest(1)


def abi_4():
    """The same programs on Holdfast, four cores."""
    return _abi_guest(4)


def sanitized():
    """Some of them on a kernel that checks all it does (SAN=1), with a checkpoint each 20 ms."""
    folder = os.path.join(BUILD, "san")
    kernel = os.path.join(folder, "holdfast.elf")
    status, text = run(["make", "--no-print-directory", "-s", "-j%d" % os.cpu_count(), "SAN=1",
                        "BUILD=" + folder, kernel], 1800)
    if status:
        return _total(status, text)
    return _abi_guest(2, *SANITIZED, period="20ms", options=["--kernel", kernel])


def _pytest(*files):
    report = os.path.join(BUILD, "tests", "report-%d.xml" % os.getpid())
    os.makedirs(os.path.dirname(report), exist_ok=True)
    # A machine that hangs costs each test that shares it a time limit: stop after some.
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider",
               "--tb=short", "--maxfail=12", "--durations=8", "--junitxml", report]
    done = subprocess.run(command + list(files), cwd=TOP, check=False, stdin=subprocess.DEVNULL)
    try:
        suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite")
        counts = suite.attrib
        os.unlink(report)
    except (OSError, AttributeError, xml.etree.ElementTree.ParseError):
        return 0, 1, ["pytest: no report (status %d)" % done.returncode]
    names = []
    for case in suite.iter("testcase"):
        for what in case.findall("failure") + case.findall("error"):
            names.append("%s::%s: %s" % (case.get("classname"), case.get("name"),
                                         what.get("message", "").split("\n")[0]))
    failed = int(counts["failures"]) + int(counts["errors"])
    passed = int(counts["tests"]) - failed - int(counts["skipped"])
    if done.returncode not in (0, 5) and not failed:
        failed, names = 1, ["pytest: status %d" % done.returncode]
    return passed, failed, names


def fuzz():
    """The readers of foreign data under libFuzzer, a fixed number of inputs."""
    status, text = make("fuzz-targets")
    if status:
        return _total(status, text)
    return _total(*run(["/usr/bin/python3", "tests/fuzz/run.py", "--runs", "20000"], 900))


def tools():
    """The command line and root images, without booting."""
    return _pytest(*["tests/system/" + name for name in QUICK])


def system():
    """Boots: a program, Erlang, Elixir, TCP, bad input."""
    files = sorted(glob.glob(os.path.join(TOP, "tests", "system", "test_*.py")))
    return _pytest(*[f for f in files if os.path.basename(f) not in QUICK])


def boot_gate():
    """20 boots to the shell and off again."""
    status, text = run(["/usr/bin/python3", "tests/system/boot_gate.py", "--count", "20"], 3600)
    return _total(status, text)


PARTS = {"host": host, "crashes": crashes, "fuzz": fuzz, "models": models, "tools": tools,
         "abi-linux": abi_linux, "abi-1": abi_1, "abi-4": abi_4, "sanitized": sanitized,
         "system": system, "boot-gate": boot_gate}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...",
                        help=", ".join(PARTS))
    names = parser.parse_args().only.split(",")
    unknown = [n for n in names if n not in PARTS]
    if unknown:
        parser.error("no part %s; there are %s" % (unknown[0], " ".join(PARTS)))
    if shutil.which("qemu-system-x86_64") is None:
        parser.error("qemu-system-x86_64 is missing: make deps")
    total = [0, 0]
    failures = []
    for name in names:
        start = time.monotonic()
        passed, failed, what = PARTS[name]()
        failures += ["%s: %s" % (name, line) for line in what]
        show("%-10s %d passed, %d failed (%d s)" % (name + ":", passed, failed,
                                                   time.monotonic() - start))
        total[0] += passed
        total[1] += failed
    for line in failures:
        show("failed: " + line[:200])
    show("%d passed, %d failed" % tuple(total))
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
