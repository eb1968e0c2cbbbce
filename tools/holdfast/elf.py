"""Which shared libraries the programs of a tree need (DT_NEEDED)."""
import posixpath
import struct

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB = 1, 5


def needed(data):
    """Names of the libraries that an x86-64 ELF file names."""
    if data[:6] != b"\x7fELF\x02\x01":
        return []
    phoff, = struct.unpack_from("<Q", data, 32)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    loads, dynamic = [], None
    for i in range(phnum):
        kind, _, offset, vaddr, _, filesz = struct.unpack_from(
            "<IIQQQQ", data, phoff + i * phentsize)
        if kind == PT_LOAD:
            loads.append((vaddr, offset, filesz))
        elif kind == PT_DYNAMIC:
            dynamic = (offset, filesz)
    if dynamic is None:
        return []
    names, strtab = [], 0
    for at in range(dynamic[0], dynamic[0] + dynamic[1], 16):
        tag, value = struct.unpack_from("<QQ", data, at)
        if tag == DT_NEEDED:
            names.append(value)
        elif tag == DT_STRTAB:
            strtab = value
    base = next((o + strtab - v for v, o, size in loads if v <= strtab < v + size), 0)
    return [data[base + n:data.index(b"\0", base + n)].decode() for n in names]


def needed_by_programs(tree):
    """Paths of the libraries (and links to them) that programs reach."""
    where = {}
    for path, entry in tree.entries.items():
        if ".so" in posixpath.basename(path) and entry.kind in "fl":
            where.setdefault(posixpath.basename(path), []).append(path)
    queue = [p for p, e in tree.entries.items() if e.kind == "f" and e.mode & 0o111
             and ".so" not in posixpath.basename(p)]
    keep, done = set(), set()
    queue += where.get("ld-linux-x86-64.so.2", [])
    while queue:
        path = queue.pop()
        if path in done:
            continue
        done.add(path)
        entry = tree.entries[path]
        if ".so" in posixpath.basename(path):
            keep.add(path)
        if entry.kind == "l":
            target = tree.resolve(path)
            queue += [target] if target else []
            continue
        for name in needed(entry.read()):
            queue += where.get(name, [])
    return keep
