"""A card that steers as a test wants: which queue do answers leave by, and is the data right?

test_queues.py has a card that steers as Linux's tap does, and interrupts for
each queue; this one needs no tap.
"""
import mmap
import os
import queue
import random
import re
import struct
import time

import pytest

import guest
from ethernet import ACK, GUEST_IP, OUR_IP, SYN
from vhostuser import Card, load16, store16

pytestmark = pytest.mark.skipif(guest.ON_LINUX, reason="reads /proc/holdfast")

PSH = 8
LIMIT_S = 60
QUEUES = 4


class Flow:
    """A connection to the guest, made by hand: one segment after the other."""

    def __init__(self, wire, port, by):
        self.wire, self.port = wire, port
        self.ours = 20000 + len(wire.flows)
        self.frames = queue.Queue()
        self.seen = []              # the queues that its segments left by
        self.seq, self.ack = 1000, 0
        wire.flows[self.ours] = self
        end = time.monotonic() + LIMIT_S * guest.SCALE
        while True:                 # until the guest has an address and listens
            assert time.monotonic() < end, "no answer to SYN\n" + wire.state()
            self._send(SYN, by=by)
            try:
                flags, seq, _, _ = self.frames.get(timeout=0.5)
            except queue.Empty:
                continue
            if flags == SYN | ACK:
                break
        self.seq, self.ack = self.seq + 1, seq + 1
        self._send(ACK, by=by)

    def _send(self, flags, data=b"", by=0):
        self.wire.send_by(by, lambda: self.wire.tcp(OUR_IP, self.ours, self.port, flags, self.seq,
                                                    self.ack, data))

    def send(self, data, by=0):
        self._send(ACK | PSH, data, by)
        self.seq += len(data)

    def receive(self, done, by=0):
        """What comes, in order, until done(it); each piece is acknowledged by a queue."""
        out = b""
        while not done(out):
            _, seq, _, data = self.frames.get(timeout=LIMIT_S * guest.SCALE)
            if data and seq == self.ack:
                out += data
                self.ack += len(data)
                self._send(ACK, by=by)
        return out

    def exchange(self, data, by):
        self.send(data, by)
        assert self.receive(lambda got: len(got) >= len(data), by) == data


class Wire(Card):
    """The card; segments go to the flow that they belong to."""

    def __init__(self, folder):
        self.flows = {}
        super().__init__(folder, QUEUES)

    def send_by(self, pair, work):
        with self.sending:
            self.queue = pair
            work()

    def handle(self, frame, queue):
        if frame[12:14] != b"\x08\x00" or frame[23] != 6 or frame[26:30] != GUEST_IP:
            self.send_by(0, lambda: self.take(frame))
            return
        end = 14 + struct.unpack_from("!H", frame, 16)[0]
        port = struct.unpack_from("!H", frame, 36)[0]
        seq, ack, offset, flags = struct.unpack_from("!IIBB", frame, 38)
        flow = self.flows[port]
        flow.seen.append(queue)
        flow.frames.put((flags & (SYN | ACK), seq, ack, frame[34 + (offset >> 4) * 4:end]))


@pytest.fixture
def wire(tmp_path, programs):
    card = Wire(str(tmp_path))
    with guest.Guest(*card.arguments(QUEUES), "--base", "busybox", "--add",
                     programs + "/queues:/bin/queues",
                     argv=["queues", "0", "2", "4", "6"]) as card.machine:
        card.machine.expect(r"4 servers")
        yield card
        card.asker.send(b"end\n")
        assert card.machine.wait() == 0
    card.close()


def queues(card):
    """{queue: figures} by the guest's word"""
    card.asker.send(b"show\n")
    text = card.asker.receive(lambda got: got.endswith(b"\n\n")).decode()
    lines = re.findall(r"^net0\w* .*$", text, re.M)
    return {n: {k: int(v) for k, v in re.findall(r"(\w+) (\d+)", line)}
            for n, line in enumerate(lines)}


def test_an_index_is_written_in_one_step():
    """Does who looks at the card's index, from elsewhere, see nothing but what was written?"""
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    store16(shared, 2, 1)
    reader = os.fork()
    if reader == 0:
        seen = {load16(shared, 2) for _ in range(200000)}
        store16(shared, 0, 1)
        os._exit(0 if seen <= {1, 0xFFFE} else 1)
    while not load16(shared, 0):
        store16(shared, 2, 0xFFFE)
        store16(shared, 2, 1)
    assert os.waitpid(reader, 0)[1] == 0


def test_answers_leave_by_their_cluster(wire):
    """Do answers leave by the queue of the cluster that serves the connection, whatever queue the
    requests are put into, and is each handled once?"""
    numbers = random.Random(3)
    wire.asker = Flow(wire, 6999, 0)
    own = {figures["cluster"]: n for n, figures in queues(wire).items()}
    assert sorted(own) == [0, 1, 2, 3]
    for server in range(4):
        wrong = (own[server] + 1) % QUEUES
        flow = Flow(wire, 7000 + server, wrong)
        flow.exchange(numbers.randbytes(100), wrong)
        before = queues(wire)
        flow.seen.clear()
        for _ in range(30):
            flow.exchange(numbers.randbytes(100), wrong)
        assert flow.seen.count(own[server]) == len(flow.seen) >= 30, flow.seen
        after = queues(wire)
        assert after[wrong]["received"] - before[wrong]["received"] >= 55
        assert after[own[server]]["received"] - before[own[server]]["received"] <= 5


def test_a_stream_over_all_queues(wire):
    """Is a stream whole whose segments come by all queues in turn?"""
    wire.asker = Flow(wire, 6999, 0)
    flow = Flow(wire, 7002, 0)
    data = random.Random(4).randbytes(40000)
    for n, at in enumerate(range(0, len(data), 400)):
        flow.send(data[at:at + 400], by=n % QUEUES)
    assert flow.receive(lambda got: len(got) >= len(data)) == data
