"""Boots Debian's cloud kernel with the same root image and QEMU flags.

`run --kernel linux` is for the tests, which take Linux as the oracle, and
for the bench. The kernel's package is downloaded like those of the root
and never installed. Linux gets a second archive after the root image:
our init (tools/linux/init.c), the modules it needs, the command.
"""
import io
import os
import re
import subprocess

from . import BUILD, CACHE, TOP, cpio, debs
from .errors import Failure
from .tree import Entry, Tree

META = "linux-image-cloud-amd64"
# In the order in which they have to be loaded.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev",
           "virtio_pci", "failover", "net_failover", "virtio_net", "evdev", "button")
APPEND = "console=ttyS0 quiet loglevel=3 rdinit=/holdfast/init panic=-1"


def _unpack():
    """(kernel file, {module: bytes}) from the package, cached as files."""
    folder = os.path.join(CACHE, "linux")
    versions = debs.resolve([], [META], ("linux-base", "kmod", "initramfs-tools"), ())
    name = next(n for n in versions if re.match(r"linux-image-\d", n))
    kernel = os.path.join(folder, name)
    if not os.path.exists(kernel):
        debs.fetch({name: versions[name]})
        os.makedirs(folder, exist_ok=True)
        for path, entry in debs.read(name, versions[name]):
            base = os.path.basename(path)
            if path.startswith("boot/vmlinuz"):
                image = entry.read()
            elif base.endswith(".ko") and base[:-3] in MODULES:
                with open(os.path.join(folder, base), "wb") as file:
                    file.write(entry.read())
        with open(kernel + ".new", "wb") as file:
            file.write(image)
        os.replace(kernel + ".new", kernel)
    modules = {}
    for module in MODULES:
        path = os.path.join(folder, module + ".ko")
        if os.path.exists(path):
            with open(path, "rb") as file:
                modules[module] = file.read()
    return kernel, modules


def _init():
    """Our init for Linux, compiled when its source is newer."""
    source = os.path.join(TOP, "tools", "linux", "init.c")
    program = os.path.join(BUILD, "linux", "init")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        os.makedirs(os.path.dirname(program), exist_ok=True)
        done = subprocess.run(["gcc", "-O2", "-static", "-w", "-o", program, source],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure("tools/linux/init.c does not compile: " + done.stderr)
    with open(program, "rb") as file:
        return file.read()


def overlay(contents):
    """The archive that follows the root image, as bytes."""
    _, modules = _unpack()
    tree = Tree()
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.entries.pop(name)
        tree.entries.pop("usr/" + name)
    tree.entries.pop("usr")
    tree.write("holdfast/init", _init(), 0o755)
    with open(os.path.join(TOP, "tools", "linux", "dhcp"), "rb") as file:
        tree.write("holdfast/dhcp", file.read(), 0o755)
    for number, module in enumerate(MODULES):
        if module in modules:
            tree.write("holdfast/modules/%02d-%s.ko" % (number, module), modules[module])
    for name, data in contents.items():
        tree.write("holdfast/" + name, data)
    tree.put("dev/console", Entry("c", 0o600, rdev=(5, 1)))
    out = io.BytesIO()
    cpio.write_to(out, tree.entries)
    return out.getvalue()


def prepare(machine, contents, work):
    """Turn a Holdfast machine into the Linux machine that is its like."""
    machine.kernel, _ = _unpack()
    machine.append = (APPEND + " " + machine.append).strip()
    joined = os.path.join(work, "initrd")
    with open(joined, "wb") as out:
        with open(machine.image, "rb") as root:
            while True:
                block = root.read(1 << 20)
                if not block:
                    break
                out.write(block)
        out.write(overlay(contents))
    machine.image = joined
