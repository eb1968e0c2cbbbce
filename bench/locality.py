#!/usr/bin/python3
"""How much of what the kernel touches lies in another cluster, replicated and not.

usage: locality.py [--clusters N] [--cpus N] [--rounds N] [--top N]

Runs one BEAM load under a QEMU plugin, once as the kernel is and once with
`replicas=off` (kernel code, page tables and kernel objects in the boot cluster
alone), and prints the share of the kernel's loads and stores, and of page table
look-ups, that leave the processor's cluster. Counts, not times: how busy the
host is does not matter.
"""
import argparse
import collections
import os
import subprocess
import sys

from machines import OUT, TOP
from profile import header, symbols

MEMORY_MIB = 1024
LOAD = ("Work = fun(N) -> T = ets:new(t, []), [ets:insert(T, {K, binary:copy(<<K:32>>, 200)}) || "
        "K <- lists:seq(1, 500)], _ = file:list_dir(\"/usr\"), {ok, _} = file:read_file("
        "\"/proc/loadavg\"), length(lists:sort([rand:uniform() || _ <- lists:seq(1, 1000)])) + N "
        "end, Me = self(), [begin Ps = [spawn_link(fun() -> Me ! {self(), Work(N)} end) || N <- "
        "lists:seq(1, 32)], [receive {P, _} -> ok end || P <- Ps] end || _ <- lists:seq(1, %d)], "
        "halt().")


def plugin():
    path = os.path.join(OUT, "locality.so")
    source = os.path.join(TOP, "bench", "locality", "plugin.c")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden",
                        "-I", os.path.dirname(header()), "-o", path, source], check=True)
    return path


def measure(options, *kernel_args):
    """=> returns {region: [own, other]}, walks by processor, {function: other}"""
    out = os.path.join(OUT, "locality.txt")
    loaded = "%s,out=%s,cores=%d,bytes=%d" % (
        plugin(), out, options.cpus // options.clusters, (MEMORY_MIB << 20) // options.clusters)
    command = [os.path.join(TOP, "holdfast"), "run", "--headless", "--accel", "tcg",
               "--cpus", str(options.cpus), "--clusters", str(options.clusters),
               "--memory", "%dM" % MEMORY_MIB, "--qemu=-plugin", "--qemu=" + loaded]
    for word in kernel_args:
        command += ["--kernel-args", word]
    done = subprocess.run(command + ["--", "erl", "-noshell", "-eval", LOAD % options.rounds],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("the guest ended with %d\n%s\n%s" % (
            done.returncode, done.stdout[-2000:], done.stderr[-2000:]))
    regions, walks = collections.defaultdict(lambda: [0, 0]), {}
    names, sites = symbols("holdfast"), collections.Counter()
    with open(out, encoding="ascii") as file:
        for line in file:
            if line.startswith("site "):
                sites[names.name(int(line.split()[1], 16))] += int(line.split()[2])
                continue
            cpu, what, own, other = line.split()
            if what == "walks":
                walks[int(cpu)] = (int(own), int(other))
            elif what != "user":
                regions[what][0] += int(own)
                regions[what][1] += int(other)
    return regions, walks, sites


def share(pair):
    return pair[1] / max(sum(pair), 1)


def table_look_ups(walks, replicated, cores):
    """[own, other]: replicated tables are where the core is (/proc/holdfast/check and its test
    say so); those of one copy are in cluster 0."""
    counts = [0, 0]
    for cpu, both in walks.items():
        counts[not replicated and cpu >= cores] += sum(both)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, default=4)
    parser.add_argument("--cpus", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--top", type=int, default=0, metavar="N",
                        help="show the N functions that leave the cluster most")
    options = parser.parse_args()
    totals = []
    for title, args in (("replicated", ()), ("replicas=off", ("replicas=off",))):
        regions, walks, sites = measure(options, *args)
        data = [sum(r[i] for r in regions.values()) for i in (0, 1)]
        tables = table_look_ups(walks, not args, options.cpus // options.clusters)
        both = [data[i] + tables[i] for i in (0, 1)]
        totals.append(share(both))
        print("%s:" % title)
        for name, pair in [*sorted(regions.items()), ("data", data), ("tables", tables),
                           ("all", both)]:
            print("  %-10s %12d accesses  %6.2f %% leave the cluster" % (
                name, sum(pair), 100 * share(pair)))
        for name, count in sites.most_common(options.top):
            print("    %5.1f %%  %s" % (100 * count / max(data[1], 1), name))
    print("share that leaves: %.2f %% replicated, %.2f %% not: one in %.1f" % (
        100 * totals[0], 100 * totals[1], totals[1] / max(totals[0], 1e-9)))


if __name__ == "__main__":
    main()
