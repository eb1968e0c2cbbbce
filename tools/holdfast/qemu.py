"""QEMU's command line for a machine."""
import os
import re
import shutil

from .errors import NoQemu, WrongUse

QEMU = "qemu-system-x86_64"
MIB = 1 << 20
# How a disk is attached: QEMU's device, and what the kernel calls it.
DISKS = {"virtio-blk": ("virtio-blk-pci", "vda"), "ahci": ("ide-hd", "sda"),
         "nvme": ("nvme,serial=holdfast", "nvme0n1")}


class Machine:
    """The machine that a user asks for; `args` in qemu_command's terms."""

    def __init__(self):
        self.cpus = 1
        self.memory = 512 * MIB
        self.clusters = 1
        self.accel = "tcg"
        self.ports = []         # (address, host port, guest port, protocol)
        self.netdev = None      # QEMU's own words instead of user networking
        self.kernel = None
        self.append = ""
        self.image = None
        self.arch_info = None   # a second boot module
        self.files = {}         # fw_cfg name: file
        self.control = "null"   # chardev of the second serial port
        self.monitor = None     # descriptor of the machine monitor, or None
        self.disk = None        # path of a raw image, or QEMU's name for one
        self.disk_bus = "virtio-blk"
        self.disk_how = "aio=threads"   # QEMU's words for how it is read and written
        self.extra = []


def program():
    """=> raises NoQemu when it is not installed"""
    found = shutil.which(os.environ.get("HOLDFAST_QEMU", QEMU))
    if found is None:
        raise NoQemu("%s is missing; install it (make deps)" % QEMU)
    return found


def size(text):
    """Bytes of a size like 512M, 2G or 262144K; plain numbers are MiB."""
    found = re.fullmatch(r"(\d+)([KMGkmg]?)", text)
    if not found:
        raise WrongUse("--memory %s: give a size such as 512M or 2G" % text)
    unit = {"K": 1 << 10, "": MIB, "M": MIB, "G": 1 << 30}[found.group(2).upper()]
    return int(found.group(1)) * unit


def _escaped(text):
    """A value inside QEMU's comma separated options."""
    return text.replace(",", ",,")


def _processors(machine):
    if machine.clusters > 1 and machine.cpus % machine.clusters == 0:
        return ["-smp", "%d,sockets=%d,cores=%d,threads=1" % (
            machine.cpus, machine.clusters, machine.cpus // machine.clusters)]
    return ["-smp", str(machine.cpus)]


def _clusters(machine):
    """One NUMA node a cluster, with its share of processors and memory."""
    if machine.clusters == 1:
        return []
    out = []
    share = machine.memory // machine.clusters // MIB * MIB
    first_cpu = 0
    for node in range(machine.clusters):
        last = node == machine.clusters - 1
        memory = machine.memory - share * node if last else share
        after = machine.cpus * (node + 1) // machine.clusters
        cpus = "%d-%d" % (first_cpu, after - 1) if after - 1 > first_cpu else str(first_cpu)
        out += ["-object", "memory-backend-ram,id=ram%d,size=%d" % (node, memory),
                "-numa", "node,nodeid=%d,cpus=%s,memdev=ram%d" % (node, cpus, node)]
        first_cpu = after
    return out


def _network(machine):
    if machine.netdev == "none":
        return []
    netdev = machine.netdev
    if netdev is None:
        netdev = "user" + "".join(",hostfwd=%s:%s:%d-:%d" % (proto, address, host, guest)
                                  for address, host, guest, proto in machine.ports)
    kind, _, rest = netdev.partition(",")
    return ["-netdev", ",".join(x for x in (kind, "id=net0", rest) if x),
            "-device", "virtio-net-pci,netdev=net0,mq=on,romfile="]


def _disk(machine):
    if machine.disk is None:
        return []
    return ["-drive", "id=disk0,if=none,format=raw,discard=unmap,%s,file=%s"
            % (machine.disk_how, _escaped(machine.disk)),
            "-device", DISKS[machine.disk_bus][0] + ",drive=disk0"]


def command(machine):
    """The whole command line as a list."""
    accel = "tcg,thread=multi" if machine.accel == "tcg" else machine.accel
    out = [program(), "-machine", "q35", "-cpu", "max", "-accel", accel,
           "-m", "%dK" % (machine.memory >> 10), *_processors(machine), *_clusters(machine),
           "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
           "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
           "-chardev", machine.control + ",id=control", "-serial", "chardev:control",
           *_network(machine), *_disk(machine), "-kernel", machine.kernel]
    if machine.append:
        out += ["-append", machine.append]
    if machine.image is not None:
        out += ["-initrd", ",".join(filter(None, (machine.image, machine.arch_info)))]
    for name, path in sorted(machine.files.items()):
        out += ["-fw_cfg", "name=%s,file=%s" % (name, _escaped(path))]
    if machine.monitor is not None:
        out += ["-chardev", "socket,id=monitor,fd=%d" % machine.monitor,
                "-mon", "chardev=monitor,mode=control"]
    return out + machine.extra
