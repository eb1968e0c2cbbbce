#!/usr/bin/python3
"""Does the kernel have mutable statics beside those that DESIGN allows?

Statics are cluster-local, so a forgotten one is a bug that shows only with
two clusters. Reads the symbol tables of our object files; libraries' are
exempt, each instance runs in one cluster.
"""
import glob
import os
import re
import subprocess
import sys

# Everything a kernel instance may change in its own kdata.
ALLOWED = {
    "boot_info", "local_cluster",
    # Before memory management is up: one core, one cluster.
    "boot_stack", "boot_pml4", "boot_tables",
    # Filled at build time, read afterwards; in a section the linker gathers.
    "__stack_chk_guard",
}
EXEMPT = ("lwip", "/gen/")
# .data and .bss, not .data.rel.ro and not the sections of early boot.
MUTABLE = re.compile(r"^\.(data|bss)(\.(?!rel\.ro|boot|init)|$)|^\.(ldata|lbss|tdata|tbss)")


def sections(path):
    out = subprocess.run(["objdump", "-t", path], capture_output=True, text=True, check=True)
    for line in out.stdout.splitlines():
        found = re.match(r"[0-9a-f]+ .{6}([ OF]) (\S+)\s+([0-9a-f]+)\s+(?:\.hidden )?(\S+)$", line)
        if found and found.group(1) == "O":
            yield found.group(2), int(found.group(3), 16), found.group(4)


def main():
    build = os.environ.get("HOLDFAST_BUILD", "build")
    faults = []
    for path in sorted(glob.glob(os.path.join(build, "obj", "**", "*.o"), recursive=True)):
        if any(word in path for word in EXEMPT):
            continue
        for section, size, symbol in sections(path):
            name = re.sub(r"\.\d+$", "", symbol)
            if size and (MUTABLE.match(section) or section == "*COM*") and name not in ALLOWED:
                faults.append("%s: mutable static %s in %s, %d bytes" % (
                    os.path.relpath(path, build), symbol, section, size))
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
