"""What programs that repeat one thing N times, by chance, have in common: the command line, the
seed, and how it ends."""
import argparse
import random
import time


def main(what, count, run, passed):
    """`run(count, seed, say)` raises at the first thing that broke. => the exit status"""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--count", type=int, default=count, metavar="N")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    random.seed(options.seed)
    print("seed %d" % options.seed, flush=True)
    try:
        run(options.count, options.seed, lambda line: print(line, flush=True))
    except (AssertionError, OSError, EOFError) as error:
        print(str(error).replace("\r", ""))
        return 1
    print(passed % options.count)
    return 0
