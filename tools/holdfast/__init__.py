"""Host side of Holdfast: what `./holdfast` does, one step per module.

cli.py      reads the command line and calls one of the commands
pack.py     which root image a command line asks for; the image cache
rootfs.py   puts a root tree together; sets.py and trims.py are its data
debs.py     Debian packages: resolve, download, read
tree.py     a root tree in memory; cpio.py writes it as an image
release.py  recognises mix, rebar3 and Gleam releases
store.py    looks into a disk's store, by the program of tools/store
run.py      starts QEMU and waits; qemu.py its command line,
accel.py    the KVM probe, terminal.py and channels.py its ends

Nothing here imports anything outside Python's standard library.
"""
import os

VERSION = "0.1.0"

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.environ.get("HOLDFAST_BUILD") or os.path.join(TOP, "build")
CACHE = os.path.join(BUILD, "cache")
KERNEL = os.path.join(BUILD, "holdfast-pvh.elf")
# By PVH QEMU hands over one module alone.
KERNEL_FOR_MODULES = os.path.join(BUILD, "holdfast.elf")
