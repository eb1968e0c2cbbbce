"""Machines that run guest/keeper.c, one after the other on one disk of the tests' own."""
import os
import re

from guest import Guest, holdfast

SHELL = ("--base", "busybox", "--cpus", "2", "--netdev", "none")


class Keeper:
    """Machines one after the other on one disk, and the last number that was kept."""

    def __init__(self, disk, programs, *words, args=()):
        self.disk = disk
        self.words = words
        self.args = (*SHELL, "--disk", disk.url, *args,
                     "--add", os.path.join(programs, "keeper") + ":/bin/keeper")
        self.kept = 0

    def start(self, fault=None):
        self.disk.restart(fault)
        return Guest(*self.args, argv=["keeper", *map(str, self.words)])

    def note(self, machine):
        """=> the words of keeper in this machine; nothing broke"""
        text = machine.text
        assert not re.search(r"WRONG|panic|assert", text), text[-4000:]
        kept = [int(n) for n in re.findall(r"\bkept (\d+)\r*\n", text)]
        if kept:
            assert kept[0] >= self.kept, (kept[0], self.kept, text[-3000:])
            self.kept = kept[-1]
        return kept

    def off(self, machine, keep=0.0):
        machine.power_cut()
        self.note(machine)
        self.disk.power_cut(keep)

    def check(self):
        result = holdfast("store", "check", self.disk.path)
        assert result.status == 0, result

    def goes_on(self, turns=2):
        """The next machine goes on from what was promised."""
        with self.start() as machine:
            machine.expect(r"epoch \d+, \d+ ms old, goes on")
            for _ in range(turns):
                machine.expect(r"\bkept \d+\r*\n")
            self.off(machine)
        self.check()
