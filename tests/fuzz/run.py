#!/usr/bin/python3
"""Runs the fuzz targets one after another, from the seeds and what is in their corpus.

usage: run.py --runs N | --time SECONDS [TARGET...]

A finding is left in build/fuzz/found/; run the target with its name to see it again. With --time
new inputs are kept in build/fuzz/corpus/TARGET; with --runs the seed of chance is fixed and
nothing is kept.
"""
import argparse
import glob
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(os.environ.get("HOLDFAST_BUILD", os.path.join(TOP, "build")), "fuzz")
HANG_S = 10
# A target whose inputs take long gets fewer of them.
SHARE = {"store": 5}


def fuzz(target, options):
    """=> returns whether nothing was found"""
    found = os.path.join(WORK, "found", "")
    corpus = os.path.join(WORK, "corpus", target)
    seeds = os.path.join(WORK, "seeds", target)
    os.makedirs(found, exist_ok=True)
    os.makedirs(corpus, exist_ok=True)
    command = [os.path.join(WORK, target + "_fuzz"), "-artifact_prefix=%s%s-" % (found, target),
               "-timeout=%d" % HANG_S, "-max_len=4096", "-verbosity=0", "-print_final_stats=1"]
    if options.time:
        command += ["-max_total_time=%d" % options.time, corpus, seeds]
    else:
        command += ["-runs=%d" % (options.runs // SHARE.get(target, 1)), "-seed=1", seeds]
        command = _keeping_nothing(command, seeds)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        print("FAIL %s\n%s" % (target, text[-6000:]))
        return False
    count = [line.split()[-1] for line in text.splitlines() if "executed_units" in line]
    print("ok %s (%s inputs)" % (target, count[-1] if count else "?"), flush=True)
    return True


def _keeping_nothing(command, seeds):
    """libFuzzer writes what it learns to the first folder: an empty one of its own."""
    scratch = seeds + ".scratch"
    os.makedirs(scratch, exist_ok=True)
    for name in os.listdir(scratch):
        os.unlink(os.path.join(scratch, name))
    return command[:-1] + [scratch, seeds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20000)
    parser.add_argument("--time", type=int, default=0)
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    sources = sorted(glob.glob(os.path.join(TOP, "tests", "fuzz", "*_fuzz.c")))
    names = options.targets or [os.path.basename(s)[:-len("_fuzz.c")] for s in sources]
    subprocess.run([sys.executable, os.path.join(TOP, "tests", "fuzz", "seeds.py"),
                    os.path.join(WORK, "seeds")], check=True)
    bad = sum(not fuzz(name, options) for name in names)
    print("%d passed, %d failed" % (len(names) - bad, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
