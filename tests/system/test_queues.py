"""A card with several queues: is a connection served where it is used?

The other end is a tap with as many queues, in a network name space of its
own: QEMU's other backends have one queue. Linux's tap learns from the queue
that a flow is sent through where to put what comes back.
"""
import concurrent.futures
import contextlib
import ctypes
import os
import random
import re
import socket
import sys
import threading

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
        self.asker = socket.create_connection((wire.GUEST, 6999), timeout=LIMIT_S * guest.SCALE)
        self.lines = self.asker.makefile("r", encoding="ascii")

    def ask(self, words):
        """=> a dictionary of figures for each queue of the card"""
        self.asker.sendall(words.encode() + b"\n")
        out = []
        for line in iter(self.lines.readline, "\n"):
            if line.startswith("net0"):
                out.append({k: int(v) for k, v in re.findall(r"(\w+) (\d+)", line)})
        return out

    def end(self):
        self.asker.sendall(b"end\n")
        assert self.machine.wait() == 0


@contextlib.contextmanager
def servers(work, programs, queues, cpus, *more):
    with wire.Wire(work, queues) as link, inside(link.name), \
            guest.Guest("--cpus", "8", "--clusters", "4", "--memory", "512M", "--base", "busybox",
                        "--netdev", link.netdev, "--add", programs + "/queues:/bin/queues", *more,
                        argv=["queues", *map(str, cpus)]) as machine:
        machine.expect(r"\d servers")
        link.wait_for()
        yield Servers(machine)


def connect(server):
    sock = socket.create_connection((wire.GUEST, 7000 + server), timeout=LIMIT_S * guest.SCALE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def exchange(sock, data):
    sock.sendall(data)
    back = bytearray()
    while len(back) < len(data):
        back += sock.recv(65536)
    assert back == data


def requests(sock, count, numbers):
    for _ in range(count):
        exchange(sock, numbers.randbytes(100))


def spent(before, after, what):
    return [b[what] - a[what] for a, b in zip(before, after)]


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


def test_connections_are_served_in_their_cluster(tmp_path, programs):
    """Do packets of a connection come in the cluster of the thread that serves it, follow it when
    it moves, and lose and mix no bytes, while checkpoints are taken all the time?"""
    numbers = random.Random(1)
    with servers(str(tmp_path), programs, 4, [0, 2, 4, 6], "--disk", str(tmp_path / "disk"),
                 "--checkpoint", "50ms") as the:
        socks = [connect(i) for i in range(4)]
        for i, sock in enumerate(socks):
            requests(sock, 3, numbers)
            before = the.ask("show")
            assert sorted(q["cluster"] for q in before) == [0, 1, 2, 3], before
            requests(sock, 200, numbers)
            after = the.ask("show")
            for what in ("received", "sent"):
                moved = spent(before, after, what)
                mine = [n for n, q in zip(moved, after) if q["cluster"] == i]
                assert mine[0] >= 200 and sum(moved) - mine[0] <= 20, (i, what, moved)
        the.ask("move 1 7")
        requests(socks[1], 3, numbers)
        before = the.ask("show")
        requests(socks[1], 200, numbers)
        after = the.ask("show")
        moved = dict(zip((q["cluster"] for q in after), spent(before, after, "received")))
        assert moved[3] >= 200 and moved[1] <= 20, moved
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(stream, socks, [numbers.randbytes(1 << 20) for _ in socks]))
        for queue in the.ask("show"):
            assert queue["core"] // 2 == queue["cluster"] and queue["strays"] == 0, queue
            assert queue["irqs"] > 0, queue
        the.end()
