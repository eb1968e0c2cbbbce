"""Does KVM really run a guest here, and may QEMU use io_uring?

/dev/kvm may exist, open and yet hang; or run a few instructions and end
what does more, as one without the processor's help may. So the kernel is
started on it, without a root image: it has to come up within the limit,
with two processors, and to switch itself off. io_uring may be missing in
QEMU, or the host may forbid it, so QEMU is started with a file that it is
to open so. Answers hold until the host is booted again and are kept in
the cache, for each QEMU and kernel.
"""
import hashlib
import os
import signal
import subprocess
import tempfile
import time

from . import CACHE

LIMIT_S = 2.0
CAME_UP = b"boot: D7 done"      # the last line before user programs


def probe_command(qemu, kernel, accel):
    return [qemu, "-machine", "q35", "-accel", accel, "-cpu", "max", "-smp", "2", "-m", "64",
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-serial", "stdio", "-kernel", kernel]


def kill_group(process, patience_s=0.5):
    """Kill a process group for good; leave it behind if it cannot die."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()  # It leads no group of its own.
    end = time.monotonic() + patience_s
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    return process.poll() is not None


def runs_guest(qemu, kernel, accel="kvm", limit_s=LIMIT_S):
    """=> returns None if it does, else the reason in a few words"""
    with tempfile.TemporaryFile(prefix="holdfast-") as console:
        process = subprocess.Popen(probe_command(qemu, kernel, accel), start_new_session=True,
                                   stdin=subprocess.DEVNULL, stdout=console,
                                   stderr=subprocess.DEVNULL)
        end = time.monotonic() + limit_s
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        if process.poll() is None:
            kill_group(process)
            return "a test guest gave no answer in %g s" % limit_s
        if process.returncode != 0:
            return "QEMU cannot start a guest with it"
        if CAME_UP not in os.pread(console.fileno(), 1 << 16, 0):
            return "a test guest died on it"
    return None


def _boot_id():
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def _remembered(what, of, ask):
    """What `ask` returned for these words since the host was booted."""
    digest = hashlib.sha256("\n".join(of).encode()).hexdigest()[:16]
    path = os.path.join(CACHE, "%s-%s-%s" % (what, digest, _boot_id()))
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        pass
    answer = ask()
    os.makedirs(CACHE, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=CACHE, delete=False, encoding="utf-8") as file:
        file.write(answer)
    os.replace(file.name, path)     # others may be looking
    return answer


def why_not_kvm(qemu, kernel):
    """`kernel`: one of ours => returns None if KVM is to be used, else the reason"""
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "you may not open /dev/kvm"
    if not os.path.isfile(kernel):
        return "no kernel is built to try it with"
    built = "%s %d" % (os.path.realpath(kernel), os.stat(kernel).st_mtime_ns)
    return _remembered("kvm", (os.path.realpath(qemu), built),
                       lambda: runs_guest(qemu, kernel) or "") or None


def opens_by_ring(qemu, limit_s=LIMIT_S):
    """Whether QEMU opens a file for io_uring."""
    with tempfile.NamedTemporaryFile(prefix="holdfast-") as file:
        file.truncate(1 << 20)
        process = subprocess.Popen([qemu, "-machine", "none", "-nodefaults", "-no-user-config",
                                    "-display", "none", "-monitor", "stdio", "-drive",
                                    "if=none,format=raw,aio=io_uring,file=" + file.name],
                                   start_new_session=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.communicate(b"quit\n", limit_s)
        except subprocess.TimeoutExpired:
            kill_group(process)
        return process.returncode == 0


def has_ring(qemu):
    """Whether QEMU is to use io_uring for a file."""
    return _remembered("ring", (os.path.realpath(qemu),),
                       lambda: "yes" if opens_by_ring(qemu) else "no") == "yes"
