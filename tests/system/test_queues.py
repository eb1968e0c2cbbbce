"""A card with several queues: is a connection served where it is used?

The other end is a tap with as many queues, in a network name space of its
own: QEMU's other backends have one queue. Linux's tap learns from the queue
that a flow is sent through where to put what comes back.
"""
import concurrent.futures
import contextlib
import ctypes
import errno
import os
import random
import re
import socket
import sys
import threading
import time

import pytest

import guest

sys.path.insert(0, os.path.join(guest.TOP, "bench"))

import wire  # noqa: E402

CLONE_NEWNET = 0x40000000
LIMIT_S = 60

pytestmark = [
    pytest.mark.skipif(guest.ON_LINUX, reason="reads /proc/holdfast"),
    pytest.mark.skipif(not wire.available(), reason="a tap needs root and /dev/net/tun: QEMU has "
                       "no other network with several queues"),
]


@contextlib.contextmanager
def inside(name):
    """This thread, and what it starts, in a network name space."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", encoding="ascii") as home, \
            open("/run/netns/" + name, encoding="ascii") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


class Servers:
    """The guest's program queues.c: echo servers pinned to processors."""

    def __init__(self, machine):
        self.machine = machine
        self.asker = self.reach(6999)
        self.lines = self.asker.makefile("r", encoding="ascii")

    @staticmethod
    def reach(port):
        """A connection, as soon as there is one; never is it refused: who listened before a power
        cut does when the machine is heard of again."""
        end = time.monotonic() + LIMIT_S * guest.SCALE
        while True:
            try:
                sock = socket.create_connection((wire.GUEST, port), timeout=0.2)
                sock.settimeout(LIMIT_S * guest.SCALE)
                return sock
            except OSError as error:
                absent = error.errno in (None, errno.EHOSTUNREACH, errno.ENETUNREACH)
                if not absent or time.monotonic() > end:
                    raise

    def ask(self, words="show"):
        """=> a dictionary of figures for each queue of the card"""
        self.asker.sendall(words.encode() + b"\n")
        out = []
        for line in iter(self.lines.readline, "\n"):
            if line.startswith("net0"):
                out.append({k: int(v) for k, v in re.findall(r"(\w+) (\d+)", line)})
        return out

    def spent(self, work):
        """What each queue received and sent meanwhile: {cluster: (received, sent)}"""
        before = self.ask()
        work()
        return {b["cluster"]: (b["received"] - a["received"], b["sent"] - a["sent"])
                for a, b in zip(before, self.ask())}

    def end(self):
        self.ask("end")
        self.asker.close()
        assert self.machine.wait() == 0


def boot(programs, link, clusters, cpus, *more):
    return guest.Guest("--cpus", "8", "--clusters", str(clusters), "--memory", "512M", "--base",
                       "busybox", "--netdev", link.netdev, "--add",
                       programs + "/queues:/bin/queues", *more,
                       argv=["queues", *map(str, cpus)])


def connect(server):
    sock = socket.create_connection((wire.GUEST, 7000 + server), timeout=LIMIT_S * guest.SCALE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def requests(sock, count, numbers):
    for _ in range(count):
        data = numbers.randbytes(100)
        sock.sendall(data)
        back = bytearray()
        while len(back) < len(data):
            back += sock.recv(65536)
        assert back == data


def stream(sock, data):
    """Sends and receives at once."""
    back = bytearray()
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    while len(back) < len(data):
        more = sock.recv(65536)
        assert more, "the connection ended"
        back += more
    sender.join()
    assert back == data, "other bytes came back"


def check_at(the, sock, cluster, numbers):
    """After some packets, do those of a connection go through the queue of `cluster` alone?"""
    requests(sock, 3, numbers)
    spent = the.spent(lambda: requests(sock, 100, numbers))
    assert min(spent.pop(cluster)) >= 100, spent
    for received, sent in spent.values():
        assert received + sent <= 20, spent


def check_queues(the, clusters, cores):
    """Is each queue of a cluster of its own, and interrupts nowhere else?"""
    found = the.ask()
    assert len({q["cluster"] for q in found}) == len(found) == clusters, found
    for queue in found:
        assert queue["core"] // cores == queue["cluster"], found
        assert queue["irqs"] > 0 and queue["strays"] == 0, found


def test_connections_are_served_in_their_cluster(tmp_path, programs):
    """Do packets of a connection come in the cluster of the thread that serves it, follow it when
    it moves, and lose and mix no bytes, while checkpoints are taken all the time? And the same
    after a power cut?"""
    numbers = random.Random(1)
    disk = ("--disk", str(tmp_path / "disk"), "--checkpoint", "50ms")
    with wire.Wire(str(tmp_path), 4) as link, inside(link.name):
        with boot(programs, link, 4, [0, 2, 4, 6], *disk) as machine:
            machine.expect(r"4 servers")
            the = Servers(machine)
            socks = [connect(i) for i in range(4)]
            for i, sock in enumerate(socks):
                check_at(the, sock, i, numbers)
            the.ask("move 1 7")
            check_at(the, socks[1], 3, numbers)
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                list(pool.map(stream, socks, [numbers.randbytes(1 << 20) for _ in socks]))
            check_queues(the, 4, 2)
            machine.power_cut()
        with boot(programs, link, 4, [0, 2, 4, 6], *disk) as machine:
            the = Servers(machine)
            for i, cluster in enumerate((0, 3, 2, 3)):
                check_at(the, connect(i), cluster, numbers)
            the.end()


@pytest.mark.parametrize("queues, clusters", [(2, 4), (4, 2)])
def test_other_numbers_of_queues(tmp_path, programs, queues, clusters):
    """Do clusters share queues of which there are too few, and leave those that are too many?"""
    numbers = random.Random(2)
    cores = 8 // clusters
    with wire.Wire(str(tmp_path), queues) as link, inside(link.name), \
            boot(programs, link, clusters, range(0, 8, cores)) as machine:
        machine.expect(r"\d servers")
        the = Servers(machine)
        own = {q["cluster"] for q in the.ask()}
        assert len(own) == min(queues, clusters)
        used = []
        for i in range(clusters):
            sock = connect(i)
            requests(sock, 3, numbers)
            spent = the.spent(lambda s=sock: requests(s, 100, numbers))
            used.append([c for c, both in spent.items() if min(both) >= 100])
            assert len(used[-1]) == 1 and used[-1] == [i] or i not in own, (i, spent)
        assert {c for one in used for c in one} == own, "a queue that nobody uses"
        check_queues(the, len(own), cores)
        the.end()
