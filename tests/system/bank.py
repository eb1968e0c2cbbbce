#!/usr/bin/python3
"""A bank in Mnesia, its ledger on this host, and power cuts at random instants.

The guest runs guest/hf_bank.erl. Tellers on this host ask for transfers, each
with a number of its own, note what was acknowledged, and ask again for what was
not. After each cut the machine goes on; now and then it starts afresh, with the
files alone, and the bank opens them as after any crash. In the end, and after
each fresh start, nothing acknowledged may be missing, nothing be there twice,
and every balance be what the transfers make it.
"""
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

import guest
import many

PORT = 9100
ACCOUNTS, BALANCE = 20, 1000
TELLERS = 4
LIFE_S = (0.0, 1.5)         # after the first reply
EARLY_S = (0.0, 1.0)        # of one machine in four: after its first line, whatever it does then
FRESH_EVERY = 20
STEP_S = 0.05


class Wrong(AssertionError):
    """The bank is not what its ledger says."""


class Ledger:
    """What was asked for and what was acknowledged."""

    def __init__(self, seed):
        self.lock = threading.Condition()
        self.numbers = random.Random(seed)
        self.asked = {}         # id: (from, to, amount)
        self.acknowledged = set()

    def next(self):
        with self.lock:
            number = len(self.asked) + 1
            accounts = self.numbers.sample(range(1, ACCOUNTS + 1), 2)
            self.asked[number] = (*accounts, self.numbers.randrange(1, 100))
            return number

    def done(self, number):
        with self.lock:
            self.acknowledged.add(number)
            self.lock.notify_all()

    def wait_for_more(self, limit):
        """=> when a transfer more than now is acknowledged"""
        with self.lock:
            before = len(self.acknowledged)
            if not self.lock.wait_for(lambda: len(self.acknowledged) > before, limit):
                raise guest.Hang("no transfer was acknowledged for %g s" % limit)


class Line:
    """A connection to the bank; OSError and EOFError when the power is off."""

    def __init__(self, port, limit=guest.LIMIT_S * guest.SCALE):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=limit)
        self.file = self.socket.makefile("rb")

    def ask(self, text):
        self.socket.sendall(text.encode() + b"\n")
        return self.line()

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line.decode().strip()

    def rows(self, word):
        rows, line = [], self.ask(word)
        while line != "end":
            rows.append(tuple(map(int, line.split())))
            line = self.line()
        return rows

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Teller(threading.Thread):
    """Asks for one transfer after the other, for as often as it takes."""

    def __init__(self, ledger, port):
        super().__init__(daemon=True)
        self.ledger, self.port = ledger, port
        self.ending = threading.Event()
        self.failed = None

    def run(self):
        try:
            while not self.ending.is_set():
                self.transfer(self.ledger.next())
        except Exception as error:      # for who joins
            self.failed = error

    def transfer(self, number):
        text = "transfer %d %d %d %d" % (number, *self.ledger.asked[number])
        while True:
            try:
                self.line = self.line or Line(self.port)
                answer = self.line.ask(text)
            except (OSError, EOFError):
                self.hang_up()
                time.sleep(STEP_S)
                continue
            if answer != "done %d" % number:
                raise Wrong("%s: %s" % (text, answer))
            self.ledger.done(number)
            return

    line = None

    def hang_up(self):
        if self.line:
            self.line.close()
        self.line = None


def machine(image, ebin, port, fresh):
    return guest.Guest(
        "--cpus", "2", "--debian", "erlang-mnesia", "--disk", image, "--add", ebin + ":/test/ebin",
        "--port", "%d:%d" % (port, PORT), *(["--fresh"] if fresh else []),
        argv=["erl", "-noshell", "-pa", "/test/ebin", "-s", "hf_bank"])


def watch(console):
    """What no machine may say, but one that starts afresh about files that were open."""
    for word in ("panic", "crash", "CRASH", "error report", "came to nothing"):
        if word in console.text:
            raise Wrong("%s:\n%s" % (word, console.text[-3000:]))


def life(console, ledger, went_on):
    """From the power to shortly before its cut."""
    if went_on:
        console.expect(r"epoch \d+, \d+ ms old, goes on")
    else:
        console.expect("bank open")
    ledger.wait_for_more(guest.LIMIT_S * guest.SCALE)
    time.sleep(random.uniform(*LIFE_S))
    watch(console)
    if went_on and "repair" in console.text:
        raise Wrong("files were repaired:\n" + console.text[-3000:])


def audit(ledger, port):
    """=> how many transfers the bank has made. => no teller is at work"""
    with Line(port) as line:
        accounts = dict(line.rows("accounts"))
        made = {name: line.rows(name) for name in ("done", "journal", "log")}
    for name, rows in made.items():
        numbers = {row[0] for row in rows}
        if len(numbers) != len(rows):
            raise Wrong("%s has transfers twice" % name)
        if ledger.acknowledged - numbers:
            raise Wrong("%s has lost %s" % (name, sorted(ledger.acknowledged - numbers)))
        for row in rows:
            if ledger.asked.get(row[0]) != row[1:]:
                raise Wrong("%s has %s" % (name, row))
    should = {n: BALANCE for n in range(1, ACCOUNTS + 1)}
    for source, to, amount in ledger.asked.values():
        should[source] -= amount
        should[to] += amount
    if accounts != should or sum(accounts.values()) != ACCOUNTS * BALANCE:
        raise Wrong("balances are %s, not %s" % (accounts, should))
    return len(made["done"])


def close_files(port):
    """The journal and the log are closed as after any day, and open again without a repair."""
    with Line(port) as line:
        if line.ask("close") != "closed":
            raise Wrong("the files could not be closed")


class Tellers:
    """A few that are at work, or none."""

    def __init__(self, ledger, port):
        self.ledger, self.port = ledger, port
        self.all = []

    def work(self):
        self.all = [Teller(self.ledger, self.port) for _ in range(TELLERS)]
        for teller in self.all:
            teller.start()

    def rest(self):
        """=> what each had asked for is acknowledged"""
        for teller in self.all:
            teller.ending.set()
        for teller in self.all:
            teller.join(guest.LIMIT_S * guest.SCALE)
            teller.hang_up()
            if teller.failed:
                raise teller.failed
            if teller.is_alive():
                raise guest.Hang("a transfer is not acknowledged")
        self.all = []


def power_cuts(count, image, ebin, say, fresh_every=FRESH_EVERY):
    """One image, count + 1 machines; the last of them is asked to close its files. => raises at the
    first thing that is wrong"""
    port = guest.free_port()
    ledger = Ledger(random.random())
    tellers = Tellers(ledger, port)
    early = False
    tellers.work()
    for n in range(count + 1):
        fresh = n % fresh_every == fresh_every - 1
        with machine(image, ebin, port, fresh) as console:
            # Two early cuts in a row would be one epoch tried in vain twice.
            early = not early and not fresh and 0 < n < count and random.random() < 0.25
            if early:
                console.expect("Holdfast, started by")
                time.sleep(random.uniform(*EARLY_S))
                watch(console)
            else:
                life(console, ledger, n > 0 and not fresh)
            if fresh or n == count:
                tellers.rest()
                made = audit(ledger, port)
                say("audit: %d transfers, each once" % made)
                if n == count:
                    close_files(port)
                    break
                tellers.work()
                ledger.wait_for_more(guest.LIMIT_S * guest.SCALE)
            console.power_cut()
        say("cut %d of %d%s: %d acknowledged" % (
            n + 1, count, ", early" if early else ", of a fresh start" if fresh else "",
            len(ledger.acknowledged)))


def soak(count, _, say):
    ebin = os.path.join(guest.BUILD, "tests", "bank")
    os.makedirs(ebin, exist_ok=True)
    subprocess.run(["erlc", "-o", ebin, os.path.join(guest.TOP, "tests", "system", "guest",
                                                     "hf_bank.erl")], check=True)
    with tempfile.TemporaryDirectory() as folder:
        power_cuts(count, os.path.join(folder, "state.img"), ebin, say)


def main():
    return many.main(__doc__.splitlines()[0], 100, soak,
                     "%d power cuts, nothing lost, nothing doubled")


if __name__ == "__main__":
    sys.exit(main())
