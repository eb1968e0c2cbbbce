"""Does KVM really run a guest here, and may QEMU use io_uring?

/dev/kvm may exist, open and yet hang, so a guest is run: a BIOS whose
first instructions write to QEMU's exit port. Without the expected exit
status within the limit KVM is not used. io_uring may be missing in QEMU,
or the host may forbid it, so QEMU is started with a file that it is to
open so. Answers hold until the host is booted again and are kept in the
cache, for each QEMU.
"""
import hashlib
import os
import signal
import subprocess
import tempfile
import time

from . import CACHE

LIMIT_S = 2.0
EXIT_PORT = 0xF4
EXIT_VALUE = 0x10

# At the reset vector, in real mode: mov dx, port; mov al, value;
# out dx, al; 1: hlt; jmp 1b
_CODE = bytes([0xBA, EXIT_PORT, 0x00, 0xB0, EXIT_VALUE, 0xEE, 0xF4, 0xEB, 0xFD])


def probe_bios():
    """64 KiB that end at 4 GiB, where an x86 processor starts."""
    return b"\xf4" * 0xFFF0 + _CODE.ljust(16, b"\xf4")


def probe_command(qemu, bios, accel):
    return [qemu, "-machine", "q35", "-accel", accel, "-cpu", "max", "-m", "16",
            "-nodefaults", "-no-user-config", "-display", "none", "-bios", bios,
            "-device", "isa-debug-exit,iobase=%#x,iosize=1" % EXIT_PORT]


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


def runs_guest(qemu, accel="kvm", limit_s=LIMIT_S):
    """=> returns None if it does, else the reason in a few words"""
    with tempfile.TemporaryDirectory(prefix="holdfast-") as work:
        bios = os.path.join(work, "probe.bin")
        with open(bios, "wb") as file:
            file.write(probe_bios())
        process = subprocess.Popen(probe_command(qemu, bios, accel), start_new_session=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        end = time.monotonic() + limit_s
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        if process.poll() is None:
            kill_group(process)
            return "a test guest gave no answer in %g s" % limit_s
        if process.returncode != EXIT_VALUE << 1 | 1:
            return "QEMU cannot start a guest with it"
    return None


def _boot_id():
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def _remembered(what, qemu, ask):
    """What `ask` returned for this QEMU since the host was booted."""
    program = hashlib.sha256(os.path.realpath(qemu).encode()).hexdigest()[:16]
    path = os.path.join(CACHE, "%s-%s-%s" % (what, program, _boot_id()))
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        pass
    answer = ask(qemu)
    os.makedirs(CACHE, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=CACHE, delete=False, encoding="utf-8") as file:
        file.write(answer)
    os.replace(file.name, path)     # others may be looking
    return answer


def why_not_kvm(qemu):
    """=> returns None if KVM is to be used, else the reason"""
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "you may not open /dev/kvm"
    return _remembered("kvm", qemu, lambda qemu: runs_guest(qemu) or "") or None


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
    return _remembered("ring", qemu, lambda qemu: "yes" if opens_by_ring(qemu) else "no") == "yes"
