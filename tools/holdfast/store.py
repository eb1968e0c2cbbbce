"""The `store` command: look into a disk's store, check it, take files out, without booting."""
import argparse
import datetime
import os
import re
import subprocess
import sys

from . import BUILD, qemu
from .errors import Failure, WrongUse, say

PROGRAM = os.path.join(BUILD, "holdfast-store")
UNITS = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))
# What QEMU finds by itself, and not under a path.
PROTOCOL = re.compile(r"[a-z][a-z0-9+-]+:")
# --checkpoint none: the disk is the programs'.
NO_CHECKPOINTS = -1
# A store needs as much.
SMALLEST = 8 << 20
# What holdfast-store says of a disk that holds none.
NO_STORE = "there is no store on it"
# Processes that `info` names, the largest first.
NAMED = 20


def _program():
    if not os.access(PROGRAM, os.X_OK):
        raise WrongUse("%s is missing; build it first (make)" % PROGRAM)
    return PROGRAM


def _call(*words):
    """=> returns (exit status, lines); raises what the user can put right"""
    done = subprocess.run([_program(), *words], check=False, capture_output=True,
                          encoding="utf-8", errors="replace")
    if done.returncode not in (0, 1):
        raise WrongUse(done.stderr.strip() or "holdfast-store failed (%d)" % done.returncode)
    return done.returncode, done.stdout.splitlines()


def human(count):
    """1536 is 1.5K"""
    for unit, letter in UNITS:
        if count >= unit:
            return ("%.1f" % (count / unit)).rstrip("0").rstrip(".") + letter
    return "%dB" % count


def _counted(count, noun):
    """1 process, 2 processes"""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return "%d %s" % (count, noun if count == 1 else plural)


def _when(nanoseconds):
    if not nanoseconds:
        return "at an unknown time"
    moment = datetime.datetime.fromtimestamp(nanoseconds / 1e9).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _epoch_line(words):
    """One epoch, for people."""
    number = {name: int(value) for name, value in zip(words[2::2], words[3::2])}
    out = "epoch %s  %s  %s in %s" % (
        words[1], _when(number["time"]), human(number["bytes"]),
        _counted(number["items"], "item"))
    if number["processes"]:
        out += ", " + _counted(number["processes"], "process")
    if number["files"]:
        out += ", %s with %s" % (_counted(number["files"], "file"), human(number["file_bytes"]))
    return out


def _inside(number, lines):
    """What is in the shown epoch."""
    print("in epoch %s:" % number)
    processes = sorted(([line.split(None, 3)[1:] for line in lines
                         if line.startswith("process ")]), key=lambda words: -int(words[1]))
    for pid, count, name in processes[:NAMED]:
        print("  process %s  %s  %s" % (pid, name, human(int(count))))
    if len(processes) > NAMED:
        print("  and %s more with %s" % (
            _counted(len(processes) - NAMED, "process"),
            human(sum(int(words[1]) for words in processes[NAMED:]))))
    for line in lines:
        words = line.split(None, 1)
        if words[0] == "files":
            count, size_ = words[1].split()
            print("  %s with %s" % (_counted(int(count), "file"), human(int(size_))))
        elif words[0] == "broken":
            print("  " + words[1])
        elif words[0] == "ended":
            print("  its program had ended: the next start has the files, not the processes")


def info(options):
    _, lines = _call("info", options.file, str(options.epoch or 0))
    of_epochs = ("epoch ", "process ", "files ", "ended", "broken ")
    fields = dict(line.split(None, 1) for line in lines if not line.startswith(of_epochs))
    epochs = [line.split() for line in lines if line.startswith("epoch ")]
    print("store %s" % fields["uuid"])
    print("made   %s" % _when(int(fields["created"])))
    print("size   %s, %s in use" % (human(int(fields["bytes"])), human(int(fields["used"]))))
    if int(fields["attempts"]):
        print("the last epoch was resumed %s times and did not get to the next"
              % fields["attempts"])
    for words in reversed(epochs):
        print(_epoch_line(words))
    if not epochs:
        print("nothing has been committed yet")
        return 0
    _inside(epochs[-1][1], lines)
    return 0


def check(options):
    status, lines = _call("check", options.file, str(options.epoch or 0))
    faults = [line.split(None, 1)[1] for line in lines if line.startswith("fault ")]
    fields = dict(line.split(None, 1) for line in lines if not line.startswith("fault "))
    for fault in faults:
        print(fault)
    if status:
        raise Failure("%s: epoch %s has %s" % (
            options.file, fields["epoch"], _counted(len(faults), "fault")))
    print("epoch %s is right: %s with %s, %s on the disk" % (
        fields["epoch"], _counted(int(fields["items"]), "item"), human(int(fields["bytes"])),
        human(int(fields["used"]))))
    return 0


def _exported(line, shown):
    """A line of holdfast-store, for people; => whether a line of progress is on the screen"""
    word, text = line.split(None, 1)
    if word == "progress":
        if not sys.stderr.isatty():
            return False
        files, count = map(int, text.split())
        sys.stderr.write("\r\033[K%s, %s" % (_counted(files, "name"), human(count)))
        sys.stderr.flush()
        return True
    if shown:
        sys.stderr.write("\r\033[K")
    if word == "done":
        files, count, _ = map(int, text.split())
        print("%s with %s" % (_counted(files, "name"), human(count)))
    else:
        say(text)
    return False


def export(options):
    words = [_program(), "export", options.file, str(options.epoch or 0), options.path,
             options.to] + (["force"] if options.force else [])
    shown, faults = False, 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", errors="replace") as process:
        for line in process.stdout:
            faults += line.startswith("fault ")
            shown = _exported(line.rstrip("\n"), shown)
        why = process.stderr.read().strip()
    if process.returncode == 2:
        raise WrongUse(why)
    if process.returncode not in (0, 1):
        raise Failure(why or "holdfast-store failed (%d)" % process.returncode)
    if process.returncode:
        raise Failure("%s: %s; all else is in %s" % (
            options.file, _counted(faults, "fault"), options.to))
    return 0


COMMANDS = {"info": info, "check": check, "export": export}


def size(text):
    """Bytes of a size like 512M or 4G."""
    found = re.fullmatch(r"(\d+)([KMGTkmgt]?)", text)
    count = int(found.group(1)) if found else 0
    for unit, letter in UNITS:
        if found and found.group(2).upper() == letter:
            count *= unit
    if count < SMALLEST:
        raise WrongUse("--disk-size %s: give a size such as 512M or 4G, at least 8M" % text)
    return count - count % 4096


def period(text):
    """Milliseconds of a period such as 1s or 100ms; 0: only when asked; NO_CHECKPOINTS:
    the disk is the programs'."""
    if text == "none":
        return NO_CHECKPOINTS
    found = re.fullmatch(r"(\d+)(ms|s)", text)
    count = int(found.group(1)) * (1000 if found.group(2) == "s" else 1) if found else 0
    if text != "off" and not 1 <= count <= 86400000:
        raise argparse.ArgumentTypeError("%r is no period: give 1s, 100ms, off or none" % text)
    return count


def request(options):
    """What the kernel is told of its disk; None: nothing."""
    if options.disk is None:
        for value, name in ((options.checkpoint, "--checkpoint"), (options.fresh or None, "--fresh"),
                            (options.epoch, "--epoch")):
            if value is not None:
                raise WrongUse("%s needs --disk FILE" % name)
        return None
    if options.checkpoint == NO_CHECKPOINTS:
        return None
    every = 1000 if options.checkpoint is None else options.checkpoint
    words = ["disk=" + qemu.DISKS[options.disk_bus][1], "period=%d" % every]
    if options.epoch is not None:
        words.append("epoch=%d" % options.epoch)
    if options.fresh:
        words.append("fresh=1")
    return " ".join(words).encode()


def opens_direct(path):
    """Whether that file's file system reads and writes it past the host's page cache."""
    if not hasattr(os, "O_DIRECT"):
        return False
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except FileNotFoundError:       # --dry-run: it is made only when a machine starts
        return True
    except OSError:
        return False
    return True


def disk(path, wanted):
    """Makes a sparse file where there is none; => raises WrongUse when it cannot be a disk."""
    if PROTOCOL.match(path):
        if wanted:
            raise WrongUse("--disk-size is for a file, and %s is none" % path)
        return
    try:
        if os.path.exists(path):
            if wanted and os.path.isfile(path) and os.path.getsize(path) != size(wanted):
                raise WrongUse("--disk-size is for a new disk, and %s is there already with %s"
                               % (path, human(os.path.getsize(path))))
            if os.path.isdir(path) or not os.access(path, os.R_OK | os.W_OK):
                raise WrongUse("--disk %s: not a file that can be written to" % path)
            return
        bytes_ = size(wanted or "4G")
        with open(path, "xb") as file:
            file.truncate(bytes_)
    except OSError as error:
        raise WrongUse("--disk %s: %s" % (path, error.strerror)) from error


def _contents(lines):
    """What would be lost, in a few words."""
    processes = sum(line.startswith("process ") for line in lines)
    files = [line.split() for line in lines if line.startswith("files ")]
    out = _counted(processes, "process")
    if files:
        out += " and %s with %s" % (_counted(int(files[0][1]), "file"), human(int(files[0][2])))
    return out


def wipe(options):
    """Forgets everything on the disk, if that is what the user wants."""
    if not options.wipe:
        if options.yes:
            raise WrongUse("--yes goes with --wipe")
        return
    if not options.fresh or options.disk is None:
        raise WrongUse("--wipe goes with --fresh and --disk FILE")
    if PROTOCOL.match(options.disk):
        raise WrongUse("--wipe is for a file, and %s is none" % options.disk)
    if not os.path.exists(options.disk) or options.dry_run:
        return
    if options.epoch is not None or options.checkpoint == 0:
        raise WrongUse("--wipe leaves no epoch to go on from, and needs checkpoints")
    try:
        _, lines = _call("info", options.disk, "0")
        what = _contents(lines)
    except WrongUse as why:
        if NO_STORE in str(why):
            return
        what = "what is on it, which cannot be read"
    _ask("%s: forget %s?" % (options.disk, what), options.yes)
    _call("wipe", options.disk)


def _ask(question, yes):
    """=> returns only if the answer is yes"""
    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUse("--wipe asks, and there is no terminal to answer: --yes does")
    sys.stderr.write("holdfast: %s [y/N] " % question)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("nothing was changed")
