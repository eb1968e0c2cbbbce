#!/usr/bin/python3
"""The boot gate: N boots to the shell, 1+1., power off; N have to succeed.

Spread over 1, 2, 4 and 8 cores and 1, 2 and 4 clusters. A retry is a
failure, so there is none. The console of every boot that fails is kept.
"""
import argparse
import os
import sys
import time

import guest

SPREAD = [(1, 1), (2, 1), (4, 1), (8, 1), (2, 2), (4, 2), (8, 2), (4, 4), (8, 4)]


def boot(cpus, clusters, limit):
    """One boot; => returns its seconds to the prompt"""
    start = time.monotonic()
    with guest.Erlang("--base", "minimal", "--cpus", str(cpus),
                      "--clusters", str(clusters)) as machine:
        try:
            machine.ready(limit)
            took = time.monotonic() - start
            if machine.eval("1+1", limit) != "2":
                raise guest.Hang("1+1 is not 2")
            if machine.quit() != 0:
                raise guest.Hang("the status is %d" % machine.process.returncode)
        except guest.Hang as hang:
            hang.text = machine.text
            raise
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, metavar="N")
    parser.add_argument("--limit", type=float, default=120, metavar="SECONDS",
                        help="after which a boot hangs")
    options = parser.parse_args()
    logs = os.path.join(guest.TOP, "build", "boot-gate")
    failed, times = 0, []
    for n in range(options.count):
        cpus, clusters = SPREAD[n % len(SPREAD)]
        try:
            times.append(boot(cpus, clusters, options.limit))
        except (guest.Hang, OSError) as error:
            failed += 1
            os.makedirs(logs, exist_ok=True)
            log = os.path.join(logs, "boot-%d.log" % n)
            with open(log, "w", encoding="utf-8") as file:
                file.write(getattr(error, "text", ""))
            print("boot %d, %d cores, %d clusters: %s; console in %s" % (
                n, cpus, clusters, str(error).split("\n", 1)[0], log), flush=True)
        if sys.stdout.isatty():
            print("\r%d of %d" % (n + 1, options.count), end="", flush=True)
    if times:
        times.sort()
        print("\rpower-on to prompt: median %.2f s, worst %.2f s" % (
            times[len(times) // 2], times[-1]))
    print("%d passed, %d failed" % (options.count - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
