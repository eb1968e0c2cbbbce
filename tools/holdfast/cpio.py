"""Root images: cpio archives in the newc format, with aligned data.

The contents of every file of a page or more begin at a multiple of 4096
bytes, so that the kernel can use them in place. The room in front comes
from NUL bytes that follow the file's name and are counted in c_namesize;
every reader of newc skips them. Small entries are put into those gaps.
The same tree always gives the same bytes.
"""
import os
import tempfile

PAGE = 4096
HEADER = 110
# Linux skips an entry whose name, padding included, is longer than this.
NAME_MAX = 4096

TYPES = {"d": 0o040000, "f": 0o100000, "l": 0o120000, "c": 0o020000}


def _up4(n):
    return (n + 3) & ~3


class Writer:
    """Writes entries one after the other and keeps the offset."""

    def __init__(self, file):
        self.file = file
        self.offset = 0
        self.inode = 0

    def _header(self, mode, size, mtime, rdev, namesize):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 2 if mode & 0o040000 == mode & 0o170000 else 1,
                  mtime, size, 0, 0, rdev[0], rdev[1], namesize, 0)
        return b"070701" + b"".join(b"%08X" % f for f in fields)

    def entry(self, path, entry, namesize=0):
        name = path.encode()
        namesize = max(namesize, len(name) + 1)
        data = entry.read()
        mode = TYPES[entry.kind] | entry.mode
        head = self._header(mode, len(data), entry.mtime, entry.rdev, namesize)
        head += name.ljust(_up4(HEADER + namesize) - HEADER, b"\0")
        self.file.write(head)
        self.file.write(data.ljust(_up4(len(data)), b"\0"))
        self.offset += len(head) + _up4(len(data))

    def trailer(self):
        name = b"TRAILER!!!\0"
        head = b"070701" + b"".join(
            b"%08X" % f for f in (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(name), 0))
        self.file.write((head + name).ljust(_up4(HEADER + len(name)), b"\0"))
        self.offset += _up4(HEADER + len(name))
        self.file.write(b"\0" * (-self.offset % PAGE))


def _gap(offset, name_len):
    """How many bytes are missing to a page between a header and its data."""
    return -(offset + HEADER + name_len + 1) % PAGE


def _cost(path, entry):
    length = len(entry.source.encode()) if entry.kind == "l" else entry.size
    return _up4(HEADER + len(path.encode()) + 1) + _up4(length)


def write_to(file, entries):
    """Write a map of path to entry as one archive."""
    out = Writer(file)
    dirs = sorted(p for p in entries if entries[p].kind == "d")
    large = sorted(p for p in entries if entries[p].kind == "f" and entries[p].size >= PAGE)
    chosen = set(dirs) | set(large)
    small = sorted((p for p in entries if p not in chosen),
                   key=lambda p: (-_cost(p, entries[p]), p))
    for path in dirs:
        out.entry(path, entries[path])
    for path in large:
        name_len = len(path.encode())
        small = _fill_gap(out, entries, small, name_len)
        gap = _gap(out.offset, name_len)
        if name_len + 1 + gap > NAME_MAX:
            # Too long a name: move on by repeating a directory.
            first = entries[dirs[0]]
            out.entry(dirs[0], first, NAME_MAX - 2 * HEADER)
            gap = _gap(out.offset, name_len)
        out.entry(path, entries[path], name_len + 1 + gap)
        assert (out.offset - _up4(entries[path].size)) % PAGE == 0
    for path in small:
        out.entry(path, entries[path])
    out.trailer()


def _fill_gap(out, entries, small, name_len):
    """Put the largest small entries that fit before the next page."""
    left = []
    for i, path in enumerate(small):
        gap = _gap(out.offset, name_len)
        if gap < 128:
            return left + small[i:]
        if _cost(path, entries[path]) <= gap:
            out.entry(path, entries[path])
        else:
            left.append(path)
    return left


def write(path, entries):
    """Write an image; `path` holds the whole of it or is not touched."""
    folder = os.path.dirname(os.path.abspath(path))
    fd, temp = tempfile.mkstemp(prefix=".pack-", dir=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            write_to(file, entries)
        os.chmod(temp, 0o644)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise


def find(path, wanted):
    """The contents of one regular file of an image, or None.

    An image that is damaged further on is the kernel's to judge.

    => raises ValueError when `path` does not begin as a newc archive
    """
    with open(path, "rb") as file:
        while True:
            first = file.tell() == 0
            head = file.read(HEADER)
            if len(head) < HEADER or head[:6] not in (b"070701", b"070702"):
                if first:
                    raise ValueError("not a cpio archive in the newc format")
                return None
            try:
                field = [int(head[6 + 8 * i:14 + 8 * i], 16) for i in range(13)]
            except ValueError:
                return None
            size, namesize = field[6], field[11]
            raw = file.read(_up4(HEADER + namesize) - HEADER)
            name = raw.split(b"\0")[0].decode(errors="replace")
            if name == "TRAILER!!!":
                return None
            if name == wanted and field[1] & 0o170000 == 0o100000:
                return file.read(size)
            file.seek(_up4(size), os.SEEK_CUR)
