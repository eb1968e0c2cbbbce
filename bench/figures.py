"""Figures with a baseline of the same run, their bounds, and the table of them."""
import json
import os
import sys


class Row:
    """One line of the table: a baseline's value and ours, by name and in this order, or ours
    alone. Bounds are on their ratio, or on our own value; `more` says that large is good."""

    def __init__(self, figure, unit, sides, must=None, aim=None, of="ratio", more=False):
        self.figure, self.unit, self.sides = figure, unit, sides
        self.must, self.aim, self.of, self.more = must, aim, of, more

    @property
    def own(self):
        return self.sides["holdfast"]

    @property
    def baseline(self):
        """None: there is none"""
        return next((value for name, value in self.sides.items() if name != "holdfast"), None)

    def ratio(self):
        return self.own / self.baseline if self.baseline else None

    def verdict(self):
        value = self.ratio() if self.of == "ratio" else self.own
        if self.must is None or value is None:
            return ""

        def good(bound):
            return value >= bound if self.more else value <= bound
        if self.aim is not None and good(self.aim):
            return "aim"
        return "must" if good(self.must) else "MISSED"


def progress(text):
    print("  " + text, file=sys.stderr, flush=True)


def number(value):
    return "%.0f" % value if abs(value) >= 100 else "%.3g" % value


def bound(value):
    return "-" if value is None else "%g" % value


def table(rows):
    print("%-58s %10s %10s %7s %6s %6s  %s"
          % ("figure", "baseline", "Holdfast", "ratio", "must", "aim", ""))
    for row in rows:
        ratio = row.ratio()
        print("%-58s %10s %10s %7s %6s %6s  %s" % (
            "%s, %s" % (row.figure, row.unit),
            "-" if row.baseline is None else number(row.baseline), number(row.own),
            "-" if ratio is None else "%.3f" % ratio, bound(row.must), bound(row.aim),
            row.verdict()))


def save(rows, path):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump([{"figure": r.figure.strip(), "unit": r.unit, "ratio": r.ratio(),
                    "must": r.must, "aim": r.aim, "verdict": r.verdict(), **r.sides}
                   for r in rows], file, indent=1)
