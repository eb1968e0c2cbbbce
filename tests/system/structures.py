"""The kernel's structures, as the debug information of its ELF file has them: run within gdb.

    gdb -batch -nx -x structures.py KERNEL        one JSON object on stdout

structures  name -> {"members": [name...], "live": [what of LIVE is in it, at any depth]}
            of those that are defined in kernel/
files       name of a struct file_ops -> name of its struct file_persist
kinds       name of a struct persist_kind -> its number
"""
import json
import re

import gdb

# What makes a structure one that is somebody's object, and no mere record or argument.
LIVE = {"refcount", "waitq", "timer", "spinlock", "mutex", "rwlock", "persistent", "list",
        "rb_node"}
STRUCTS = (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION)


def bare(kind):
    kind = kind.strip_typedefs().unqualified()
    while kind.code == gdb.TYPE_CODE_ARRAY:
        kind = kind.target().strip_typedefs().unqualified()
    return kind


def live(kind):
    kind = bare(kind)
    if kind.code not in STRUCTS:
        return set()
    if kind.name in LIVE:
        return {kind.name}
    return set().union(*(live(field.type) for field in kind.fields()))


def members(kind):
    """Names, those of anonymous structures and unions among them."""
    out = []
    for field in kind.fields():
        if field.name:
            out.append(field.name)
        else:
            out += members(bare(field.type))
    return out


def definitions():
    """=> yields (file, name) for each structure"""
    path = None
    for line in gdb.execute("info types -q .", to_string=True).splitlines():
        found = re.match(r"File (.*):$", line)
        path = found.group(1) if found else path
        found = re.match(r"\d+:\s+struct (\w+);$", line)
        if found and path:
            yield path, found.group(1)


def block_of(path):
    """Where a file's own names are; None for headers, and files of which no line is left."""
    try:
        return gdb.decode_line(path + ":1")[1][0].symtab.static_block() \
            if path.endswith(".c") else None
    except gdb.error:
        return None


def structures():
    out = {}
    for path, name in definitions():
        if not path.startswith("kernel/"):
            continue
        try:
            block = block_of(path)
            kind = gdb.lookup_type("struct " + name, *([block] if block else []))
        except gdb.error:
            continue
        found = {"members": members(kind), "live": sorted(live(kind))}
        # Two of one name: what either has counts.
        old = out.setdefault(name, found)
        old["live"] = sorted(set(old["live"]) | set(found["live"]))
    return out


def variables(wanted):
    """=> yields (name, value) of the variables of a structure"""
    path = None
    for line in gdb.execute("info variables -q .", to_string=True).splitlines():
        found = re.match(r"File (.*):$", line)
        path = found.group(1) if found else path
        found = re.match(r"\d+:\s+(?:static )?const struct %s (\w+);$" % wanted, line)
        if found and path:
            yield found.group(1), gdb.parse_and_eval("'%s'::%s" % (path, found.group(1)))


def symbol(pointer):
    found = re.search(r"<(\w+)>", pointer.format_string(symbols=True))
    return found.group(1) if found else None


def main():
    files = {name: symbol(value["persist"]) for name, value in variables("file_ops")}
    files.update((name, symbol(value["file"]["persist"]))
                 for name, value in variables("socket_file_ops"))
    kinds = {name: int(value["number"]) for name, value in variables("persist_kind")}
    print(json.dumps({"structures": structures(), "files": files, "kinds": kinds}))


main()
