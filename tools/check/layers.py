#!/usr/bin/python3
"""Do the kernel's folders include only themselves and what is below them?

The order is STYLE's; folders of one set do not include each other. Also:
quoted includes name a file that exists, and headers form no cycle.
"""
import glob
import os
import re
import sys

ORDER = [{"lib"}, {"arch"}, {"core"}, {"cluster"}, {"mm"}, {"dev"}, {"file", "net"}, {"proc"},
         {"store"}, {"linux"}, {"persist"}, {"boot"}]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
# What arch/ needs of the layer above: where a core's data is, how to exclude, to say, to end.
SERVICES = {"core/core.h", "core/spinlock.h", "core/klog.h", "core/panic.h"}
# Sockets are files: net/ implements what these declare.
IMPLEMENTS = {("net", "file/socket.h"), ("net", "file/vnode.h"), ("net", "file/persist.h")}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
GENERATED = {"calls.h", "offsets.h"}


def includes(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return [(m.group(1), text.count("\n", 0, m.start()) + 1) for m in INCLUDE.finditer(text)]


def target(path, name):
    """The file that an include means, relative to kernel/, or None."""
    beside = os.path.join(os.path.dirname(path), name)
    if os.path.exists(beside):
        return os.path.relpath(beside, "kernel")
    if os.path.exists(os.path.join("kernel", name)):
        return os.path.normpath(name)
    return None


def check_file(path, faults):
    """=> returns the headers it includes"""
    folder = os.path.relpath(path, "kernel").split(os.sep)[0]
    found = []
    for name, line in includes(path):
        if name in GENERATED or name.startswith("lwip/"):
            continue
        goal = target(path, name)
        if goal is None:
            faults.append("%s:%d: no such header: %s" % (path, line, name))
            continue
        found.append(os.path.join("kernel", goal))
        other = goal.split(os.sep)[0]
        if other == folder or other not in LEVEL or folder not in LEVEL:
            continue
        if (folder == "arch" and goal in SERVICES) or (folder, goal) in IMPLEMENTS:
            continue
        if LEVEL[other] >= LEVEL[folder]:
            faults.append("%s:%d: %s/ includes %s, which is not below it" % (
                path, line, folder, goal))
    return found


def cycle(graph):
    """One cycle of headers as a list, or None."""
    state = {}

    def visit(node, trail):
        if state.get(node) == "done":
            return None
        if node in trail:
            return trail[trail.index(node):] + [node]
        for after in graph.get(node, ()):
            found = visit(after, trail + [node])
            if found:
                return found
        state[node] = "done"
        return None

    for node in sorted(graph):
        found = visit(node, [])
        if found:
            return found
    return None


def main():
    faults, graph = [], {}
    for path in sorted(glob.glob("kernel/**/*.[chS]", recursive=True)):
        found = check_file(path, faults)
        if path.endswith(".h"):
            graph[path] = [f for f in found if f != path]
    loop = cycle(graph)
    if loop:
        faults.append("headers include each other: " + " -> ".join(loop))
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
