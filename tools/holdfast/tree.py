"""A root tree in memory: paths and where their contents come from.

Paths have no leading slash. /bin, /sbin, /lib and /lib64 are links into
/usr, and every path given to a tree is folded the same way, so a package
that ships /bin/busybox and one that ships /usr/bin/busybox agree.
A later entry replaces an earlier one at the same path.
"""
import hashlib
import os
import posixpath
import stat

from .errors import WrongUse

# Files that did not come out of a package get this time stamp, so that
# the same contents always give the same image.
EPOCH = 1704067200

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class Entry:
    """One file, directory, symbolic link or device of a tree."""

    __slots__ = ("kind", "mode", "mtime", "size", "source", "rdev")

    def __init__(self, kind, mode, source=None, size=0, mtime=EPOCH, rdev=(0, 0)):
        self.kind = kind      # 'd', 'f', 'l' or 'c'
        self.mode = mode      # permission bits only
        self.source = source  # bytes, or (path, offset); of a link, its target
        self.size = size
        self.mtime = mtime
        self.rdev = rdev

    def read(self):
        """The contents, or a link's target, as bytes."""
        if self.kind == "l":
            return self.source.encode()
        if self.kind != "f":
            return b""
        if isinstance(self.source, bytes):
            return self.source
        path, offset = self.source
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise WrongUse("%s changed while it was being packed" % path)
        return data


def fold(path):
    """A path as the tree names it."""
    path = posixpath.normpath("/" + path).lstrip("/")
    first, _, rest = path.partition("/")
    if first in MERGED and rest:
        return "usr/" + path
    return path


class Tree:
    """Maps folded paths to entries."""

    def __init__(self):
        self.entries = {}
        for name in ("bin", "sbin", "lib", "lib64"):
            self.mkdir("usr/" + name)
            self.entries[name] = Entry("l", 0o777, "usr/" + name)

    def __contains__(self, path):
        return fold(path) in self.entries

    def get(self, path):
        return self.entries.get(fold(path))

    def put(self, path, entry):
        """Add an entry and the directories above it."""
        path = fold(path)
        if not path or path in MERGED:
            return
        old = self.entries.get(path)
        if entry.kind == "d" and old is not None and old.kind in "dl":
            if old.kind == "d":
                old.mode = entry.mode
            return
        self._parents(path)
        self.entries[path] = entry

    def _parents(self, path):
        parent = posixpath.dirname(path)
        while parent and parent not in self.entries:
            self.entries[parent] = Entry("d", 0o755)
            parent = posixpath.dirname(parent)

    def mkdir(self, path, mode=0o755):
        self.put(path, Entry("d", mode))

    def write(self, path, data, mode=0o644):
        if isinstance(data, str):
            data = data.encode()
        self.put(path, Entry("f", mode, data, len(data)))

    def symlink(self, path, target):
        self.put(path, Entry("l", 0o777, target))

    def remove(self, path):
        self.entries.pop(fold(path), None)

    def add_host(self, source, dest):
        """Add a file or folder of the host at `dest`."""
        try:
            info = os.lstat(source)
        except OSError as error:
            raise WrongUse("%s: %s" % (source, error.strerror)) from error
        if stat.S_ISLNK(info.st_mode):
            self.symlink(dest, os.readlink(source))
        elif stat.S_ISDIR(info.st_mode):
            self.mkdir(dest, stat.S_IMODE(info.st_mode))
            for name in sorted(os.listdir(source)):
                self.add_host(os.path.join(source, name), posixpath.join(dest, name))
        elif stat.S_ISREG(info.st_mode):
            mode = stat.S_IMODE(info.st_mode)
            self.put(dest, Entry("f", mode, (os.path.abspath(source), 0), info.st_size))

    def resolve(self, path, depth=20):
        """Follow symbolic links inside the tree; None if it leads nowhere."""
        done = ""
        parts = [p for p in path.split("/") if p]
        while parts:
            part = parts.pop(0)
            if part == "..":
                done = posixpath.dirname(done)
                continue
            if part == ".":
                continue
            here = posixpath.join(done, part)
            entry = self.entries.get(here)
            if entry is None:
                return None
            if entry.kind != "l":
                done = here
                continue
            depth -= 1
            if depth < 0:
                return None
            if entry.source.startswith("/"):
                done = ""
            parts = [p for p in entry.source.split("/") if p] + parts
        return done

    def prune(self, wanted):
        """Keep what `wanted(path)` accepts, and no directory left empty by it."""
        gone = [p for p, e in self.entries.items() if e.kind != "d" and not wanted(p)]
        for path in gone:
            del self.entries[path]
        full = set()
        for path in self.entries:
            if self.entries[path].kind != "d":
                while path:
                    path = posixpath.dirname(path)
                    full.add(path)
        touched = {posixpath.dirname(p) for p in gone}
        while touched:
            path = touched.pop()
            if path and path not in full and path in self.entries:
                del self.entries[path]
                touched.add(posixpath.dirname(path))

    def digest(self):
        """A hash that changes with anything in the tree."""
        out = hashlib.sha256()
        for path in sorted(self.entries):
            entry = self.entries[path]
            out.update(("%s\0%s\0%o\0%d\0%s\0" % (
                path, entry.kind, entry.mode, entry.size, entry.rdev)).encode())
            out.update(hashlib.sha256(entry.read()).digest())
        return out.hexdigest()
