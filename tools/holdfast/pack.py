"""Which root image a command line asks for, and the cache of images.

An image is named by a hash of all that decides its contents, so the
second run of the same command finds it at once.
"""
import glob
import hashlib
import json
import os
import shutil

from . import BUILD, TOP, cpio, debs, rootfs, sets
from .errors import WrongUse, say

IMAGES = os.path.join(BUILD, "images")
KEPT = 24
# The modules that decide what an image holds.
MAKERS = ("cpio", "debs", "elf", "pack", "release", "rootfs", "sets", "tree", "trims")


def _walk(path, out):
    """Describe a file or folder of the host by name, size and time."""
    info = os.lstat(path)
    out.append([path, info.st_mode, info.st_size, info.st_mtime_ns])
    if os.path.islink(path):
        out.append(os.readlink(path))
    elif os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            _walk(os.path.join(path, name), out)


def _key(recipe, versions):
    parts = [recipe.base, recipe.packages, versions, recipe.adds, recipe.command()]
    sources = [os.path.join(TOP, "tools", "holdfast", name + ".py") for name in MAKERS]
    sources += glob.glob(os.path.join(TOP, "erlang", "src", "*"))
    for path in sorted(sources):
        with open(path, "rb") as file:
            parts.append(hashlib.sha256(file.read()).hexdigest())
    given = [recipe.release_dir, recipe.tree] + [os.path.realpath(s) for s, _ in recipe.adds]
    for path in given:
        if path is not None and os.path.exists(path):
            _walk(path, parts)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _forget_old():
    images = sorted(glob.glob(os.path.join(IMAGES, "*.cpio")), key=os.path.getmtime)
    for path in images[:-KEPT]:
        os.unlink(path)


def image(recipe):
    """Path of the image a recipe gives, packed now if need be."""
    rootfs.check(recipe)
    versions = debs.resolve(recipe.base_packages(), recipe.packages, sets.SCRIPTS,
                            sets.OPTIONAL)
    path = os.path.join(IMAGES, _key(recipe, versions)[:32] + ".cpio")
    if os.path.exists(path):
        os.utime(path)
        return path
    say("packing the root image")
    tree = rootfs.build(recipe, versions)
    os.makedirs(IMAGES, exist_ok=True)
    cpio.write(path, tree.entries)
    _forget_old()
    say("packed %d entries, %.1f MiB" % (len(tree.entries), os.path.getsize(path) / 2**20))
    return path


def pack(recipe, output):
    """The `pack` command: leave the image at `output`."""
    folder = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(folder):
        raise WrongUse("%s: no such directory" % folder)
    if os.path.isdir(output):
        raise WrongUse("%s is a directory; give a file name" % output)
    made = image(recipe)
    temp = "%s.%d.part" % (output, os.getpid())
    try:
        shutil.copyfile(made, temp)
        os.replace(temp, output)
    except OSError as error:
        if os.path.exists(temp):
            os.unlink(temp)
        raise WrongUse("%s: %s" % (output, error.strerror)) from error
